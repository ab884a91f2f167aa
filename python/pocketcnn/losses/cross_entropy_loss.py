"""Cross-entropy of class scores, for each sample or each of its places."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import functional as F
from pocketcnn._arguments import (
    Array,
    array,
    as_array,
    compute_dtypes,
    contiguous,
    integer,
    number,
    restore,
)
from pocketcnn.functional._cross_entropy import checked_target
from pocketcnn.layers import Softmax
from pocketcnn.losses.base import Loss, checked_weights, over_samples


class CrossEntropy(Loss):
    """Cross-entropy between ``softmax(output)`` over the classes and the target.

    With the weight w of a label's class and of its sample, the mean is ``sum(w * loss) / sum(w)``.
    With probabilities as targets the weights of the classes multiply the terms of the sum over
    them, and do not count in the denominator. Both are PyTorch's `CrossEntropyLoss`, except that
    a batch in which nothing counts has loss and gradient 0 there, not NaN.

    Outputs are (N, K), with t int (N,) or probabilities (N, K), or (N, K, H, W) with t int
    (N, H, W) or probabilities (N, K, H, W).

    Parameters
    ----------
    label_smoothing : float, default 0
        Share of each target that is spread over all classes, 0 to 1 (Szegedy et al., "Rethinking
        the Inception Architecture for Computer Vision", CVPR 2016, section 7).
    class_weight : sequence of float (K,), optional
        A weight for each class, at least 0.
    ignore_index : int, optional
        Samples or places with this label do not count; it may be outside 0..K-1.

    Examples
    --------
    >>> import numpy as np
    >>> loss, grad = CrossEntropy(class_weight=[1, 3])(np.zeros((2, 2)), [0, 1])
    >>> round(loss, 4), grad
    (0.6931, array([[-0.125,  0.125],
           [ 0.375, -0.375]]))
    """

    kind = "classes"
    contains = Softmax

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weight: ArrayLike | None = None,
        ignore_index: int | None = None,
    ) -> None:
        self.label_smoothing = number("label_smoothing", label_smoothing, 0, 1)
        self.class_weight: tuple[float, ...] | None = None
        if class_weight is not None:
            weights = array("class_weight", class_weight, 1)
            checked = checked_weights("class_weight", weights, len(weights))
            self.class_weight = tuple(checked.tolist())
        self.ignore_index = None if ignore_index is None else integer("ignore_index", ignore_index)

    def __call__(
        self, output: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Compute the loss of a batch; see `Loss.__call__`."""
        logits = array("output", output)
        if logits.ndim == 2 and sample_weight is None and self._all_count_alike:
            loss, grad = F.cross_entropy(logits, t, self.label_smoothing)
            return float(loss), grad
        if logits.ndim < 2 or logits.size == 0:
            raise ValueError(f"output has shape {logits.shape}: wanted (N, K) or (N, K, H, W)")
        compute, result = compute_dtypes(logits)
        target = self.check("t", t, logits.shape)
        samples = np.ones(len(logits))
        if sample_weight is not None:
            samples = checked_weights("sample_weight", sample_weight, len(logits))
        log_share = F.log_softmax(contiguous(logits, compute), axis=1)
        way = self._of_probabilities if target.shape == logits.shape else self._of_labels
        loss, grad = way(log_share, target, samples)
        return loss, restore(grad, result)

    def check(self, name: str, t: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Return targets as labels 0..K-1 or the one to ignore, or as probabilities."""
        if self.class_weight is not None and len(self.class_weight) != shape[1]:
            raise ValueError(
                f"class_weight has {len(self.class_weight)} numbers, but there are {shape[1]} "
                "classes"
            )
        target = as_array(name, t)
        if self.ignore_index is None:
            return checked_target(name, target, shape)
        if target.shape == shape:
            raise ValueError(f"{name} has probabilities, but ignore_index needs labels")
        if target.dtype.kind in "iu":
            checked_target(name, np.where(target == self.ignore_index, 0, target), shape)
            return target
        return checked_target(name, target, shape)

    def batch_weight(
        self, t: Array, shape: tuple[int, ...], sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the sum of the weights of the samples, or places, of a batch."""
        if t.shape == shape or self._all_count_alike:
            return super().batch_weight(t, shape, sample_weight) * prod(shape[2:])
        samples = np.ones(len(t)) if sample_weight is None else np.asarray(sample_weight)
        return float(self._label_weights(t, samples)[1].sum())

    @property
    def _all_count_alike(self) -> bool:
        return self.class_weight is None and self.ignore_index is None

    def _label_weights(self, t: Array, samples: Array) -> tuple[Array, Array]:
        """Return labels that all are classes, and the weight of each."""
        weights = np.broadcast_to(over_samples(samples, t.ndim), t.shape)
        if self.ignore_index is not None:
            kept = t != self.ignore_index
            weights, t = weights * kept, np.where(kept, t, 0)
        if self.class_weight is not None:
            weights = weights * np.take(self.class_weight, t)
        return t, weights

    def _of_labels(self, log_share: Array, t: Array, samples: Array) -> tuple[float, Array]:
        labels, weights = self._label_weights(t, samples)
        total, dtype = weights.sum(), log_share.dtype
        if total == 0:
            return 0.0, np.zeros_like(log_share)
        smooth = self.label_smoothing
        own = ((1 - smooth) / total * weights).astype(dtype)[:, None]
        at = labels[:, None].astype(np.int64, copy=False)
        picked = np.take_along_axis(log_share, at, axis=1)
        picked[own == 0] = 0  # also if its logarithm is -inf
        loss = -float((own * picked).sum(dtype=np.float64))
        if not smooth:
            grad = np.exp(log_share)
            grad *= own
        else:
            # Every class has a share, times its own weight, of the samples that count.
            spread = smooth / log_share.shape[1] / total * over_samples(samples, t.ndim)
            if self.ignore_index is not None:
                spread = spread * (t != self.ignore_index)
            each = self._class_column(log_share)
            part = spread.astype(dtype)[:, None] * each
            loss -= float(np.where(part == 0, 0, part * log_share).sum(dtype=np.float64))
            grad = np.exp(log_share) * (own + part.sum(axis=1, keepdims=True)) - part
        np.put_along_axis(grad, at, np.take_along_axis(grad, at, axis=1) - own, axis=1)
        return loss, grad

    def _of_probabilities(self, log_share: Array, t: Array, samples: Array) -> tuple[float, Array]:
        total = samples.sum() * prod(t.shape[2:])
        if total == 0:
            return 0.0, np.zeros_like(log_share)
        smooth = self.label_smoothing
        part = t.astype(log_share.dtype)
        if smooth:
            part = (1 - smooth) * part + smooth / t.shape[1]
        scale = over_samples(samples / total, t.ndim).astype(log_share.dtype)
        part = part * (self._class_column(log_share) * scale)
        loss = -float(np.where(part == 0, 0, part * log_share).sum(dtype=np.float64))
        return loss, np.exp(log_share) * part.sum(axis=1, keepdims=True) - part

    def _class_column(self, log_share: Array) -> Array:
        """The classes' weights as (1, K, 1, ...), of the type of `log_share`."""
        weights = self.class_weight or (1.0,) * log_share.shape[1]
        return np.array(weights, log_share.dtype).reshape(1, -1, *(1,) * (log_share.ndim - 2))
