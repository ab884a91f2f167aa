"""Binary cross-entropy of logits: any number of labels for a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import functional as F
from pocketcnn._arguments import Array
from pocketcnn.layers import Sigmoid
from pocketcnn.losses.base import ElementLoss


class BinaryCrossEntropy(ElementLoss):
    """Mean of ``-t * log(s) - (1 - t) * log(1 - s)`` with ``s = sigmoid(output)``.

    It is computed as ``max(z, 0) - z * t + log(1 + exp(-abs(z)))`` of the logit z, which neither
    overflows nor loses small numbers. The output and t, 0 to 1, have the same shape: (N, K) for K
    labels that a sample has or has not, (N, K, H, W) for those of every place.

    Examples
    --------
    >>> import numpy as np
    >>> loss, grad = BinaryCrossEntropy()(np.array([[0.0, 0.0]]), [[1, 0]])
    >>> round(loss, 4), grad
    (0.6931, array([[-0.25,  0.25]]))
    """

    kind = "labels"
    contains = Sigmoid

    def check(self, name: str, t: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Return targets as an array of the output's shape, each 0 to 1."""
        target = super().check(name, t, shape)
        if target.size and (target.min() < 0 or target.max() > 1):
            odd = target[(target < 0) | (target > 1)][0]
            raise ValueError(f"{name} has the value {odd}, but each label is 0 to 1")
        return target

    def _elements(self, output: Array, t: Array) -> tuple[Array, Array]:
        values = np.log1p(np.exp(-np.abs(output)))
        values += np.maximum(output, 0) - output * t
        return values, F.sigmoid(output) - t
