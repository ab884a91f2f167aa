"""im2col, col2im and convolution against the naive reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pocketcnn.functional as F
import reference
from conv_cases import ALL, EMPTY, LARGER, SMALL, WINDOWS, ConvCase
from tolerance import assert_sum_close

FLOATS = [np.float32, np.float64]


def _window(case: ConvCase) -> dict[str, Any]:
    return {"kernel_size": case.kernel, **case.window}


def _double(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float64]]:
    return {name: a.astype(np.float64) for name, a in arrays.items()}


def _assert_forward(case: ConvCase, dtype: npt.DTypeLike, *, bias: bool = True) -> None:
    arrays = case.arrays(dtype)
    names = ["x", "weight", "bias"] if bias else ["x", "weight"]
    actual = F.conv2d(*(arrays[n] for n in names), **case.options)
    exact = _double(arrays)
    expected = reference.conv2d(*(exact[n] for n in names), **case.options)
    magnitude = reference.conv2d(*(np.abs(exact[n]) for n in names), **case.options)
    assert actual.dtype == dtype
    assert_sum_close(actual, expected, magnitude, math.prod(case.weight[1:]))


def _assert_backward(case: ConvCase, dtype: npt.DTypeLike) -> None:
    arrays = case.arrays(dtype)
    names = ["grad", "x", "weight"]
    actual = F.conv2d_backward(*(arrays[n] for n in names), **case.options)
    exact = _double(arrays)
    expected = reference.conv2d_backward(*(exact[n] for n in names), **case.options)
    magnitude = reference.conv2d_backward(*(np.abs(exact[n]) for n in names), **case.options)
    positions = case.output[0] * math.prod(case.output[2:])
    terms = (case.filters // case.groups * math.prod(case.kernel), positions, positions)
    for a, e, m, k in zip(actual, expected, magnitude, terms, strict=True):
        assert a is not None
        assert a.dtype == dtype
        assert_sum_close(a, e, m, k)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_conv2d(case: ConvCase, dtype: npt.DTypeLike) -> None:
    _assert_forward(case, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", ALL, ids=str)
def test_conv2d_backward(case: ConvCase, dtype: npt.DTypeLike) -> None:
    _assert_backward(case, dtype)


@pytest.mark.parametrize("case", WINDOWS[:4] + EMPTY + LARGER[:1], ids=str)
def test_float16_is_computed_in_float32(case: ConvCase) -> None:
    _assert_forward(case, np.float16)
    _assert_backward(case, np.float16)


@pytest.mark.parametrize("case", WINDOWS[:4] + LARGER[:1], ids=str)
def test_conv2d_without_bias(case: ConvCase) -> None:
    _assert_forward(case, np.float32, bias=False)


@pytest.mark.parametrize("case", WINDOWS[:4] + LARGER[:1], ids=str)
def test_algorithm_im2col_gives_the_same_result(case: ConvCase) -> None:
    arrays = case.arrays(np.float32)
    operands = arrays["x"], arrays["weight"]
    exact = [np.abs(o.astype(np.float64)) for o in operands]
    magnitude = reference.conv2d(*exact, **case.options)
    expected = reference.conv2d(*operands, **case.options)
    actual = F.conv2d(*operands, **case.options, algorithm="im2col")
    assert_sum_close(actual, expected, magnitude, math.prod(case.weight[1:]))


@pytest.mark.parametrize("case", WINDOWS[:4] + EMPTY + LARGER[:1], ids=str)
def test_input_grad_false_leaves_dx_out(case: ConvCase) -> None:
    arrays = case.arrays(np.float32)
    operands = arrays["grad"], arrays["x"], arrays["weight"]
    _, dweight, dbias = F.conv2d_backward(*operands, **case.options)
    result = F.conv2d_backward(*operands, **case.options, input_grad=False)
    assert result[0] is None
    np.testing.assert_array_equal(result[1], dweight)
    np.testing.assert_array_equal(result[2], dbias)


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
@pytest.mark.parametrize("case", SMALL + LARGER[:1], ids=str)
def test_im2col_copies_exactly(case: ConvCase, dtype: npt.DTypeLike) -> None:
    x = case.arrays(dtype)["x"]
    actual = F.im2col(x, **_window(case))
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual, reference.im2col(x, **_window(case)))


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
@pytest.mark.parametrize("case", SMALL + LARGER[:1], ids=str)
def test_col2im_adds_overlaps(case: ConvCase, dtype: npt.DTypeLike) -> None:
    shape = reference.im2col(case.arrays(dtype)["x"], **_window(case)).shape
    rng = np.random.default_rng(len(str(case)))
    col = rng.normal(size=shape).astype(np.float16).astype(dtype)
    actual = F.col2im(col, case.x, **_window(case))
    expected = reference.col2im(col, case.x, **_window(case))
    magnitude = reference.col2im(np.abs(col.astype(np.float64)), case.x, **_window(case))
    assert actual.dtype == dtype
    assert_sum_close(actual, expected, magnitude, math.prod(case.kernel))


def test_row_and_column_order_of_im2col() -> None:
    x = np.arange(2 * 2 * 3 * 3, dtype=np.float32).reshape(2, 2, 3, 3)
    col = F.im2col(x, 2)
    assert col.shape == (2 * 2 * 2, 2 * 2 * 2)
    # Row (n, oh, ow) = (1, 0, 1), column (c, kh, kw) = (1, 1, 0).
    assert col[1 * 4 + 0 * 2 + 1, 1 * 4 + 1 * 2 + 0] == x[1, 1, 0 + 1, 1 + 0]


def test_positional_arguments_follow_the_documented_order() -> None:
    case = ConvCase((2, 4, 9, 8), 6, (3, 2), (2, 1), ((1, 0), (2, 1)), (1, 2), 2)
    a = case.arrays(np.float64)
    x, weight, bias, grad = a["x"], a["weight"], a["bias"], a["grad"]
    window = (case.stride, case.padding, case.dilation)
    np.testing.assert_array_equal(
        F.conv2d(x, weight, bias, *window, case.groups, "auto"),
        F.conv2d(x, weight, bias, **case.options),
    )
    expected = F.conv2d_backward(grad, x, weight, **case.options)
    actual = F.conv2d_backward(grad, x, weight, *window, case.groups, True, "auto")
    for got, wanted in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    col = F.im2col(x, case.kernel, *window)
    np.testing.assert_array_equal(col, F.im2col(x, **_window(case)))
    np.testing.assert_array_equal(
        F.col2im(col, case.x, case.kernel, *window), F.col2im(col, case.x, **_window(case))
    )


def test_padding_far_larger_than_the_image_is_not_stored() -> None:
    """A stride as long as the padding: three positions, of which one sees the image."""
    far = 2**30
    x = np.ones((1, 1, 3, 3), dtype=np.float32)
    col = F.im2col(x, 3, stride=far, padding=far)
    assert col.shape == (9, 9)
    np.testing.assert_array_equal(col.sum(axis=1), [0, 0, 0, 0, 9, 0, 0, 0, 0])
    out = F.conv2d(x, x, stride=far, padding=far)
    np.testing.assert_array_equal(out[0, 0], [[0, 0, 0], [0, 9, 0], [0, 0, 0]])


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_special_values_reach_only_the_windows_that_see_them(special: float) -> None:
    case = ConvCase((1, 2, 9, 9), 3, (3, 3), padding=1)
    arrays = case.arrays(np.float32)
    arrays["x"][0, 1, 4, 4] = special
    out = F.conv2d(arrays["x"], arrays["weight"], padding=1)
    seen = np.zeros((9, 9), dtype=bool)
    seen[3:6, 3:6] = True
    np.testing.assert_array_equal(np.isfinite(out), np.broadcast_to(~seen, out.shape))


@st.composite
def _cases(draw: st.DrawFn) -> ConvCase:
    def ints(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    groups = draw(st.integers(1, 3))
    x = (draw(st.integers(0, 3)), groups * draw(st.integers(1, 5)), *ints(1, 14))
    padding: Any = draw(
        st.sampled_from(["same", "valid", draw(st.integers(0, 4)), (ints(0, 4), ints(0, 4))])
    )
    filters = groups * draw(st.integers(1, 9))
    case = ConvCase(x, filters, ints(1, 5), ints(1, 4), padding, ints(1, 3), groups)
    rows, cols = reference.axes(case.x, case.kernel, **case.window)
    assume(rows.outputs > 0 and cols.outputs > 0)
    return case


@given(_cases(), st.sampled_from(FLOATS))
def test_any_geometry(case: ConvCase, dtype: npt.DTypeLike) -> None:
    _assert_forward(case, dtype)
    _assert_backward(case, dtype)
    x = case.arrays(dtype)["x"]
    np.testing.assert_array_equal(
        F.im2col(x, **_window(case)), reference.im2col(x, **_window(case))
    )
