"""ReLU6: a ReLU that stops at six."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array
from pocketcnn.functional import relu6, relu6_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class ReLU6(Layer):
    """``y = min(max(x, 0), 6)``, with derivative 0 at 0 and at 6.

    Krizhevsky, "Convolutional Deep Belief Networks on CIFAR-10", 2010.
    """

    preferred_init: ClassVar[Scheme | None] = "he"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Clip x, of any shape, to 0 and 6."""
        self._saved = out = relu6(x)
        return out

    def backward(self, grad: Array) -> Array:
        """Pass the gradient where the output lies between 0 and 6."""
        return relu6_backward(grad, self._recall())

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
