"""GELU: numbers times the probability that a normal one is smaller."""

from __future__ import annotations

from typing import ClassVar, Literal

from pocketcnn._arguments import Array
from pocketcnn.functional import gelu, gelu_backward
from pocketcnn.functional._activation import by_tanh
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class GELU(Layer):
    """``y = x * (1 + erf(x / sqrt(2))) / 2``.

    Hendrycks, Gimpel, "Gaussian Error Linear Units (GELUs)", 2016.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        With "tanh", ``y = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))) / 2``.
    """

    preferred_init: ClassVar[Scheme | None] = "he"

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        self.approximate: Literal["none", "tanh"] = "tanh" if by_tanh(approximate) else "none"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Multiply x, of any shape, by the normal distribution at x."""
        self._saved = x
        return gelu(x, self.approximate)

    def backward(self, grad: Array) -> Array:
        """The distribution at x plus x times its density, times the gradient."""
        return gelu_backward(grad, self._recall(), self.approximate)

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
