"""LogSoftmax: turns scores into logarithms of probabilities."""

from __future__ import annotations

from pocketcnn._arguments import Array, integer
from pocketcnn.functional import log_softmax, log_softmax_backward
from pocketcnn.layers.base import Layer, Shape


class LogSoftmax(Layer):
    """``y[n, k] = x[n, k] - log(sum over j of exp(x[n, j]))``.

    A network may end with it and be trained: the softmax in the loss changes such scores no more.

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
        self._saved = out = log_softmax(x, self.axis)
        return out

    def backward(self, grad: Array) -> Array:
        """``grad - exp(y) * sum of grad``."""
        return log_softmax_backward(grad, self._recall(), self.axis)

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
