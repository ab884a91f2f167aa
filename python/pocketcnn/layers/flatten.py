"""Flatten: feature maps become one row of numbers."""

from __future__ import annotations

import math

from pocketcnn._arguments import Array
from pocketcnn.layers.base import Layer, Shape


class Flatten(Layer):
    """Put the numbers of each sample in one row, in C order; a view if possible.

    Examples
    --------
    >>> Flatten().output_shape((30, 12, 12))
    (4320,)
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Reshape x (N, ...) to (N, features)."""
        self._saved = x.shape
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def backward(self, grad: Array) -> Array:
        """Give the gradient the input's shape."""
        input_shape: Shape = self._recall()
        return grad.reshape(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(...) to (features,)."""
        return (math.prod(input_shape),)
