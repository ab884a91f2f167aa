"""Sums of a hundred thousand terms and more are right to the last digits of float32.

The terms are equal, which is the worst case: in one running sum every addition then rounds the same
way, and 10**6 terms lose two to four digits. References are sums in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F

Array = npt.NDArray[Any]
UNIT = float(np.finfo(np.float32).eps) / 2
# 512 equal terms in a row, each addition off by half of the unit in the mean. Other terms round to
# either side.
RELATIVE, RANDOM = 256 * UNIT, 16 * UNIT


def _of(value: float, *shape: int) -> Array:
    return np.full(shape, value, np.float32)


def _assert_right(actual: Any, wanted: Any, relative: float = RELATIVE) -> None:
    np.testing.assert_allclose(np.asarray(actual, np.float64), wanted, rtol=relative, atol=0)


@pytest.mark.parametrize(
    "kernel", [(1024, 1024), (512, 512), (1024, 1), (1, 1024), (200, 130), (100, 1024)]
)
def test_average_pooling(kernel: tuple[int, int]) -> None:
    _assert_right(F.avg_pool2d(_of(0.7, 1, 2, 1024, 1024), kernel), float(np.float32(0.7)))


def test_average_pooling_of_other_values() -> None:
    x = np.random.default_rng(3).random((1, 1, 700, 900), dtype=np.float32) + np.float32(0.5)
    for kernel, stride in [((700, 900), None), ((500, 300), 100), ((3, 800), 50)]:
        out = F.avg_pool2d(x, kernel, stride)
        steps = stride or 1
        windows = np.lib.stride_tricks.sliding_window_view(x[0, 0], kernel)[::steps, ::steps]
        _assert_right(out[0, 0], windows.mean(axis=(2, 3), dtype=np.float64), RANDOM)


@pytest.mark.parametrize(("rows", "cols"), [(2**20, 3), (10**5, 40)])
def test_linear_parameters(rows: int, cols: int) -> None:
    grad, x, weight = _of(0.1, rows, cols), _of(0.7, rows, 5), _of(1, cols, 5)
    _, dweight, dbias = F.linear_backward(grad, x, weight)
    tenth, seventh = float(np.float32(0.1)), float(np.float32(0.7))
    _assert_right(dweight, rows * tenth * seventh)
    _assert_right(dbias, rows * tenth)


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 7), (40, 3), (130, 50), (16, 400)])
def test_linear_of_many_inputs(rows: int, cols: int) -> None:
    depth = 2**22 // max(rows, cols)
    bias = np.arange(cols, dtype=np.float32)
    out = F.linear(_of(0.7, rows, depth), _of(0.3, cols, depth), bias)
    product = depth * float(np.float32(0.7)) * float(np.float32(0.3))
    _assert_right(out, np.broadcast_to(product + np.arange(cols), (rows, cols)))


@pytest.mark.parametrize("rows", [1, 5, 9, 40])
def test_gradient_of_the_input_from_many_outputs(rows: int) -> None:
    outputs = 2**19
    dx, _, _ = F.linear_backward(_of(0.1, rows, outputs), _of(1, rows, 6), _of(0.7, outputs, 6))
    _assert_right(dx, outputs * float(np.float32(0.1)) * float(np.float32(0.7)))


@pytest.mark.parametrize(
    ("shape", "filters", "kernel"),
    [
        ((1, 1, 1024, 1024), 1, (1024, 1024)),
        ((1, 3, 300, 300), 2, (299, 300)),
        ((2, 2, 150, 150), 70, (149, 149)),
        ((1, 1, 4, 10**6), 1, (1, 10**6)),
        ((1, 40000, 3, 4), 3, (3, 3)),
        ((1, 40000, 5, 6), 80, (1, 1)),
    ],
)
def test_convolution_of_a_large_window(
    shape: tuple[int, ...], filters: int, kernel: tuple[int, int]
) -> None:
    weight = _of(0.3, filters, shape[1], *kernel)
    out = F.conv2d(_of(0.7, *shape), weight)
    taps = weight[0].size
    _assert_right(out, taps * float(np.float32(0.7)) * float(np.float32(0.3)))


@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "groups", "algorithm"),
    [
        (2, 4, 3, 1, "auto"),
        (3, 4, 3, 1, "im2col"),
        (3, 4, 3, 1, "winograd"),
        (3, 4, 1, 1, "auto"),
        (16, 16, 3, 16, "auto"),
    ],
    ids=["direct", "im2col", "winograd", "pointwise", "depthwise"],
)
def test_convolution_parameters(
    channels: int, filters: int, kernel: int, groups: int, algorithm: str
) -> None:
    images, size = 16, 253 + kernel
    x = _of(0.7, images, channels, size, size)
    grad = _of(0.1, images, filters, 254, 254)
    weight = _of(1, filters, channels // groups, kernel, kernel)
    _, dweight, dbias = F.conv2d_backward(
        grad, x, weight, groups=groups, algorithm=algorithm, input_grad=False
    )
    terms = images * 254 * 254 * float(np.float32(0.1))
    _assert_right(dbias, terms)
    _assert_right(dweight, terms * float(np.float32(0.7)))


def test_products_of_other_values() -> None:
    rng = np.random.default_rng(8)
    x, weight = (rng.random((n, 2**19), dtype=np.float32) + np.float32(0.5) for n in (3, 5))
    wide, wide_weight = x.astype(np.float64), weight.astype(np.float64)
    _assert_right(F.linear(x, weight), wide @ wide_weight.T, RANDOM)
    dx, _, _ = F.linear_backward(x, x[:, :4], np.ascontiguousarray(weight[:4].T))
    _assert_right(dx, wide @ wide_weight[:4].T, RANDOM)
    rows = np.ascontiguousarray(x.T), np.ascontiguousarray(weight.T)
    _, dweight, dbias = F.linear_backward(*rows, np.ones((3, 5), np.float32))
    _assert_right(dweight, wide @ wide_weight.T, RANDOM)
    _assert_right(dbias, wide.sum(axis=1), RANDOM)


def test_softmax_of_many_classes() -> None:
    classes = 2**20
    x = _of(0.7, 2, classes)
    _assert_right(F.softmax(x), 1 / classes)
    np.testing.assert_allclose(F.log_softmax(x), -np.log(classes), rtol=1e-6)
    grad = F.softmax_backward(_of(0.1, 2, classes), _of(1, 2, classes))
    total = classes * float(np.float32(0.1))
    _assert_right(grad, float(np.float32(0.1)) - total)
    _assert_right(
        F.log_softmax_backward(_of(0.1, 2, classes), _of(0, 2, classes)),
        float(np.float32(0.1)) - total,
    )
    loss, _ = F.cross_entropy(x, [1, 2])
    assert loss == pytest.approx(np.log(classes), rel=1e-6)
