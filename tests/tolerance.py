"""How far a result may be from the float64 reference, derived from its rounding errors.

A sum of K products evaluated in any order, with or without fused multiply-add, errs by at
most ``gamma_K * sum |a_i b_i|`` with ``gamma_K = K u / (1 - K u)`` and unit roundoff
``u = eps / 2`` (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). For large K
that bound is far too large: with probability ``1 - 2 exp(-c**2 / 2)`` the error of one element
stays below ``c sqrt(K) u * sum |a_i b_i|`` (Higham and Mary, A new approach to probabilistic
rounding error analysis, 2019, theorem 2.4). We take the smaller of K and ``8 sqrt(K)``, which a
right result exceeds once in 10**13 elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def unit_roundoff(dtype: npt.DTypeLike) -> float:
    """Largest relative error of rounding a number to this type."""
    return float(np.finfo(np.dtype(dtype)).eps) / 2


def compute_roundoff(dtype: npt.DTypeLike) -> float:
    """Unit roundoff of the type the arithmetic runs in: float16 is computed in float32."""
    return unit_roundoff(np.float32 if np.dtype(dtype) == np.float16 else dtype)


def growth(terms: int) -> float:
    """Accumulated error of a sum of this many products, in units of roundoff."""
    terms = max(terms, 1) + 1  # one more: bias, or the rounding of the result
    return min(terms, 8 * math.sqrt(terms))


def assert_sum_close(
    actual: npt.NDArray[Any],
    expected: npt.NDArray[np.float64],
    magnitude: npt.NDArray[np.float64],
    terms: int,
) -> None:
    """Compare sums of `terms` products whose absolute values add up to `magnitude`.

    The reference sums in float64, so its own error enters too. Results in float16 are rounded
    once more, which is half a subnormal spacing or a relative unit roundoff.
    """
    info = np.finfo(actual.dtype)
    u = compute_roundoff(actual.dtype) + unit_roundoff(np.float64)
    bound = growth(terms) * u * magnitude + float(info.smallest_subnormal)
    if actual.dtype == np.float16:
        bound = bound + unit_roundoff(np.float16) * np.abs(expected)
    _assert_within(actual, expected, bound)


def assert_relative_close(
    actual: npt.NDArray[Any],
    expected: npt.NDArray[np.float64] | float,
    roundings: npt.ArrayLike,
) -> None:
    """Compare element by element, `roundings` unit roundoffs of relative error allowed."""
    info = np.finfo(actual.dtype)
    expected = np.asarray(expected, dtype=np.float64)
    u = compute_roundoff(actual.dtype) + unit_roundoff(np.float64)
    bound = np.asarray(roundings) * u * np.abs(expected) + float(info.smallest_normal)
    if actual.dtype == np.float16:
        bound = bound + unit_roundoff(np.float16) * np.abs(expected)
    _assert_within(actual, expected, bound)


def _assert_within(
    actual: npt.NDArray[Any], expected: npt.NDArray[np.float64], bound: npt.NDArray[np.float64]
) -> None:
    assert actual.shape == expected.shape, f"shape {actual.shape}, wanted {expected.shape}"
    error = np.abs(actual.astype(np.float64) - expected)
    if (error <= bound).all():
        return
    at = np.unravel_index(np.argmax(np.where(error <= bound, -1.0, error)), error.shape)
    raise AssertionError(
        f"{int((~(error <= bound)).sum())} of {error.size} elements are off; at "
        f"{tuple(int(i) for i in at)}: got {actual[at]!r}, wanted {expected[at]!r}, "
        f"error {error[at]:.3g} > {np.broadcast_to(bound, error.shape)[at]:.3g}"
    )
