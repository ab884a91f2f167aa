"""Cross-entropy of logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    array,
    compute_dtypes,
    contiguous,
    number,
    restore,
)

# float16 keeps 11 bits: rounding to it moves a row's sum of 1 by up to 5e-4.
_SUM_TOLERANCE = 1e-3


def cross_entropy(
    logits: npt.ArrayLike, target: npt.ArrayLike, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    """Mean cross-entropy of softmax(logits) against a target, and its gradient.

    Parameters
    ----------
    logits : array_like (N, K)
        At least one row.
    target : array_like of integers (N,), or of numbers (N, K)
        Labels 0..K-1, or a probability for each class: at least 0, with rows that sum to 1.
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
    wanted = _target(target, logits.shape, compute)
    loss, dlogits = _core.cross_entropy(contiguous(logits, compute), wanted, smoothing)
    return loss, restore(dlogits, result)


def checked_target(name: str, target: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return `target` as an array that is a target of scores of `shape`, (N, K) or (N, K, H, W).

    Parameters
    ----------
    name : str
        What a message calls it.
    target : array_like
        Labels 0..K-1, integers (N,) or (N, H, W), or a probability for each class, of `shape`.
    shape : tuple of int

    Raises
    ------
    TypeError
        Labels that are not integers.
    ValueError
        Another shape, a label of no class, or a row that is no probability distribution.
    """
    t = array(name, target)
    if t.shape == shape:
        _check_probabilities(name, np.moveaxis(t, 1, -1).reshape(-1, shape[1]))
        return t
    labels = (shape[0], *shape[2:])
    if t.shape != labels:
        raise ValueError(
            f"{name} has shape {t.shape}, but logits {shape} need labels {labels} or "
            f"probabilities {shape}"
        )
    if t.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {t.dtype}, but labels must be integers")
    if t.size and (t.min() < 0 or t.max() >= shape[1]):
        bad = t[(t < 0) | (t >= shape[1])][0]
        raise ValueError(f"{name} has the label {bad}, but logits {shape} have {shape[1]} classes")
    return t


def _check_probabilities(name: str, t: Array) -> None:
    """Raise ValueError unless each row is at least 0 and sums to 1; NaN fails both."""
    if t.size == 0:
        return
    with np.errstate(invalid="ignore"):  # of infinities
        if t.dtype.kind == "f" and t.dtype != np.float16:
            sums = t @ np.ones(t.shape[1], t.dtype)  # several times as fast as a sum
        else:
            sums = t.sum(axis=1, dtype=np.float64)
        off = np.abs(sums - 1)
    if t.min() >= 0 and off.max() <= _SUM_TOLERANCE:
        return
    proper = (t >= 0).all(axis=1) & (off <= _SUM_TOLERANCE)
    row = int(np.flatnonzero(~proper)[0])
    if not np.isfinite(t[row]).all():
        reason = "has a value that is not finite"
    elif t[row].min() < 0:
        reason = f"has the value {t[row].min():g}"
    else:
        reason = f"sums to {sums[row]:g}"
    raise ValueError(
        f"{name} must be labels, or probabilities: each at least 0, with rows that sum to 1; "
        f"row {row} {reason}"
    )


def _target(target: npt.ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Labels as int64, or probabilities as the logits' dtype."""
    t = checked_target("target", target, shape)
    return contiguous(t, dtype if t.shape == shape else np.dtype(np.int64))
