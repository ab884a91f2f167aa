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
ALGORITHMS = ["auto", "im2col", "winograd"]


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


WINOGRAD = [
    ConvCase((3, 17, 9, 13), 19, (3, 3), padding=1),
    ConvCase((2, 16, 13, 11), 33, (5, 5), padding=((0, 2), (3, 1))),
    ConvCase((2, 20, 12, 9), 18, (4, 2), padding=(2, 0)),
    ConvCase((2, 12, 9, 14), 18, (1, 7), padding=(0, 3)),
    ConvCase((2, 12, 14, 9), 18, (3, 1)),
    ConvCase((2, 3, 39, 47), 18, (11, 11), stride=4, padding=2),
    ConvCase((2, 3, 23, 17), 8, (7, 7), stride=(2, 3), padding=3),
    ConvCase((0, 16, 8, 8), 16, (3, 3), padding=1),
]
# Largest errors relative to the largest result, for forward, dx and dweight.
ACCURACY = {np.float32: (6e-6, 6e-6, 1e-5), np.float64: (1e-13, 1e-13, 1e-13)}


def _assert_accurate(
    case: ConvCase,
    dtype: type[np.floating[Any]],
    algorithm: str,
    arrays: dict[str, npt.NDArray[Any]] | None = None,
) -> None:
    """Compare with a direct sum in float64; the naive reference would take minutes."""
    arrays = arrays or case.arrays(dtype)
    results = [
        (
            F.conv2d(a["x"], a["weight"], **case.options, algorithm=name),
            *F.conv2d_backward(a["grad"], a["x"], a["weight"], **case.options, algorithm=name)[:2],
        )
        for a, name in ((arrays, algorithm), (_double(arrays), "im2col"))
    ]
    for actual, expected, allowed in zip(*results, ACCURACY[dtype], strict=True):
        assert actual is not None
        assert expected is not None
        assert actual.dtype == dtype
        largest = np.abs(expected).max(initial=0)
        assert np.abs(actual - expected).max(initial=0) <= allowed * largest


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", WINOGRAD, ids=str)
def test_winograd(case: ConvCase, dtype: type[np.floating[Any]]) -> None:
    _assert_accurate(case, dtype, "winograd")


BENCHMARKED = [
    ConvCase((8, 64, 28, 28), 64, (3, 3), padding=1),
    ConvCase((2, 256, 13, 13), 256, (3, 3), padding=1),
    ConvCase((2, 512, 14, 14), 96, (3, 3), padding=1),
    ConvCase((4, 64, 27, 27), 192, (5, 5), padding=2),
    ConvCase((4, 3, 112, 112), 64, (11, 11), stride=4, padding=2),
    ConvCase((4, 3, 112, 112), 64, (7, 7), stride=2, padding=3),
    ConvCase((4, 48, 32, 32), 48, (7, 7), padding=3),
    ConvCase((2, 32, 40, 40), 32, (9, 11), padding=4),
    ConvCase((4, 192, 17, 17), 192, (1, 7), padding=(0, 3)),
    ConvCase((4, 384, 8, 8), 384, (3, 1), padding=(1, 0)),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", BENCHMARKED, ids=str)
def test_accuracy_on_layers_of_real_networks(
    case: ConvCase, algorithm: str, dtype: type[np.floating[Any]]
) -> None:
    _assert_accurate(case, dtype, algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("spread", [6, 12])
def test_accuracy_of_wildly_scaled_operands(algorithm: str, spread: int) -> None:
    """Channels, filters and images each have a scale of their own, ten to the -spread..spread.

    The tile is bounded by its largest value, and so by the largest result of its filter.
    """
    case = ConvCase((3, 24, 19, 22), 20, (3, 3), padding=1)
    arrays = case.arrays(np.float32)
    rng = np.random.default_rng(spread)

    def scales(count: int) -> npt.NDArray[np.float32]:
        return (10.0 ** rng.uniform(-spread, spread, count)).astype(np.float32)

    arrays["x"] *= scales(3)[:, None, None, None]
    arrays["x"] *= scales(24)[:, None, None]
    arrays["weight"] *= scales(20)[:, None, None, None]
    arrays["grad"] *= scales(20)[:, None, None]
    _assert_accurate(case, np.float32, algorithm, arrays)


@pytest.mark.parametrize(
    "case",
    [
        ConvCase((1, 16, 9, 9), 16, (1, 1)),
        ConvCase((1, 16, 9, 9), 16, (3, 1), stride=2),
        ConvCase((1, 16, 15, 15), 16, (13, 3)),
        ConvCase((1, 16, 9, 9), 16, (3, 3), stride=3),
        ConvCase((1, 16, 9, 9), 16, (3, 3), stride=2, dilation=2),
    ],
    ids=str,
)
def test_winograd_refuses_what_it_cannot_compute(case: ConvCase) -> None:
    a = case.arrays(np.float32)
    with pytest.raises(ValueError, match="winograd"):
        F.conv2d(a["x"], a["weight"], **case.options, algorithm="winograd")
    with pytest.raises(ValueError, match="winograd"):
        F.conv2d_backward(a["grad"], a["x"], a["weight"], **case.options, algorithm="winograd")
    with pytest.raises(ValueError, match="winograd"):
        F.conv2d_plan(case.x, case.weight, **case.options, algorithm="winograd")
    assert F.conv2d_plan(case.x, case.weight, **case.options).forward.algorithm != "winograd"


def test_plan_names_what_runs() -> None:
    plan = F.conv2d_plan((4, 64, 28, 28), (64, 64, 3, 3), padding=1)
    for name in ("forward", "input_grad", "weight_grad"):
        assert getattr(plan, name).algorithm == "winograd"
        assert getattr(plan, name).reason
    asked = F.conv2d_plan((4, 64, 28, 28), (64, 64, 3, 3), padding=1, algorithm="im2col")
    assert asked.weight_grad == F.ConvPassPlan("im2col", "asked for")
    # Nothing of the shapes' size is allocated.
    assert F.conv2d_plan((2**20, 64, 999, 999), (64, 64, 3, 3)).forward.algorithm == "winograd"
    with pytest.raises(ValueError, match="channels"):
        F.conv2d_plan((4, 63, 28, 28), (64, 64, 3, 3))
    with pytest.raises(ValueError, match="algorithm"):
        F.conv2d_plan((4, 64, 28, 28), (64, 64, 3, 3), algorithm="fft")


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
def test_column_matrix_copies_exactly(case: ConvCase, dtype: npt.DTypeLike) -> None:
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


@pytest.mark.parametrize("batch", [1, 5])
def test_large_images_without_padding(batch: int) -> None:
    """Whose windows meet without overlap, against sums of patches in double precision."""
    rng = np.random.default_rng(batch)
    x = rng.standard_normal((batch, 3, 640, 642), dtype=np.float32)
    w = rng.standard_normal((136, 3, 4, 6), dtype=np.float32)
    patches = x.astype(np.float64).reshape(batch, 3, 160, 4, 107, 6)
    expected = np.einsum("ncyixj,fcij->nfyx", patches, w.astype(np.float64), optimize=True)
    actual = F.conv2d(x, w, stride=(4, 6))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


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
