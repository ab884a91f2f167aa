"""A table of wrong calls of ``pocketcnn.functional``: what is wrong, and which error it must raise.

A row says: function, arguments to change in a valid call, exception, argument the message
must name. ``test_bad_input.py`` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from operations import OPERATIONS, Arguments

HUGE = 2**40
BEYOND = 2**70


@dataclass(frozen=True)
class Bad:
    """A valid call of `operation` with `change` applied must raise `error` naming `names`."""

    operation: str
    change: dict[str, Any]
    error: type[Exception] | tuple[type[Exception], ...]
    names: str

    def arguments(self) -> Arguments:
        arguments = OPERATIONS[self.operation].arguments(np.float32)
        for name, value in self.change.items():
            arguments[name] = value(arguments[name]) if callable(value) else value
        return arguments

    def __str__(self) -> str:
        def text(value: Any) -> str:
            return value.__name__ if callable(value) else repr(value)

        changes = ",".join(f"{n}={text(v)}" for n, v in self.change.items())
        return f"{self.operation} {changes}".replace(" ", "")[:70]


def _kinds(a: Any) -> list[Any]:
    """Arrays that cannot be images."""
    return [
        a.astype(np.complex64), a.astype(object), a.astype(str), a.astype("datetime64[s]"),
        a.astype("S4"), None, "image", {"a": 1}, np.zeros(a.shape, dtype=[("r", "f4")]),
    ]  # fmt: skip


class _Named:
    """A change with a name for the test's id."""

    def __init__(self, name: str, change: Any) -> None:
        self.__name__ = name
        self._change = change

    def __call__(self, value: Any) -> Any:
        return self._change(value)


def add_axis(a: Any) -> Any:
    return a[None]


def drop_axis(a: Any) -> Any:
    return a[0]


def scalar(a: Any) -> Any:
    return a.reshape(-1)[0]


def _bad_dtypes() -> list[Bad]:
    rows = []
    for identifier, operation in OPERATIONS.items():
        for name in operation.arrays:
            sample = operation.arguments(np.float32)[name]
            for i, _ in enumerate(_kinds(sample)):
                if name == "bias" and _kinds(sample)[i] is None:
                    continue
                change = _Named(f"kind{i}", lambda a, i=i: _kinds(a)[i])
                rows.append(Bad(identifier, {name: change}, TypeError, name))
    return rows


# The rank of every array that has a fixed one; activations take any.
RANKS: dict[str, tuple[str, ...]] = {
    "im2col": ("x",), "col2im": ("col",), "conv2d": ("x", "weight", "bias"),
    "conv2d_backward": ("grad", "x", "weight"), "max_pool2d": ("x",),
    "max_pool2d_backward": ("grad", "argmax"), "avg_pool2d": ("x",),
    "avg_pool2d_backward": ("grad",), "linear": ("x", "weight", "bias"),
    "linear_backward": ("grad", "x", "weight"), "cross_entropy_labels": ("logits",),
    "conv_transpose2d": ("x", "weight", "bias"), "upsample2d": ("x",),
    "conv_transpose2d_backward": ("grad", "x", "weight"), "upsample2d_backward": ("grad",),
    "zero_pad2d": ("x",), "zero_pad2d_backward": ("grad",), "channel_shuffle": ("x",),
    "channel_shuffle_backward": ("grad",),
    "local_response_norm": ("x",), "local_response_norm_backward": ("grad",),
}  # fmt: skip


def _bad_ranks() -> list[Bad]:
    return [
        Bad(operation, {name: change}, ValueError, name)
        for operation, names in RANKS.items()
        for name in names
        for change in (add_axis, drop_axis, scalar)
    ]


# Functions with a window, and which of its settings they take.
WINDOWED = {
    "im2col": ("kernel_size", "stride", "padding", "dilation"),
    "col2im": ("kernel_size", "stride", "padding", "dilation"),
    "conv2d": ("stride", "padding", "dilation"),
    "conv2d_backward": ("stride", "padding", "dilation"),
    "conv_transpose2d": ("stride", "padding", "dilation"),
    "conv_transpose2d_backward": ("stride", "padding", "dilation"),
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation"),
    "avg_pool2d": ("kernel_size", "stride", "padding"),
    "avg_pool2d_backward": ("kernel_size", "stride", "padding"),
}

BAD_COUNTS: list[tuple[Any, Any]] = [
    (0, ValueError), (-1, ValueError), ((0, 1), ValueError), ((1, -1), ValueError),
    ((1,), ValueError), ((1, 1, 1), ValueError), ((), ValueError), (-BEYOND, ValueError),
    (1.0, TypeError), ((1, 1.5), TypeError), ("1", (TypeError, ValueError)),
    ([[1, 1]], (TypeError, ValueError)), (1j, TypeError), ((None, 1), TypeError),
    (np.ones((2, 2), int), (TypeError, ValueError)), (float("nan"), TypeError),
]  # fmt: skip

BAD_PADDINGS: list[tuple[Any, Any]] = [
    (-1, ValueError), ((0, -1), ValueError), (((0, -1), (0, 0)), ValueError),
    ((1,), ValueError), ((0, 0, 0), ValueError), (((0, 0), (0, 0), (0, 0)), ValueError),
    (((0, 0, 0), (0, 0)), ValueError), ("Same", ValueError), ("full", ValueError),
    ("", ValueError), (0.5, TypeError), ((0, 0.5), TypeError), (None, TypeError),
    (((0, None), (0, 0)), TypeError), (-(2**62), ValueError), (BEYOND, ValueError),
    (2**63 - 1, ValueError), (2**62, ValueError), ((2**62, 0), ValueError),
]  # fmt: skip


def _bad_windows() -> list[Bad]:
    rows = []
    for operation, names in WINDOWED.items():
        for name in names:
            values = BAD_PADDINGS if name == "padding" else BAD_COUNTS
            rows += [Bad(operation, {name: value}, error, name) for value, error in values]
        if "kernel_size" in names:
            too_large = [(9, 1), (1, 9), (HUGE, 1), (2**62, 2**62), (BEYOND, 1)]
            rows += [Bad(operation, {"kernel_size": k}, ValueError, "kernel") for k in too_large]
            rows.append(Bad(operation, {"kernel_size": None}, TypeError, "kernel_size"))
        if "dilation" in names and not operation.startswith("conv_transpose"):
            too_wide = [(9, 9), (2**62, 2**62), BEYOND]
            rows += [
                Bad(operation, {"dilation": d}, ValueError, "kernel|dilation") for d in too_wide
            ]
    return rows


def _bad_shapes() -> list[Bad]:
    f32 = np.float32
    return [
        # Channels, filters and features that do not fit together.
        Bad("conv2d", {"weight": np.ones((4, 2, 3, 3), f32)}, ValueError, "x|weight"),
        Bad("conv2d", {"weight": np.ones((4, 3, 0, 3), f32)}, ValueError, "weight"),
        Bad("conv2d", {"weight": np.ones((4, 3, 9, 3), f32)}, ValueError, "weight|kernel"),
        Bad("conv2d", {"bias": np.ones(3, f32)}, ValueError, "bias"),
        Bad("conv2d", {"x": np.ones((2, 3, 0, 7), f32), "padding": 0}, ValueError, "x|weight"),
        Bad("conv2d_groups", {"groups": 4}, ValueError, "groups|weight|x"),
        Bad("conv2d", {"algorithm": "fft"}, ValueError, "algorithm"),
        Bad("conv2d", {"algorithm": None}, (TypeError, ValueError), "algorithm"),
        Bad("linear", {"weight": np.ones((4, 6), f32)}, ValueError, "x|weight"),
        Bad("linear", {"bias": np.ones(5, f32)}, ValueError, "bias"),
        Bad("linear_backward", {"grad": np.ones((3, 5), f32)}, ValueError, "grad"),
        Bad("linear_backward", {"grad": np.ones((2, 4), f32)}, ValueError, "grad"),
        Bad("linear_backward", {"x": np.ones((3, 6), f32)}, ValueError, "x"),
        Bad("conv_transpose2d", {"weight": np.ones((6, 3, 3, 2), f32)}, ValueError, "x"),
        Bad("conv_transpose2d", {"weight": np.ones((4, 3, 0, 2), f32)}, ValueError, "weight"),
        Bad("conv_transpose2d", {"bias": np.ones(3, f32)}, ValueError, "bias"),
        Bad("conv_transpose2d", {"x": np.ones((2, 4, 0, 5), f32)}, ValueError, "x"),
        *[Bad("conv_transpose2d", {"padding": p}, ValueError, "padding") for p in (9, (0, 20))],
        *[Bad("conv_transpose2d", {"groups": g}, ValueError, "groups") for g in (0, -1, 3, 8)],
        *[Bad("conv_transpose2d", {"groups": g}, TypeError, "groups") for g in (1.0, None, "1")],
        *[
            Bad(operation, {"output_padding": p}, error, "output_padding")
            for operation in ("conv_transpose2d", "conv_transpose2d_backward")
            for p, error in [(-1, ValueError), ((2, 0), ValueError), ((0, 3), ValueError),
                             (BEYOND, ValueError), (0.5, TypeError), (None, TypeError),
                             ((0, 1, 0), ValueError)]
        ],
        Bad("conv_transpose2d", {"stride": 2**31}, ValueError, "output"),
        Bad("conv_transpose2d", {"dilation": 2**31}, ValueError, "output"),
        # A gradient that is not of the output's shape.
        Bad("conv_transpose2d_backward", {"grad": np.ones((2, 6, 8, 16), f32)}, ValueError, "grad"),
        Bad("conv2d_backward", {"grad": np.ones((2, 4, 6, 6), f32)}, ValueError, "grad"),
        Bad("conv2d_backward", {"grad": np.ones((1, 4, 6, 7), f32)}, ValueError, "grad"),
        Bad("conv2d_backward", {"grad": np.ones((2, 5, 6, 7), f32)}, ValueError, "grad"),
        Bad("avg_pool2d_backward", {"grad": np.ones((2, 4, 6, 6), f32)}, ValueError, "grad"),
        Bad("col2im", {"col": np.ones((60, 24), f32)}, ValueError, "col"),
        Bad("col2im", {"col": np.ones((24, 60), f32)}, ValueError, "col"),
        Bad("relu_backward", {"grad": np.ones((2, 3), f32)}, ValueError, "grad"),
        Bad("sigmoid_backward", {"grad": np.ones((2, 3), f32)}, ValueError, "grad"),
        Bad("tanh_backward", {"out": np.ones((2, 3), f32)}, ValueError, "out|grad"),
        Bad("silu_backward", {"grad": np.ones((2, 3), f32)}, ValueError, "grad"),
        Bad("prelu_backward", {"grad": np.ones((2, 3), f32)}, ValueError, "grad"),
        *[Bad("prelu", {"weight": np.ones(n, f32)}, ValueError, "weight") for n in (0, 2, 4)],
        Bad("prelu", {"weight": np.ones((3, 1), f32)}, ValueError, "weight"),
        Bad("prelu", {"x": np.ones(3, f32)}, ValueError, "weight"),
        Bad("leaky_relu", {"negative_slope": -1}, ValueError, "negative_slope"),
        Bad("leaky_relu_backward", {"negative_slope": np.nan}, ValueError, "negative_slope"),
        *[Bad("elu_backward", {"alpha": a}, TypeError, "alpha") for a in ("1", None)],
        *[Bad("gelu", {"approximate": a}, ValueError, "approximate") for a in (None, True, "erf")],
        Bad("softmax_backward", {"grad": np.ones((7, 3), f32)}, ValueError, "grad"),
        Bad("log_softmax_backward", {"grad": np.ones(21, f32)}, ValueError, "grad"),
        # Padding of max pooling that could win, and groups.
        Bad("max_pool2d", {"padding": 3}, ValueError, "padding"),
        Bad("max_pool2d", {"padding": ((0, 0), (0, 2))}, ValueError, "padding"),
        Bad("max_pool2d", {"kernel_size": 1, "padding": 1, "dilation": 1}, ValueError, "padding"),
        *[Bad("conv2d", {"groups": g}, ValueError, "groups") for g in (0, -1, 2, BEYOND)],
        *[Bad("conv2d", {"groups": g}, TypeError, "groups") for g in (1.0, None, "1")],
        # Axes.
        *[Bad("softmax", {"axis": a}, ValueError, "axis") for a in (2, -3, HUGE, BEYOND)],
        *[Bad("log_softmax", {"axis": a}, TypeError, "axis") for a in (1.0, "1", None)],
        Bad("softmax_backward", {"axis": 2}, ValueError, "axis"),
        # Normalisation.
        Bad("batch_norm", {"x": np.ones(3, f32)}, ValueError, "x"),
        *[
            Bad("batch_norm", {name: np.ones(shape, f32)}, ValueError, name)
            for name in ("gamma", "beta", "running_mean", "running_var")
            for shape in (3, 5, (4, 1), ())
        ],
        Bad("batch_norm", {"x": np.ones((1, 4, 1, 1), f32)}, ValueError, "x"),
        Bad("batch_norm", {"training": False}, ValueError, "running_mean"),
        Bad("batch_norm", {"running_mean": [0.0] * 4}, TypeError, "running_mean"),
        Bad("batch_norm", {"running_var": np.ones(4, int)}, TypeError, "running_var"),
        *[Bad("batch_norm", {"momentum": m}, ValueError, "momentum") for m in (-0.1, 1.1, np.nan)],
        *[Bad("batch_norm", {"momentum": m}, TypeError, "momentum") for m in ("0.1", None, 1j)],
        *[Bad("batch_norm", {"ceiling": c}, ValueError, "ceiling") for c in (-1, 0, np.nan)],
        *[Bad("batch_norm", {"ceiling": c}, TypeError, "ceiling") for c in ("6", None, 1j)],
        Bad("batch_norm_backward", {"grad": np.ones((2, 4, 6, 6), f32)}, ValueError, "grad"),
        Bad("local_response_norm_backward", {"grad": np.ones((2, 4, 6, 6))}, ValueError, "grad"),
        *[
            Bad("local_response_norm", {"size": s}, error, "size")
            for s, error in [(0, ValueError), (-1, ValueError), (BEYOND, ValueError),
                             (3.0, TypeError), (None, TypeError), ((3, 3), TypeError)]
        ],
        *[
            Bad(operation, {name: value}, error, name)
            for operation, names in [("batch_norm", ("eps",)), ("group_norm", ("eps",)),
                                     ("local_response_norm", ("alpha", "beta", "k"))]
            for name in names
            for value, error in [(-0.1, ValueError), (np.inf, ValueError), (np.nan, ValueError),
                                 ("1", TypeError), (None, TypeError), (1j, TypeError)]
        ],
        # Movements of maps.
        *[
            Bad(operation, {"padding": p}, error, "padding")
            for operation in ("zero_pad2d", "zero_pad2d_backward")
            for p, error in BAD_PADDINGS
            if p not in (-1, (0, -1), ((0, -1), (0, 0)))
        ],
        *[Bad("zero_pad2d", {"padding": p}, ValueError, "padding")
          for p in ("same", "valid", -3, ((-2, -4), (0, 0)), (0, -4), (1, 1, 1, 1))],
        *[Bad("zero_pad2d_backward", {"padding": p}, ValueError, "padding") for p in (4, (0, 5))],
        *[
            Bad(operation, {"groups": g}, error, "groups")
            for operation in ("channel_shuffle", "channel_shuffle_backward")
            for g, error in [(0, ValueError), (-1, ValueError), (3, ValueError), (8, ValueError),
                             (BEYOND, ValueError), (2.0, TypeError), (None, TypeError)]
        ],
        # Scales.
        *[
            Bad(operation, {"scale_factor": f}, error, "scale_factor")
            for operation in ("upsample2d", "upsample2d_bilinear_backward")
            for f, error in [
                (0, ValueError), (-1, ValueError), (np.inf, ValueError), (np.nan, ValueError),
                ((2, 0), ValueError), ((1, 2, 3), ValueError), ((), ValueError),
                (0.1, ValueError), ((1, 0.1), ValueError), ("2", TypeError), (None, TypeError),
                (1j, TypeError), ((1, None), TypeError),
            ]
        ],
        *[Bad("upsample2d", {"scale_factor": f}, ValueError, "output") for f in (1e30, (1, 2e17))],
        *[Bad("upsample2d", {"mode": m}, ValueError, "mode") for m in ("cubic", None, 1)],
        Bad("upsample2d", {"align_corners": True}, ValueError, "align_corners"),
        Bad("upsample2d_backward", {"grad": np.ones((2, 4, 12, 12), f32)}, ValueError, "grad"),
        # Groups of channels.
        *[
            Bad("group_norm", {"groups": g}, error, "groups")
            for g, error in [(0, ValueError), (3, ValueError), (BEYOND, ValueError),
                             (2.0, TypeError), (None, TypeError)]
        ],
        *[
            Bad("group_norm", {name: np.ones(shape, f32)}, ValueError, name)
            for name in ("gamma", "beta")
            for shape in (3, 5, (4, 1), ())
        ],
        Bad("group_norm", {"x": np.ones(4, f32)}, ValueError, "x"),
        Bad("group_norm_backward", {"grad": np.ones((2, 4, 6, 6), f32)}, ValueError, "grad"),
        # Probabilities.
        *[Bad("dropout", {"p": p}, ValueError, "p") for p in (-0.1, 1.1, float("nan"), np.inf)],
        *[Bad("dropout", {"p": p}, TypeError, "p") for p in ("0.5", None, 1j)],
        *[Bad("dropout", {"rng": r}, TypeError, "rng") for r in (None, 3, "seed")],
    ]  # fmt: skip


def _bad_input_shapes() -> list[Bad]:
    shapes: list[tuple[Any, Any]] = [
        ((2, 4, 6), ValueError), ((2, 4, 6, 7, 1), ValueError), ((), ValueError),
        ((2, 4, 6, -7), ValueError), ((-2, 4, 6, 7), ValueError), ((2, 5, 6, 7), ValueError),
        ((3, 4, 6, 7), ValueError), ((2, 4, 0, 7), ValueError), ((2, 4, 6.0, 7), TypeError),
        ("abcd", (TypeError, ValueError)), (None, TypeError), (7, TypeError),
        ((HUGE, HUGE, HUGE, HUGE), ValueError), ((2, 4, HUGE, HUGE), ValueError),
        ((2, 4, 6, BEYOND), ValueError), ((2**63 - 1, 4, 6, 7), ValueError),
        ((2, 4, 2**62, 2**62), ValueError), ((2**32, 2**32, 6, 7), ValueError),
    ]  # fmt: skip
    return [
        Bad(operation, {"input_shape": shape}, error, "input_shape|col|grad|argmax")
        for operation in (
            "col2im",
            "max_pool2d_backward",
            "avg_pool2d_backward",
            "upsample2d_backward",
        )
        for shape, error in shapes
        if not (operation == "max_pool2d_backward" and shape == (2, 4, HUGE, HUGE))
    ]


def outside(argmax: Any) -> Any:
    argmax = argmax.copy()
    argmax[-1, -1, -1, -1] = 6 * 7
    return argmax


def negative(argmax: Any) -> Any:
    argmax = argmax.copy()
    argmax[0, 0, 0, 0] = -1
    return argmax


def extreme(argmax: Any) -> Any:
    return np.full_like(argmax, 2**63 - 1)


def as_float(argmax: Any) -> Any:
    return argmax.astype(np.float64)


def cropped(argmax: Any) -> Any:
    return argmax[:, :, 1:]


def _bad_indices() -> list[Bad]:
    def labels(*values: Any, dtype: Any = np.int64) -> Any:
        return np.array(values, dtype=dtype)

    target: list[tuple[Any, Any]] = [
        (labels(0, 1, 2, 5), ValueError), (labels(0, 1, 2, -1), ValueError),
        (labels(0, 1, 2, 2**63 - 1), ValueError), (labels(0, 1, 2), ValueError),
        (labels(0, 1, 2, 2**64 - 1, dtype=np.uint64), ValueError),
        (labels(0, 1, 2, 3, 4), ValueError), (labels(0.0, 1, 2, 3, dtype=float), TypeError),
        (labels("a", "b", "c", "d", dtype=object), TypeError), (None, TypeError),
        (labels("a", "b", "c", "d", dtype=str), TypeError),
        (np.ones((4, 6)) / 6, ValueError), (np.ones((3, 5)) / 5, ValueError),
        (np.ones((4, 5, 1)), ValueError), (np.int64(3), ValueError),
        (np.ones((4, 5), dtype=complex), TypeError),
    ]  # fmt: skip
    smoothing: list[tuple[Any, Any]] = [
        (-0.1, ValueError), (1.1, ValueError), (float("nan"), ValueError), ("0.1", TypeError),
        (None, TypeError),
    ]  # fmt: skip
    return [
        *[
            Bad("max_pool2d_backward", {"argmax": change}, ValueError, "argmax")
            for change in (outside, negative, extreme, cropped)
        ],
        Bad("max_pool2d_backward", {"argmax": as_float}, TypeError, "argmax"),
        *[Bad("cross_entropy_labels", {"target": t}, e, "target") for t, e in target],
        *[
            Bad("cross_entropy_labels", {"label_smoothing": s}, e, "label_smoothing")
            for s, e in smoothing
        ],
        Bad("cross_entropy_labels", {"logits": np.ones((4, 0), np.float32)}, ValueError, "logits"),
    ]


def _too_large() -> list[Bad]:
    """Results whose size, or a product on the way to it, does not fit 63 bits."""
    far = (2**61, 2**61)
    wide = {"kernel_size": 2**31, "padding": 2**30, "dilation": 1}
    wider = {"kernel_size": 2**31, "stride": 1, "padding": 2**31 - 1}
    return [
        Bad("im2col", wide, ValueError, "kernel_size|padding|x"),
        Bad("max_pool2d", {**wider, "dilation": 1}, ValueError, "kernel_size|padding|x"),
        Bad("avg_pool2d", wider, ValueError, "kernel_size|padding|x"),
        Bad("im2col", {"padding": far}, ValueError, "padding"),
        Bad("conv2d", {"padding": far}, ValueError, "padding"),
        Bad("avg_pool2d", {"padding": far}, ValueError, "padding"),
        Bad("im2col", {"padding": HUGE}, ValueError, "padding"),
        Bad("conv2d", {"padding": HUGE}, ValueError, "padding"),
        Bad("avg_pool2d", {"padding": HUGE}, ValueError, "padding"),
    ]


ROWS = [
    *_bad_ranks(),
    *_bad_windows(),
    *_bad_shapes(),
    *_bad_input_shapes(),
    *_bad_indices(),
    *_too_large(),
    *_bad_dtypes(),
]
