"""Inverted dropout: what is kept, how it is scaled, and what it draws from."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F

FLOATS = [np.float16, np.float32, np.float64]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_kept_values_are_scaled_and_the_rest_is_zero(p: float, dtype: npt.DTypeLike) -> None:
    x = np.linspace(1, 2, 6000).reshape(3, 4, 20, 25).astype(dtype)
    out, mask = F.dropout(x, p, np.random.default_rng(0))
    assert out.dtype == dtype
    assert out.shape == mask.shape == x.shape
    kept = out != 0
    np.testing.assert_array_equal(mask != 0, kept)
    # Scaling by a rounded 1 / (1 - p) rounds twice, and float16 once more.
    exact = x.astype(np.float64) / (1 - p)
    bound = 2 * float(np.finfo(dtype).eps) * exact
    assert (np.abs(out.astype(np.float64) - np.where(kept, exact, 0)) <= bound).all()
    # The number kept is binomial: seven standard deviations, one failure in 10**11.
    slack = 7 * math.sqrt(x.size * p * (1 - p))
    assert abs(int(kept.sum()) - x.size * (1 - p)) <= slack


def test_p_one_drops_everything_and_p_zero_nothing() -> None:
    x = np.ones((2, 3), dtype=np.float32)
    out, _ = F.dropout(x, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(out, 0)
    out, _ = F.dropout(x, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(out, x)
    assert not np.shares_memory(out, x)


def test_the_generator_decides_and_moves_on() -> None:
    x = np.ones((40, 50), dtype=np.float32)
    rng = np.random.default_rng(3)
    first, second = F.dropout(x, 0.5, rng)[0], F.dropout(x, 0.5, rng)[0]
    assert (first != second).any()
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(F.dropout(x, 0.5, rng)[0], first)
    np.testing.assert_array_equal(F.dropout(x, 0.5, rng)[0], second)


def test_neighbours_are_dropped_independently() -> None:
    """Correlation of neighbouring draws is zero within seven standard errors."""
    x = np.ones(100_000, dtype=np.float32)
    kept = (F.dropout(x, 0.5, np.random.default_rng(4))[0] != 0) * 2.0 - 1.0
    for lag in (1, 2, 8, 16, 64):
        correlation = float(np.mean(kept[lag:] * kept[:-lag]))
        assert abs(correlation) <= 7 / math.sqrt(len(kept) - lag)


@pytest.mark.parametrize("shape", [(0,), (0, 3, 4, 4), (1, 1), (2, 3, 4, 5)], ids=str)
def test_any_shape(shape: tuple[int, ...]) -> None:
    out, mask = F.dropout(np.ones(shape, np.float32), 0.5, np.random.default_rng(0))
    assert out.shape == mask.shape == shape


def test_nan_is_dropped_to_zero_and_kept_as_nan() -> None:
    out, mask = F.dropout(np.full(1000, np.nan, np.float32), 0.5, np.random.default_rng(1))
    np.testing.assert_array_equal(np.isnan(out), mask != 0)
