"""Sigmoid: squeezes numbers between 0 and 1."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array
from pocketcnn.functional import sigmoid, sigmoid_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class Sigmoid(Layer):
    """``y = 1 / (1 + exp(-x))``, which for large negative x does not overflow."""

    preferred_init: ClassVar[Scheme | None] = "xavier"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Squeeze x, of any shape, between 0 and 1."""
        self._saved = out = sigmoid(x)
        return out

    def backward(self, grad: Array) -> Array:
        """``grad * y * (1 - y)``."""
        return sigmoid_backward(grad, self._recall())

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
