"""Max and average pooling against the naive reference."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pocketcnn.functional as F
import reference
from tolerance import assert_sum_close

FLOATS = [np.float16, np.float32, np.float64]

# Input shape, and the window arguments that max and average pooling have in common.
Case = tuple[tuple[int, int, int, int], dict[str, Any]]
CASES: list[Case] = [
    ((2, 3, 6, 6), {"kernel_size": 2}),
    ((2, 3, 7, 9), {"kernel_size": 2}),
    ((2, 3, 7, 9), {"kernel_size": 2, "ceil_mode": True}),
    ((2, 3, 9, 8), {"kernel_size": 3, "stride": 2}),  # overlapping
    ((2, 3, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((2, 3, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ((2, 3, 8, 8), {"kernel_size": 3, "stride": 1, "padding": 2}),  # padding >= kernel / 2
    ((2, 3, 8, 7), {"kernel_size": (3, 2), "stride": (1, 3), "padding": (2, 0)}),
    ((2, 3, 8, 7), {"kernel_size": (2, 3), "padding": ((0, 1), (2, 1))}),
    ((2, 3, 8, 7), {"kernel_size": (3, 4), "stride": 1, "padding": "same"}),
    ((2, 3, 8, 7), {"kernel_size": 3, "padding": "valid", "ceil_mode": True}),
    ((2, 3, 5, 5), {"kernel_size": 5}),  # kernel = input
    ((2, 3, 3, 3), {"kernel_size": 5, "padding": 1}),  # larger than the unpadded image
    ((2, 3, 11, 10), {"kernel_size": 2, "stride": 4}),  # stride > kernel
    ((2, 3, 11, 10), {"kernel_size": 2, "stride": 4, "ceil_mode": True}),
    # Rounding up would start the last window exactly where the image ends.
    ((2, 3, 4, 6), {"kernel_size": 1, "stride": 2, "ceil_mode": True}),
    # The only window reaches past the end, by less than a stride.
    ((1, 2, 2, 2), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    ((2, 3, 1, 1), {"kernel_size": 2, "ceil_mode": True}),
    ((2, 3, 9, 3), {"kernel_size": (3, 6), "stride": (2, 3), "padding": 1, "ceil_mode": True}),
    (
        (2, 1, 1, 5),
        {"kernel_size": (4, 2), "stride": 3, "padding": ((1, 0), (0, 1)), "ceil_mode": True},
    ),
    ((1, 1, 5, 70), {"kernel_size": (9, 100), "stride": (5, 31), "ceil_mode": True}),
    ((2, 3, 5, 6), {"kernel_size": 1}),
    ((1, 1, 1, 1), {"kernel_size": 1}),
    ((1, 1, 1, 1), {"kernel_size": 3, "padding": 1}),
    ((0, 3, 6, 6), {"kernel_size": 2}),
    ((1, 40, 3, 50), {"kernel_size": (1, 3), "stride": (1, 2)}),
    ((2, 30, 24, 24), {"kernel_size": 2}),  # the simple convnet
    ((1, 16, 55, 55), {"kernel_size": 3, "stride": 2}),  # AlexNet
    ((2, 8, 56, 56), {"kernel_size": 3, "stride": 2, "padding": 1}),  # ResNet
    ((2, 20, 7, 7), {"kernel_size": 7}),  # global
]
ODD: list[Case] = [
    ((1 + h % 2, 1 + w % 3, h, w), {"kernel_size": (1 + h % 4, 1 + w % 3), "stride": 1 + h % 3})
    for h, w in zip(range(1, 11), [4, 9, 5, 1, 7, 10, 3, 8, 2, 6], strict=True)
    if 1 + h % 4 <= h and 1 + w % 3 <= w
]
DILATED: list[Case] = [
    ((2, 3, 9, 8), {"kernel_size": 3, "stride": 1, "dilation": 2}),
    ((2, 3, 9, 8), {"kernel_size": 2, "stride": 2, "dilation": (3, 2), "padding": (1, 1)}),
    ((2, 3, 9, 8), {"kernel_size": 3, "stride": 2, "dilation": 2, "padding": 4}),
    ((2, 3, 9, 8), {"kernel_size": 3, "dilation": 3, "padding": 3, "ceil_mode": True}),
]


def _id(value: object) -> str | None:
    if not isinstance(value, tuple):
        return None
    shape, window = value
    return f"x{shape} {window}".replace(", ", ",").replace("'", "")


def _draw(case: Case, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Draw normal numbers that every dtype holds exactly."""
    rng = np.random.default_rng(zlib.crc32(repr((case, len(shape))).encode()))
    return rng.normal(size=shape).astype(np.float16).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES + ODD + DILATED, ids=_id)
def test_max_pool2d(case: Case, dtype: npt.DTypeLike) -> None:
    shape, window = case
    x = _draw(case, shape, dtype)
    out, argmax = F.max_pool2d(x, **window)
    expected, where = reference.max_pool2d(x, **window)
    assert (out.dtype, argmax.dtype) == (np.dtype(dtype), np.dtype(np.int64))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(argmax, where)


@pytest.mark.parametrize("case", CASES + DILATED, ids=_id)
def test_first_maximum_wins(case: Case) -> None:
    """Three values make ties in nearly every window; infinities and signed zeros take part."""
    shape, window = case
    rng = np.random.default_rng(3)
    values = np.array([[0.0, -0.0, 1.0], [-np.inf, -1.0, np.inf], [-np.inf] * 3, [-2.0] * 3])
    for row in values:
        x = rng.choice(row, size=shape).astype(np.float32)
        out, argmax = F.max_pool2d(x, **window)
        expected, where = reference.max_pool2d(x, **window)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(argmax, where)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES + DILATED, ids=_id)
def test_nan_wins_over_every_number(case: Case, dtype: npt.DTypeLike) -> None:
    shape, window = case
    rng = np.random.default_rng(4)
    for share in (0.1, 1.0):
        x = rng.choice([np.inf, 1.0, -1.0], size=shape).astype(dtype)
        x[rng.random(size=shape) < share] = np.nan
        out, argmax = F.max_pool2d(x, **window)
        expected, where = reference.max_pool2d(x, **window)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(argmax, where)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES + ODD + DILATED, ids=_id)
def test_max_pool2d_backward(case: Case, dtype: npt.DTypeLike) -> None:
    shape, window = case
    out, argmax = F.max_pool2d(_draw(case, shape, dtype), **window)
    grad = _draw(case, (*out.shape, 1), dtype)[..., 0]
    dx = F.max_pool2d_backward(grad, argmax, shape)
    expected = reference.max_pool2d_backward(grad, argmax, shape)
    magnitude = reference.max_pool2d_backward(np.abs(grad.astype(np.float64)), argmax, shape)
    assert dx.dtype == dtype
    assert_sum_close(dx, expected, magnitude, math.prod(reference.pair(window["kernel_size"])))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("case", CASES + ODD, ids=_id)
def test_avg_pool2d(case: Case, include: bool, dtype: npt.DTypeLike) -> None:
    shape, window = case
    window = {**window, "count_include_pad": include}
    x = _draw(case, shape, dtype)
    out = F.avg_pool2d(x, **window)
    expected = reference.avg_pool2d(x, **window)
    magnitude = reference.avg_pool2d(np.abs(x.astype(np.float64)), **window)
    terms = math.prod(reference.pair(window["kernel_size"]))
    assert out.dtype == dtype
    assert_sum_close(out, expected, magnitude, terms + 1)  # one more: the division

    grad = _draw(case, (*out.shape, 1), dtype)[..., 0]
    dx = F.avg_pool2d_backward(grad, shape, **window)
    expected = reference.avg_pool2d_backward(grad, shape, **window)
    magnitude = reference.avg_pool2d_backward(np.abs(grad.astype(np.float64)), shape, **window)
    assert dx.dtype == dtype
    assert_sum_close(dx, expected, magnitude, terms + 1)


def test_stride_defaults_to_the_kernel() -> None:
    x = _draw(CASES[0], (2, 3, 9, 8), np.float32)
    for kernel in (2, (3, 2)):
        explicit = F.max_pool2d(x, kernel, kernel)
        for got, wanted in zip(F.max_pool2d(x, kernel), explicit, strict=True):
            np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(F.avg_pool2d(x, kernel), F.avg_pool2d(x, kernel, kernel))


def test_positional_arguments_follow_the_documented_order() -> None:
    x = _draw(CASES[0], (2, 3, 9, 8), np.float64)
    out, argmax = F.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2), True)
    expected, where = reference.max_pool2d(x, (3, 2), (2, 1), (1, 0), (1, 2), True)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(argmax, where)
    average = F.avg_pool2d(x, (3, 2), (2, 1), (1, 0), True, False)
    expected = reference.avg_pool2d(x, (3, 2), (2, 1), (1, 0), True, False)
    magnitude = reference.avg_pool2d(np.abs(x), (3, 2), (2, 1), (1, 0), True, False)
    assert_sum_close(average, expected, magnitude, 7)
    dx = F.avg_pool2d_backward(average, x.shape, (3, 2), (2, 1), (1, 0), True, False)
    expected = reference.avg_pool2d_backward(average, x.shape, (3, 2), (2, 1), (1, 0), True, False)
    bound = reference.avg_pool2d_backward(
        np.abs(average), x.shape, (3, 2), (2, 1), (1, 0), True, False
    )
    assert_sum_close(dx, expected, bound, 7)


def test_backward_takes_any_repetition_of_an_index() -> None:
    """Every output may name the same input: all gradients add up there."""
    grad = np.arange(1, 25, dtype=np.float64).reshape(2, 3, 2, 2)
    dx = F.max_pool2d_backward(grad, np.full(grad.shape, 7, dtype=np.int64), (2, 3, 3, 4))
    expected = np.zeros((2, 3, 12))
    expected[:, :, 7] = grad.sum(axis=(2, 3))
    np.testing.assert_array_equal(dx, expected.reshape(2, 3, 3, 4))


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    def ints(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    shape = (*ints(0, 3), *ints(1, 14))
    assume(shape[1] > 0)
    kernel = ints(1, 4)
    below = [draw(st.integers(0, kernel[i] - 1)) for i in (0, 0, 1, 1)]
    padding: Any = draw(
        st.sampled_from(["same", "valid", ((below[0], below[1]), (below[2], below[3]))])
    )
    window = {"kernel_size": kernel, "stride": ints(1, 4), "padding": padding}
    window["ceil_mode"] = draw(st.booleans())
    rows, cols = reference.axes(shape, **window)
    assume(rows.outputs > 0 and cols.outputs > 0)
    return shape, window


@given(_cases(), st.sampled_from(FLOATS))
def test_any_geometry(case: Case, dtype: npt.DTypeLike) -> None:
    test_max_pool2d(case, dtype)
    test_max_pool2d_backward(case, dtype)
    test_avg_pool2d(case, True, dtype)
    test_avg_pool2d(case, False, dtype)
