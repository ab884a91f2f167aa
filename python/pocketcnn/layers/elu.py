"""ELU: negative numbers approach a limit."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array, non_negative
from pocketcnn.functional import elu, elu_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class ELU(Layer):
    """``y = x``, or ``alpha * (exp(x) - 1)`` for x <= 0, with derivative `alpha` at 0.

    Clevert, Unterthiner, Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear
    Units (ELUs)", ICLR 2016.

    Parameters
    ----------
    alpha : float
        At least 0; ``-alpha`` is the limit.
    """

    preferred_init: ClassVar[Scheme | None] = "he"

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = non_negative("alpha", alpha)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Bend the negative numbers of x, of any shape."""
        self._saved = out = elu(x, self.alpha)
        return out

    def backward(self, grad: Array) -> Array:
        """``grad * (y + alpha)`` where the output is not positive, else the gradient."""
        return elu_backward(grad, self._recall(), self.alpha)

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
