"""Softmax: turns scores into probabilities."""

from __future__ import annotations

from pocketcnn._arguments import Array, integer
from pocketcnn.functional import softmax, softmax_backward
from pocketcnn.layers.base import Layer, Shape


class Softmax(Layer):
    """``y[n, k] = exp(x[n, k]) / sum over j of exp(x[n, j])``.

    A network to be trained here must not end with it, because the loss contains it already.

    Parameters
    ----------
    axis : int
        The axis, counting the batch axis, along which the probabilities sum to one.
    """

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = integer("axis", axis)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Normalise x along the axis."""
        self._saved = out = softmax(x, self.axis)
        return out

    def backward(self, grad: Array) -> Array:
        """``y * (grad - sum of grad * y)``."""
        return softmax_backward(grad, self._recall(), self.axis)

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
