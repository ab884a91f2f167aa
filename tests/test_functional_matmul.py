"""Products of matrices for code that keeps its weights as (in, out)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketcnn.functional._matmul import matmul
from tolerance import assert_sum_close


@pytest.mark.parametrize("transposed", ["", "a", "b"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_products(transposed: str, dtype: Any) -> None:
    rng = np.random.default_rng(75)
    a = rng.standard_normal((9, 7)).astype(dtype)
    b = rng.standard_normal((7, 5)).astype(dtype)
    left = np.asfortranarray(a) if transposed != "a" else a.T
    right = b if transposed != "b" else b.T
    out = matmul(left, right, transpose_a=transposed == "a", transpose_b=transposed == "b")
    assert out.dtype == dtype
    assert out.flags.c_contiguous
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    assert_sum_close(out, wide_a @ wide_b, np.abs(wide_a) @ np.abs(wide_b), 7)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 3), (2, 3)), {}, r"a has shape \(2, 3\) and b \(2, 3\), which do not fit a @ b"),
        (((2, 3), (3, 2)), {"transpose_a": True}, r"do not fit a\.T @ b"),
        (((2, 3), (3, 2)), {"transpose_b": True}, r"do not fit a @ b\.T"),
        (((2, 2), (2, 2)), {"transpose_a": True, "transpose_b": True}, "only one may be"),
        (((2,), (2, 2)), {}, "a has shape"),
    ],
)
def test_sizes_that_do_not_meet_are_refused(
    shapes: tuple[tuple[int, ...], ...], options: dict[str, bool], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        matmul(np.ones(shapes[0]), np.ones(shapes[1]), **options)
