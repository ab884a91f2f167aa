"""Every backward function against central differences of its forward, in float64.

The scalar differentiated is ``sum(forward(...) * grad)``. With step h the difference errs by
O(h**2) of truncation and eps / h of rounding; h = 1e-5 leaves both near 1e-10, so a relative
error of 1e-6 separates a right gradient from a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
from operations import ACTIVATIONS, FROM_INPUT, distinct

STEP = 1e-5
LIMIT = 1e-6

Array = npt.NDArray[np.float64]
Forward = Callable[..., Array]


def _numeric(forward: Callable[[], Array], grad: Array, variable: Array) -> Array:
    """Differentiate ``sum(forward() * grad)`` by every element of `variable`, changed in place."""
    result = np.zeros_like(variable)
    for index in np.ndindex(*variable.shape):
        kept = variable[index]
        variable[index] = kept + STEP
        above = np.sum(forward() * grad)
        variable[index] = kept - STEP
        below = np.sum(forward() * grad)
        variable[index] = kept
        result[index] = (above - below) / (2 * STEP)
    return result


def _assert_gradient(analytic: Array | None, numeric: Array) -> None:
    assert analytic is not None
    assert analytic.dtype == np.float64
    assert analytic.shape == numeric.shape
    scale = max(float(np.abs(numeric).max()), 1e-3)
    assert float(np.abs(analytic - numeric).max()) / scale < LIMIT


CONVOLUTIONS: list[dict[str, Any]] = [
    {},
    {"padding": 1},
    {"stride": 2, "padding": (1, 0)},
    {"stride": (1, 3), "padding": ((0, 2), (1, 0))},
    {"dilation": 2, "padding": 2},
    {"dilation": (1, 2), "padding": "same"},
    {"groups": 2, "stride": 2},
    {"groups": 4, "padding": 1},
]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_conv2d(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 6, 5))
    weight = rng.normal(size=(4, 4 // options.get("groups", 1), 3, 2))
    bias = rng.normal(size=4)

    def forward() -> Array:
        return F.conv2d(x, weight, bias, **options)

    grad = rng.normal(size=forward().shape)
    analytic = F.conv2d_backward(grad, x, weight, **options)
    for a, variable in zip(analytic, (x, weight, bias), strict=True):
        _assert_gradient(a, _numeric(forward, grad, variable))


@pytest.mark.parametrize("options", CONVOLUTIONS[:6], ids=str)
def test_column_matrix_and_col2im_are_adjoint(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 3, 6, 5))
    col = F.im2col(x, (3, 2), **options)
    grad = rng.normal(size=col.shape)
    back = F.col2im(grad, x.shape, (3, 2), **options)
    _assert_gradient(back, _numeric(lambda: F.im2col(x, (3, 2), **options), grad, x))


POOLS: list[dict[str, Any]] = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": "same"},
    {"kernel_size": (3, 2), "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 3, "padding": ((1, 0), (0, 1)), "ceil_mode": True},
]


@pytest.mark.parametrize("options", [*POOLS, {"kernel_size": 2, "dilation": 2}], ids=str)
def test_max_pool2d(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    x = distinct(rng, (2, 2, 6, 5))
    out, argmax = F.max_pool2d(x, **options)
    grad = rng.normal(size=out.shape)
    analytic = F.max_pool2d_backward(grad, argmax, x.shape)
    _assert_gradient(analytic, _numeric(lambda: F.max_pool2d(x, **options)[0], grad, x))


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("options", POOLS, ids=str)
def test_avg_pool2d(options: dict[str, Any], include: bool) -> None:
    rng = np.random.default_rng(3)
    options = {**options, "count_include_pad": include}
    x = rng.normal(size=(2, 2, 6, 5))
    grad = rng.normal(size=F.avg_pool2d(x, **options).shape)
    analytic = F.avg_pool2d_backward(grad, x.shape, **options)
    _assert_gradient(analytic, _numeric(lambda: F.avg_pool2d(x, **options), grad, x))


def test_linear() -> None:
    rng = np.random.default_rng(4)
    x, weight, bias = rng.normal(size=(3, 5)), rng.normal(size=(4, 5)), rng.normal(size=4)

    def forward() -> Array:
        return F.linear(x, weight, bias)

    grad = rng.normal(size=(3, 4))
    for a, variable in zip(F.linear_backward(grad, x, weight), (x, weight, bias), strict=True):
        _assert_gradient(a, _numeric(forward, grad, variable))


@pytest.mark.parametrize("row", ACTIVATIONS)
def test_elementwise(row: str) -> None:
    rng = np.random.default_rng(5)
    name, settings = ACTIVATIONS[row]
    forward: Forward = getattr(F, name)
    x = distinct(rng, (2, 3, 4, 8)) * 1.01  # on both sides of every kink, and 0.01 from it
    grad = rng.normal(size=x.shape)
    kept = x if name in FROM_INPUT else forward(x, **settings)
    analytic = getattr(F, f"{name}_backward")(grad, kept, **settings)
    _assert_gradient(analytic, _numeric(lambda: forward(x, **settings), grad, x))


@pytest.mark.parametrize("shape", [(7,), (5, 3), (2, 3, 4, 5)])
@pytest.mark.parametrize("slopes", [1, 3])
def test_prelu(slopes: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(6)
    x, grad, weight = distinct(rng, shape), rng.normal(size=shape), rng.normal(size=slopes)
    if slopes == 3 and len(shape) < 2:
        with pytest.raises(ValueError, match="one for each channel"):
            F.prelu(x, weight)
        return
    for a, variable in zip(F.prelu_backward(grad, x, weight), (x, weight), strict=True):
        _assert_gradient(a, _numeric(lambda: F.prelu(x, weight), grad, variable))


@pytest.mark.parametrize(("shape", "axis"), [((4, 6), 1), ((4, 6), 0), ((2, 3, 2, 4), 1)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_normalised(name: str, shape: tuple[int, ...], axis: int) -> None:
    rng = np.random.default_rng(6)
    forward: Forward = getattr(F, name)
    x = rng.normal(size=shape)
    grad = rng.normal(size=shape)
    analytic = getattr(F, f"{name}_backward")(grad, forward(x, axis=axis), axis=axis)
    _assert_gradient(analytic, _numeric(lambda: forward(x, axis=axis), grad, x))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_cross_entropy(kind: str, smoothing: float) -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(4, 5))
    target = rng.integers(0, 5, size=4) if kind == "labels" else rng.dirichlet(np.ones(5), size=4)

    def forward() -> Array:
        return np.asarray(F.cross_entropy(logits, target, smoothing)[0])

    analytic = F.cross_entropy(logits, target, smoothing)[1]
    _assert_gradient(analytic, _numeric(forward, np.ones(()), logits))


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 4, 3), (2, 2, 8, 9)], ids=str)
def test_batch_norm(shape: tuple[int, ...], training: bool, rectify: bool) -> None:
    rng = np.random.default_rng(10)
    x, (gamma, beta) = rng.normal(size=shape), rng.normal(size=(2, shape[1]))
    running = rng.normal(size=shape[1]), rng.uniform(0.5, 2, size=shape[1])

    def forward() -> Array:
        kept = [a.copy() for a in running]
        return F.batch_norm(x, gamma, beta, *kept, training, rectify=rectify)[0]

    grad = rng.normal(size=shape)
    cache = F.batch_norm(x, gamma, beta, *running, training, momentum=0, rectify=rectify)[1]
    for a, variable in zip(F.batch_norm_backward(grad, cache), (x, gamma, beta), strict=True):
        _assert_gradient(a, _numeric(forward, grad, variable))


@pytest.mark.parametrize(("size", "beta"), [(1, 0.75), (2, 0.75), (5, 0.6), (4, 2.0), (30, 0.75)])
def test_local_response_norm(size: int, beta: float) -> None:
    rng = np.random.default_rng(11)
    x, grad = rng.normal(size=(2, 2, 6, 3, 3))
    _, cache = F.local_response_norm(x, size, 0.8, beta, 1.5)
    analytic = F.local_response_norm_backward(grad, cache)
    numeric = _numeric(lambda: F.local_response_norm(x, size, 0.8, beta, 1.5)[0], grad, x)
    _assert_gradient(analytic, numeric)


@pytest.mark.parametrize("p", [0.0, 0.3])
def test_dropout_scales_its_gradient_like_its_output(p: float) -> None:
    """The layer multiplies both by the mask, so the mask must hold the scale."""
    x = np.random.default_rng(8).normal(size=(5, 6))
    out, mask = F.dropout(x, p, np.random.default_rng(9))
    np.testing.assert_allclose(x * mask, out, rtol=4 * np.finfo(np.float64).eps)
