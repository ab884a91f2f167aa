"""Cross-entropy of class scores as training calls it, and the counts reported beside it."""

from __future__ import annotations

import numpy as np

from pocketcnn import functional
from pocketcnn._arguments import Array, as_array
from pocketcnn.functional._cross_entropy import checked_target


def cross_entropy(
    logits: Array, target: Array, *, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    """Mean cross-entropy between ``softmax(logits)`` and the target, and its gradient.

    Parameters
    ----------
    logits : ndarray, (N, K)
        Scores; softmax is part of the loss, so that its gradient is ``(softmax - target) / N``.
    target : ndarray, int (N,) or float (N, K)
        Labels, or a probability for each class.
    label_smoothing : float
        Share of the target that is spread equally over all classes. Szegedy et al., "Rethinking the
        Inception Architecture for Computer Vision", CVPR 2016, section 7.

    Returns
    -------
    loss : float
    dlogits : ndarray, (N, K), the dtype of `logits`

    Examples
    --------
    >>> loss, dlogits = cross_entropy(np.zeros((1, 2)), np.array([0]))
    >>> round(loss, 4), dlogits
    (0.6931, array([[-0.5,  0.5]]))
    """
    loss, dlogits = functional.cross_entropy(logits, target, label_smoothing)
    return float(loss), dlogits


def count_correct(logits: Array, target: Array) -> int:
    """Count the samples whose largest score is at the target's class.

    A sample with a NaN score is never correct.

    Parameters
    ----------
    logits : ndarray, (N, K)
    target : ndarray, int (N,) or float (N, K)
        Labels, or a probability for each class; the class with the largest one counts.
    """
    logits = as_array("logits", logits)
    return count_hits(logits, checked_target("target", target, logits.shape))


def count_hits(logits: Array, target: Array) -> int:
    """Do as `count_correct`, for a target that was checked before, also of every place."""
    labels = target if target.ndim < logits.ndim else target.argmax(axis=1)
    right = logits.argmax(axis=1) == labels
    odd = np.isnan(logits)
    if odd.any():  # argmax treats NaN as the largest, so it would count as the guess
        right &= ~odd.any(axis=1)
    return int(np.count_nonzero(right))
