"""Cross-entropy of logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn.arguments import (
    Array,
    array,
    compute_dtypes,
    contiguous,
    number,
    restore,
)


def cross_entropy(
    logits: npt.ArrayLike, target: npt.ArrayLike, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    """Mean cross-entropy of softmax(logits) against a target, and its gradient.

    Parameters
    ----------
    logits : array_like (N, K)
        At least one row.
    target : array_like of integers (N,), or of numbers (N, K)
        Labels 0..K-1, or a probability for each class.
    label_smoothing : float
        e in 0..1: the target becomes (1 - e) * target + e / K (Szegedy et al., 2016, section 7).

    Returns
    -------
    loss : float
        Mean over the rows.
    dlogits : ndarray (N, K)
        Gradient of that mean.

    Examples
    --------
    >>> loss, dlogits = cross_entropy(np.zeros((1, 2)), [1])
    >>> round(loss, 4), dlogits
    (0.6931, array([[ 0.5, -0.5]]))
    """
    logits = array("logits", logits, 2)
    if 0 in logits.shape:
        raise ValueError(f"logits has shape {logits.shape}, but a mean needs rows and classes")
    compute, result = compute_dtypes(logits)
    smoothing = number("label_smoothing", label_smoothing, 0, 1)
    wanted = _target(array("target", target), logits.shape, compute)
    loss, dlogits = _core.cross_entropy(contiguous(logits, compute), wanted, smoothing)
    return loss, restore(dlogits, result)


def _target(target: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Labels as int64, or target weights as the logits' dtype."""
    if target.shape == shape:
        return contiguous(target, dtype)
    if target.shape != shape[:1]:
        raise ValueError(
            f"target has shape {target.shape}, but logits {shape} take labels ({shape[0]},) or "
            f"probabilities {shape}"
        )
    if target.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {target.dtype}, but labels must be integers")
    if target.min() < 0 or target.max() >= shape[1]:
        bad = target[(target < 0) | (target >= shape[1])][0]
        raise ValueError(f"target has the label {bad}, but logits {shape} have {shape[1]} classes")
    return contiguous(target, np.dtype(np.int64))
