"""Cross-entropy and its gradient against the naive reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
import reference
from tolerance import assert_sum_close

FLOATS = [np.float16, np.float32, np.float64]
SIZES = [(1, 1), (1, 2), (3, 10), (100, 10), (7, 1000), (1000, 3), (5, 17)]
FEW = 8  # roundings of exp, log and the products around them


def _targets(n: int, k: int, seed: int) -> list[npt.NDArray[Any]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, size=n)
    return [labels, np.eye(k)[labels], rng.dirichlet(np.ones(k), size=n)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cross_entropy(size: tuple[int, int], smoothing: float, dtype: npt.DTypeLike) -> None:
    n, k = size
    logits = np.random.default_rng(size).normal(scale=4, size=size).astype(dtype)
    for target in _targets(n, k, seed=n):
        if target.ndim == 2:
            target = target.astype(dtype)
        loss, dlogits = F.cross_entropy(logits, target, label_smoothing=smoothing)
        expected, dexpected = reference.cross_entropy(logits, target, smoothing)
        assert np.ndim(loss) == 0
        assert dlogits.dtype == dtype
        # Each log-probability errs like log_softmax; the loss is their weighted mean.
        spread = np.abs(reference.log_softmax(logits)).mean(axis=0).sum() + 1
        result = np.asarray(loss, dtype=dtype if dtype == np.float64 else np.float32)
        assert_sum_close(result, np.asarray(expected), np.asarray(spread), n + k + FEW)
        magnitude = (1 + np.abs(reference.log_softmax(logits))) * (np.abs(dexpected) + 2 / n)
        assert_sum_close(dlogits, dexpected, magnitude, k + FEW)


def test_one_hot_and_labels_are_the_same_target() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(6, 4)).astype(np.float32)
    labels = rng.integers(0, 4, size=6)
    loss, dlogits = F.cross_entropy(logits, labels)
    one_hot_loss, one_hot_dlogits = F.cross_entropy(logits, np.eye(4, dtype=np.float32)[labels])
    eps = float(np.finfo(np.float32).eps)
    assert float(loss) == pytest.approx(float(one_hot_loss), rel=8 * eps)
    np.testing.assert_allclose(one_hot_dlogits, dlogits, rtol=8 * eps, atol=eps)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.bool_])
def test_the_dtype_is_that_of_the_logits(dtype: npt.DTypeLike) -> None:
    """Probabilities of any type do not change the type that the network computes in."""
    logits = np.random.default_rng(9).normal(size=(3, 4)).astype(np.float32)
    loss, dlogits = F.cross_entropy(logits, np.eye(4)[:3])
    other, dother = F.cross_entropy(logits, np.eye(4)[:3].astype(dtype))
    assert dlogits.dtype == dother.dtype == np.float32
    assert other == loss
    np.testing.assert_array_equal(dother, dlogits)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_labels_of_any_integer_type(dtype: npt.DTypeLike) -> None:
    logits = np.random.default_rng(6).normal(size=(5, 4))
    labels = np.array([3, 0, 1, 2, 3])
    loss, dlogits = F.cross_entropy(logits, labels)
    other, dother = F.cross_entropy(logits, labels.astype(dtype))
    assert other == loss
    np.testing.assert_array_equal(dother, dlogits)


def test_confident_predictions_neither_overflow_nor_vanish() -> None:
    logits = np.array([[1e4, 0.0], [-1e4, 0.0]], dtype=np.float32)
    loss, dlogits = F.cross_entropy(logits, np.array([0, 0]))
    assert loss == 5000
    np.testing.assert_array_equal(dlogits, [[0, 0], [-0.5, 0.5]])


def test_gradient_rows_of_proper_targets_sum_to_zero() -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(50, 10))
    for target in _targets(50, 10, seed=8):
        _, dlogits = F.cross_entropy(logits, target, label_smoothing=0.2)
        bound = 12 * np.finfo(np.float64).eps * np.abs(dlogits).sum(axis=1)
        assert (np.abs(dlogits.sum(axis=1)) <= bound + 1e-17).all()
