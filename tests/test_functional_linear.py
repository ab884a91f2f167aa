"""The fully connected layer's functions against the naive reference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
import reference
from tolerance import assert_sum_close

FLOATS = [np.float16, np.float32, np.float64]

# (rows of x, in, out): ones, odd sizes, edges of the GEMM tiles, sums longer than a block,
# an empty batch.
SIZES = [
    *[(n, 11 - n, 1 + n * 3 % 10) for n in range(1, 11)],
    *[(8, 5, 48), (9, 5, 49), (7, 5, 47), (4, 1, 24), (5, 3, 25), (3, 2, 23), (12, 7, 13)],
    *[(48, 9, 8), (49, 9, 9), (24, 9, 4), (12, 9, 4), (96, 16, 16), (95, 17, 15)],
    *[(1, 1, 1), (1, 1000, 1), (1, 1, 100), (100, 1, 1), (1, 513, 17), (5, 2000, 3)],
    *[(0, 5, 3), (0, 1, 1), (100, 4320, 10), (33, 257, 129), (40, 700, 400)],
]


def _draw(size: tuple[int, int, int], dtype: npt.DTypeLike) -> dict[str, npt.NDArray[np.float64]]:
    n, features, outputs = size
    rng = np.random.default_rng(size)
    shapes = {"x": (n, features), "weight": (outputs, features), "bias": (outputs,)}
    shapes["grad"] = (n, outputs)
    return {
        name: rng.normal(size=shape).astype(np.float16).astype(dtype)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_linear(size: tuple[int, int, int], dtype: npt.DTypeLike) -> None:
    drawn = _draw(size, dtype)
    for names in [("x", "weight"), ("x", "weight", "bias")]:
        operands = [drawn[name] for name in names]
        exact = [a.astype(np.float64) for a in operands]
        out = F.linear(*operands)
        assert out.dtype == dtype
        magnitude = reference.linear(*(np.abs(a) for a in exact))
        assert_sum_close(out, reference.linear(*exact), magnitude, size[1])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_linear_backward(size: tuple[int, int, int], dtype: npt.DTypeLike) -> None:
    drawn = _draw(size, dtype)
    operands = [drawn[name] for name in ("grad", "x", "weight")]
    exact = [a.astype(np.float64) for a in operands]
    actual = F.linear_backward(*operands)
    expected = reference.linear_backward(*exact)
    magnitude = reference.linear_backward(*(np.abs(a) for a in exact))
    terms = (size[2], size[0], size[0])
    for a, e, m, k in zip(actual, expected, magnitude, terms, strict=True):
        assert a.dtype == dtype
        assert_sum_close(a, e, m, k)


def test_input_grad_false_leaves_dx_out() -> None:
    drawn = _draw((9, 31, 17), np.float32)
    operands = drawn["grad"], drawn["x"], drawn["weight"]
    _, dweight, dbias = F.linear_backward(*operands)
    result = F.linear_backward(*operands, input_grad=False)
    assert result[0] is None
    np.testing.assert_array_equal(result[1], dweight)
    np.testing.assert_array_equal(result[2], dbias)


def test_a_row_does_not_depend_on_the_other_rows() -> None:
    """NaN in one image does not affect the rest of the batch."""
    drawn = _draw((19, 33, 21), np.float32)
    clean = F.linear(drawn["x"], drawn["weight"])
    drawn["x"][7] = np.nan
    out = F.linear(drawn["x"], drawn["weight"])
    assert np.isnan(out[7]).all()
    rest = np.arange(19) != 7
    np.testing.assert_array_equal(out[rest], clean[rest])
