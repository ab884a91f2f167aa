"""Reshape: the numbers of a sample in another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import SupportsIndex

from pocketcnn._arguments import Array, sizes
from pocketcnn.layers.base import Layer, Shape


class Reshape(Layer):
    """Give each sample another shape, its numbers in C order; a view if possible.

    Parameters
    ----------
    shape : sequence of int
        Of a sample, without the batch axis.

    Examples
    --------
    >>> Reshape((8, 1, 30)).output_shape((8, 30))
    (8, 1, 30)
    """

    def __init__(self, shape: Sequence[SupportsIndex]) -> None:
        super().__init__()
        self.shape = sizes("shape", shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Reshape x (N, ...) to (N, *shape)."""
        self.output_shape(x.shape[1:])
        self._saved = x.shape
        return x.reshape(len(x), *self.shape)

    def backward(self, grad: Array) -> Array:
        """Give the gradient the input's shape."""
        input_shape: Shape = self._recall()
        return grad.reshape(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Any shape with as many numbers, to `shape`."""
        if math.prod(input_shape) != math.prod(self.shape):
            raise ValueError(
                f"{self!r} takes samples of {math.prod(self.shape)} numbers, but gets {input_shape}"
            )
        return self.shape
