"""LeakyReLU: negative numbers become small."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array, non_negative
from pocketcnn.functional import leaky_relu, leaky_relu_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class LeakyReLU(Layer):
    """``y = x``, or ``negative_slope * x`` for x <= 0, with derivative `negative_slope` at 0.

    Maas, Hannun, Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", ICML 2013.

    Parameters
    ----------
    negative_slope : float
        At least 0.
    """

    preferred_init: ClassVar[Scheme | None] = "he"

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = non_negative("negative_slope", negative_slope)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Multiply the negative numbers of x, of any shape."""
        self._saved = out = leaky_relu(x, self.negative_slope)
        return out

    def backward(self, grad: Array) -> Array:
        """Multiply the gradient where the output is not positive."""
        return leaky_relu_backward(grad, self._recall(), self.negative_slope)

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
