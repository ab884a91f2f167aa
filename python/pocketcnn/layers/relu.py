"""ReLU: negative numbers become zero."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array
from pocketcnn.functional import relu, relu_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class ReLU(Layer):
    """``y = max(x, 0)``, with derivative 0 at 0.

    Nair, Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", ICML 2010.
    """

    preferred_init: ClassVar[Scheme | None] = "he"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Zero the negative numbers of x, of any shape."""
        self._saved = out = relu(x)
        return out

    def backward(self, grad: Array) -> Array:
        """Pass the gradient where the output is positive."""
        return relu_backward(grad, self._recall())

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
