"""Where a classifier is wrong: counts per class, and its most confident mistakes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn import _arguments
from pocketcnn import functional as F
from pocketcnn._arguments import Array
from pocketcnn.functional._cross_entropy import checked_target


def confusion_matrix(scores: ArrayLike, t: ArrayLike) -> NDArray[np.int64]:
    """Count how often each class was taken for each.

    Parameters
    ----------
    scores : array_like (N, K)
        As `ConvNet.predict` gives; the guess is the class with the largest.
    t : array_like, int (N,) or float (N, K)
        Labels, or a probability for each class.

    Returns
    -------
    ndarray of int64 (K, K)
        Rows are the truth, columns the guess; what was right is on the diagonal.

    Raises
    ------
    TypeError, ValueError
        `scores` are not (N, K), `t` does not fit them, or one of them has NaN, so that there is no
        largest value.

    Examples
    --------
    >>> confusion_matrix([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], [1, 0, 0])
    array([[1, 1],
           [0, 1]])
    """
    scores, truth = check_scores(scores, t)
    classes = scores.shape[1]
    counts = np.bincount(truth * classes + scores.argmax(axis=1), minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def misclassified(scores: ArrayLike, t: ArrayLike) -> NDArray[np.int64]:
    """Find the samples whose guess is wrong, the most confident guesses first.

    Parameters
    ----------
    scores, t
        As in `confusion_matrix`. The confidence is the softmax of the scores.

    Returns
    -------
    ndarray of int64 (M,)
        Indices of samples; equal confidences in the order of the samples.
    """
    scores, truth = check_scores(scores, t)
    wrong = np.flatnonzero(scores.argmax(axis=1) != truth)
    confidence = F.softmax(scores[wrong].astype(np.float64)).max(axis=1)
    confidence[np.isnan(confidence)] = 1  # an infinite score has all of the probability
    return wrong[np.argsort(-confidence, kind="stable")].astype(np.int64)


def check_scores(scores: ArrayLike, t: ArrayLike) -> tuple[Array, Array]:
    """Return scores (N, K), and labels (N,) that fit them."""
    scores = _arguments.array("scores", scores, 2)
    t = _arguments.array("t", t)
    if scores.shape[1] == 0:
        raise ValueError(f"scores has shape {scores.shape}: wanted a score for each class")
    if t.shape not in (scores.shape, scores.shape[:1]):
        raise ValueError(f"t has shape {t.shape}, but scores {scores.shape} need a label each")
    for name, a in (("scores", scores), ("t", t)):
        if a.dtype.kind == "f" and np.isnan(a).any():
            row = np.flatnonzero(np.isnan(a.reshape(len(a), -1)).any(axis=1))[0]
            raise ValueError(f"{name} has NaN for sample {row}: no class is the largest")
    if t.ndim == 2:
        return scores, checked_target("t", t, scores.shape).argmax(axis=1)
    if t.dtype.kind not in "ui":
        raise TypeError(f"t has dtype {t.dtype}, but labels must be integers")
    bad = t[(t < 0) | (t >= scores.shape[1])]
    if len(bad):
        raise ValueError(f"t has the label {bad[0]}, but scores have {scores.shape[1]} classes")
    return scores, t.astype(np.int64)
