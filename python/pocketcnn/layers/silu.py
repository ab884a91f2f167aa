"""SiLU: numbers times their sigmoid, also called swish."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array
from pocketcnn.functional import silu, silu_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class SiLU(Layer):
    """``y = x / (1 + exp(-x))``.

    Elfwing, Uchibe, Doya, "Sigmoid-Weighted Linear Units for Neural Network Function Approximation
    in Reinforcement Learning", Neural Networks 107, 2018.
    """

    preferred_init: ClassVar[Scheme | None] = "he"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Multiply x, of any shape, by its sigmoid."""
        self._saved = x
        return silu(x)

    def backward(self, grad: Array) -> Array:
        """``grad * s * (1 + x * (1 - s))`` with the sigmoid s of x."""
        return silu_backward(grad, self._recall())

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
