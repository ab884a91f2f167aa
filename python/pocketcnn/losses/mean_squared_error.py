"""Mean squared error: regression."""

from __future__ import annotations

from pocketcnn._arguments import Array
from pocketcnn.losses.base import ElementLoss


class MeanSquaredError(ElementLoss):
    """Mean of ``(output - t) ** 2`` over samples and elements; both have the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> loss, grad = MeanSquaredError()(np.array([[1.0], [3.0]]), [[1.0], [1.0]])
    >>> loss, grad.ravel()
    (2.0, array([0., 2.]))
    """

    kind = "numbers"

    def _elements(self, output: Array, t: Array) -> tuple[Array, Array]:
        distance = output - t
        return distance * distance, distance + distance
