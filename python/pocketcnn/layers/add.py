"""Add: the sum of several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.functional._conv_block import add
from pocketcnn.layers.base import Shape
from pocketcnn.layers.merge import Merge, checked_grad, common_shape, summed_to


class Add(Merge):
    """``y = x1 + x2 + ...``, where an axis of size 1 is repeated.

    Examples
    --------
    >>> Add().forward([np.ones((1, 2, 1, 1)), np.full((1, 2, 1, 1), 3.0)]).ravel()
    array([4., 4.])
    """

    def forward(self, x: Sequence[Array], training: bool = False) -> Array:
        """Add the inputs, from the first to the last."""
        batches, _ = self._batches(x)
        self._saved = [batch.shape for batch in batches]
        return reduce(_sum, batches)

    def backward(self, grad: Array) -> list[Array]:
        """Pass the gradient to every input, added up where the input was repeated."""
        shapes = self._recall()
        grad = checked_grad(grad, np.broadcast_shapes(*shapes))
        return [summed_to(grad, shape) for shape in shapes]

    def output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """The inputs' common shape."""
        return common_shape("Add", input_shape)


def _sum(a: Array, b: Array) -> Array:
    return add(a, b) if a.shape == b.shape else np.add(a, b)
