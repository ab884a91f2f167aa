"""One row per function of ``pocketcnn.functional``: arguments that exercise it.

Tests of properties of every function (threads, memory layout, dtypes, gradients) use this table,
and ``test_memory_layout.py`` fails if a public function has no row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

import pocketcnn.functional as F

Arguments: TypeAlias = dict[str, Any]
Maker: TypeAlias = Callable[[np.random.Generator, bool], Arguments]

ACTIVATIONS: dict[str, tuple[str, Arguments]] = {
    "relu": ("relu", {}),
    "sigmoid": ("sigmoid", {}),
    "tanh": ("tanh", {}),
    "leaky_relu": ("leaky_relu", {"negative_slope": 0.2}),
    "elu": ("elu", {"alpha": 1.5}),
    "relu6": ("relu6", {}),
    "silu": ("silu", {}),
    "gelu": ("gelu", {}),
    "gelu_tanh": ("gelu", {"approximate": "tanh"}),
    "hard_sigmoid": ("hard_sigmoid", {}),
    "hard_swish": ("hard_swish", {}),
}
"""Functions of one array, with their settings."""

FROM_INPUT = ("silu", "gelu", "hard_swish")
"""Those whose gradient takes x; the others' takes the output."""

OPTIMISER_STEPS = ("sgd_update", "adagrad_update", "rmsprop_update", "adam_update")


@dataclass(frozen=True)
class Operation:
    """A function of F with a maker of valid arguments.

    ``make(rng, large)`` returns float64 arrays by name; large ones are big enough to be cut
    over several threads. ``arrays`` names those with the dtype of the computation. ``run`` replaces
    the function if its arguments or results are not only arrays and settings.
    """

    name: str
    make: Maker
    arrays: tuple[str, ...]
    run: Callable[..., Any] | None = None

    def arguments(
        self, dtype: npt.DTypeLike = np.float32, *, seed: int = 0, large: bool = False
    ) -> Arguments:
        arguments = self.make(np.random.default_rng(seed), large)
        for name in self.arrays:
            arguments[name] = arguments[name].astype(dtype)
        return arguments

    @property
    def function(self) -> Callable[..., Any]:
        """The function to call with the arguments."""
        return self.run or cast(Callable[..., Any], getattr(F, self.name))

    def __call__(self, arguments: Arguments) -> tuple[npt.NDArray[Any], ...]:
        """Run it; the results as a tuple of arrays, whatever the function returns."""
        result = self.function(**arguments)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(np.asarray(r) for r in results if r is not None)


def bits(results: tuple[npt.NDArray[Any], ...]) -> list[tuple[str, tuple[int, ...], bytes]]:
    """All properties of results that must repeat: dtypes, shapes and every bit."""
    return [(r.dtype.str, r.shape, r.tobytes()) for r in results]


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Shuffled numbers at least 1 / 16 apart and none closer than 1 / 32 to zero.

    No step of a central difference crosses a kink of relu or changes a maximum.
    """
    count = int(np.prod(shape))
    return ((rng.permutation(count) - count // 2 + 0.5) / 16).reshape(shape)


def _images(rng: np.random.Generator, large: bool) -> npt.NDArray[np.float64]:
    return rng.normal(size=(5, 6, 40, 41) if large else (2, 4, 6, 7))


WINDOW: Arguments = {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)}


def _im2col(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": _images(rng, large), **WINDOW, "dilation": (1, 2)}


def _col2im(rng: np.random.Generator, large: bool) -> Arguments:
    x = _images(rng, large)
    arguments = {**WINDOW, "dilation": (1, 2)}
    col = F.im2col(x, **arguments)
    return {"col": rng.normal(size=col.shape), "input_shape": x.shape, **arguments}


def _conv2d(rng: np.random.Generator, large: bool) -> Arguments:
    x = _images(rng, large)
    weight = rng.normal(size=(14 if large else 4, x.shape[1] // 2, 3, 2))
    bias = rng.normal(size=weight.shape[0])
    return {
        "x": x, "weight": weight, "bias": bias, "stride": (1, 2), "padding": ((1, 0), (2, 1)),
        "dilation": (2, 1), "groups": 2,
    }  # fmt: skip


def _conv2d_backward(rng: np.random.Generator, large: bool) -> Arguments:
    arguments = _conv2d(rng, large)
    grad = F.conv2d(**arguments)
    del arguments["bias"]
    return {"grad": rng.normal(size=grad.shape), **arguments}


def _dense_conv2d(rng: np.random.Generator, large: bool) -> Arguments:
    x = rng.normal(size=(3, 70, 24, 24) if large else (2, 3, 6, 7))
    weight = rng.normal(size=(50 if large else 4, x.shape[1], 3, 3))
    return {"x": x, "weight": weight, "bias": rng.normal(size=len(weight)), "padding": 1}


def _dense_conv2d_backward(rng: np.random.Generator, large: bool) -> Arguments:
    arguments = _dense_conv2d(rng, large)
    grad = F.conv2d(**arguments)
    del arguments["bias"]
    return {"grad": rng.normal(size=grad.shape), **arguments}


def _conv_transpose2d(rng: np.random.Generator, large: bool) -> Arguments:
    x = rng.normal(size=(5, 6, 20, 21) if large else (2, 4, 4, 5))
    weight = rng.normal(size=(x.shape[1], 7 if large else 3, 3, 2))
    return {
        "x": x, "weight": weight, "bias": rng.normal(size=2 * weight.shape[1]), "stride": (2, 3),
        "padding": ((1, 0), (0, 2)), "output_padding": (0, 1), "dilation": (1, 2), "groups": 2,
    }  # fmt: skip


def _conv_transpose2d_backward(rng: np.random.Generator, large: bool) -> Arguments:
    arguments = _conv_transpose2d(rng, large)
    grad = F.conv_transpose2d(**arguments)
    del arguments["bias"]
    return {"grad": rng.normal(size=grad.shape), **arguments}


def _max_pool2d(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": distinct(rng, _images(rng, large).shape), **WINDOW, "dilation": (2, 1)}


def _max_pool2d_backward(rng: np.random.Generator, large: bool) -> Arguments:
    arguments = _max_pool2d(rng, large)
    out, argmax = F.max_pool2d(**arguments)
    grad = rng.normal(size=out.shape)
    return {"grad": grad, "argmax": argmax, "input_shape": arguments["x"].shape}


def _avg_pool2d(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": _images(rng, large), **WINDOW, "count_include_pad": False}


def _avg_pool2d_backward(rng: np.random.Generator, large: bool) -> Arguments:
    arguments = _avg_pool2d(rng, large)
    out = F.avg_pool2d(**arguments)
    x = arguments.pop("x")
    return {"grad": rng.normal(size=out.shape), "input_shape": x.shape, **arguments}


def _linear(rng: np.random.Generator, large: bool) -> Arguments:
    n, features, outputs = (70, 900, 130) if large else (3, 5, 4)
    return {
        "x": rng.normal(size=(n, features)),
        "weight": rng.normal(size=(outputs, features)),
        "bias": rng.normal(size=outputs),
    }


def _linear_backward(rng: np.random.Generator, large: bool) -> Arguments:
    arguments = _linear(rng, large)
    grad = rng.normal(size=(len(arguments["x"]), len(arguments.pop("bias"))))
    return {"grad": grad, **arguments}


def _elementwise(rng: np.random.Generator, large: bool, **settings: Any) -> Arguments:
    return {"x": distinct(rng, (60, 7, 30, 31) if large else (2, 3, 2, 5)) / 8, **settings}


def _prelu(rng: np.random.Generator, large: bool) -> Arguments:
    x = _elementwise(rng, large)["x"]
    x /= np.abs(x).max()  # float16 holds the sums of many
    return {"x": x, "weight": rng.normal(size=x.shape[1])}


def _prelu_of_one_slope(rng: np.random.Generator, large: bool) -> Arguments:
    return {**_prelu(rng, large), "weight": rng.normal(size=1)}


def _rows(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": rng.normal(size=(3000, 31) if large else (3, 7))}


def _columns(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": rng.normal(size=(40, 21, 11, 10) if large else (2, 5, 3, 2)), "axis": 1}


def _backward_of(forward: str, make: Maker) -> Maker:
    def arguments(rng: np.random.Generator, large: bool) -> Arguments:
        made = make(rng, large)
        out = getattr(F, forward)(**made)
        del made["x"]
        return {"grad": rng.normal(size=out.shape), "out": out, **made}

    return arguments


def _labels(rng: np.random.Generator, large: bool) -> Arguments:
    n, k = (4000, 10) if large else (4, 5)
    target = rng.integers(0, k, size=n)
    return {"logits": rng.normal(size=(n, k)), "target": target, "label_smoothing": 0.1}


def _probabilities(rng: np.random.Generator, large: bool) -> Arguments:
    n, k = (4000, 10) if large else (4, 5)
    return {"logits": rng.normal(size=(n, k)), "target": rng.dirichlet(np.ones(k), size=n)}


def _dropout(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": _images(rng, large), "p": 0.4, "rng": np.random.default_rng(7)}


def _batch_norm(rng: np.random.Generator, large: bool) -> Arguments:
    x = _images(rng, large)
    gamma, beta = rng.normal(size=(2, x.shape[1]))
    return {"x": x, "gamma": gamma, "beta": beta, "training": True}


def _run_batch_norm(**arguments: Any) -> Any:
    return F.batch_norm(**{"running_mean": None, "running_var": None, **arguments})


def _run_batch_norm_backward(grad: Any, **arguments: Any) -> Any:
    return F.batch_norm_backward(grad, _run_batch_norm(**arguments)[1])


def _response_norm(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": _images(rng, large), "size": 3, "alpha": 0.5, "beta": 0.6, "k": 1.5}


def _run_response_norm_backward(grad: Any, **arguments: Any) -> Any:
    return F.local_response_norm_backward(grad, F.local_response_norm(**arguments)[1])


def _padded(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": _images(rng, large), "padding": ((2, -1), (0, 3))}


def _shuffled(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": _images(rng, large), "groups": 2}


def _nearest(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": _images(rng, large), "scale_factor": (2, 1.7)}


def _bilinear(rng: np.random.Generator, large: bool) -> Arguments:
    return {"x": _images(rng, large), "scale_factor": (0.6, 2), "mode": "bilinear"}


def _corners(rng: np.random.Generator, large: bool) -> Arguments:
    return {**_bilinear(rng, large), "scale_factor": (2.5, 1), "align_corners": True}


def _with_input_shape(make: Maker) -> Maker:
    """The arguments of a gradient that also takes the shape of its input."""

    def arguments(rng: np.random.Generator, large: bool) -> Arguments:
        made = make(rng, large)
        out = F.upsample2d(**made)
        return {"grad": rng.normal(size=out.shape), "input_shape": made.pop("x").shape, **made}

    return arguments


def _from_output(forward: str, make: Maker) -> Maker:
    """The arguments of a gradient that takes only that of the output, and the settings."""

    def arguments(rng: np.random.Generator, large: bool) -> Arguments:
        made = make(rng, large)
        out = getattr(F, forward)(**made)
        del made["x"]
        return {"grad": rng.normal(size=out.shape), **made}

    return arguments


def _group_norm(rng: np.random.Generator, large: bool) -> Arguments:
    x = _images(rng, large)
    gamma, beta = rng.normal(size=(2, x.shape[1]))
    return {"x": x, "groups": 2, "gamma": gamma, "beta": beta, "eps": 1e-3}


def _run_group_norm_backward(grad: Any, **arguments: Any) -> Any:
    return F.group_norm_backward(grad, F.group_norm(**arguments)[1])


def _with_grad(make: Maker) -> Maker:
    def arguments(rng: np.random.Generator, large: bool) -> Arguments:
        made = make(rng, large)
        return {"grad": rng.normal(size=made["x"].shape), **made}

    return arguments


def _activation_rows(name: str) -> list[tuple[str, str, Maker, tuple[str, ...]]]:
    function, settings = ACTIVATIONS[name]
    make = partial(_elementwise, **settings)
    if function in FROM_INPUT:
        back, arrays = _with_grad(make), ("grad", "x")
    else:
        back, arrays = _backward_of(function, make), ("grad", "out")
    return [
        (name, function, make, ("x",)),
        (f"{name}_backward", f"{function}_backward", back, arrays),
    ]


NORMALISATIONS = {
    operation.name: operation
    for operation in [
        Operation(
            "batch_norm",
            _batch_norm,
            ("x", "gamma", "beta"),
            lambda **arguments: _run_batch_norm(**arguments)[0],
        ),
        Operation(
            "batch_norm_backward",
            _with_grad(_batch_norm),
            ("grad", "x", "gamma", "beta"),
            _run_batch_norm_backward,
        ),
        Operation(
            "group_norm",
            _group_norm,
            ("x", "gamma", "beta"),
            lambda **arguments: F.group_norm(**arguments)[0],
        ),
        Operation(
            "group_norm_backward",
            _with_grad(_group_norm),
            ("grad", "x", "gamma", "beta"),
            _run_group_norm_backward,
        ),
        Operation(
            "local_response_norm",
            _response_norm,
            ("x",),
            lambda **arguments: F.local_response_norm(**arguments)[0],
        ),
        Operation(
            "local_response_norm_backward",
            _with_grad(_response_norm),
            ("grad", "x"),
            _run_response_norm_backward,
        ),
    ]
}
"""Functions that hand a cache on to their gradient; here each call makes its own."""

OPERATIONS: dict[str, Operation] = NORMALISATIONS | {
    identifier: Operation(name, make, arrays)
    for identifier, name, make, arrays in [
        ("im2col", "im2col", _im2col, ("x",)),
        ("col2im", "col2im", _col2im, ("col",)),
        ("conv2d", "conv2d", _dense_conv2d, ("x", "weight", "bias")),
        ("conv2d_groups", "conv2d", _conv2d, ("x", "weight", "bias")),
        ("conv2d_backward", "conv2d_backward", _dense_conv2d_backward, ("grad", "x", "weight")),
        ("conv2d_groups_backward", "conv2d_backward", _conv2d_backward, ("grad", "x", "weight")),
        ("conv_transpose2d", "conv_transpose2d", _conv_transpose2d, ("x", "weight", "bias")),
        (
            "conv_transpose2d_backward",
            "conv_transpose2d_backward",
            _conv_transpose2d_backward,
            ("grad", "x", "weight"),
        ),
        ("max_pool2d", "max_pool2d", _max_pool2d, ("x",)),
        ("max_pool2d_backward", "max_pool2d_backward", _max_pool2d_backward, ("grad",)),
        ("avg_pool2d", "avg_pool2d", _avg_pool2d, ("x",)),
        ("avg_pool2d_backward", "avg_pool2d_backward", _avg_pool2d_backward, ("grad",)),
        *[
            row
            for f, make in [("zero_pad2d", _padded), ("channel_shuffle", _shuffled)]
            for row in [
                (f, f, make, ("x",)),
                (f"{f}_backward", f"{f}_backward", _from_output(f, make), ("grad",)),
            ]
        ],
        *[
            row
            for f, make in [("", _nearest), ("_bilinear", _bilinear), ("_corners", _corners)]
            for row in [
                (f"upsample2d{f}", "upsample2d", make, ("x",)),
                (
                    f"upsample2d{f}_backward",
                    "upsample2d_backward",
                    _with_input_shape(make),
                    ("grad",),
                ),
            ]
        ],
        ("linear", "linear", _linear, ("x", "weight", "bias")),
        ("linear_backward", "linear_backward", _linear_backward, ("grad", "x", "weight")),
        *[row for name in ACTIVATIONS for row in _activation_rows(name)],
        *[
            row
            for suffix, make in [("", _prelu), ("_of_one_slope", _prelu_of_one_slope)]
            for row in [
                (f"prelu{suffix}", "prelu", make, ("x", "weight")),
                (
                    f"prelu{suffix}_backward",
                    "prelu_backward",
                    _with_grad(make),
                    ("grad", "x", "weight"),
                ),
            ]
        ],
        *[
            row
            for f in ("softmax", "log_softmax")
            for suffix, make in [("", _rows), ("_columns", _columns)]
            for row in [
                (f + suffix, f, make, ("x",)),
                (f"{f}{suffix}_backward", f"{f}_backward", _backward_of(f, make), ("grad", "out")),
            ]
        ],
        ("cross_entropy_labels", "cross_entropy", _labels, ("logits",)),
        ("cross_entropy_rows", "cross_entropy", _probabilities, ("logits",)),
        ("dropout", "dropout", _dropout, ("x",)),
    ]
}
