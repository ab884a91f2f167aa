"""Tanh: squeezes numbers between -1 and 1."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array
from pocketcnn.functional import tanh, tanh_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class Tanh(Layer):
    """``y = tanh(x)``."""

    preferred_init: ClassVar[Scheme | None] = "xavier"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Squeeze x, of any shape, between -1 and 1."""
        self._saved = out = tanh(x)
        return out

    def backward(self, grad: Array) -> Array:
        """``grad * (1 - y * y)``."""
        return tanh_backward(grad, self._recall())

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
