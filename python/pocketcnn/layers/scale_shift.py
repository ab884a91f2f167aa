"""ScaleShift: a fixed factor and a fixed summand."""

from __future__ import annotations

from pocketcnn._arguments import Array, finite
from pocketcnn.layers.base import Layer, Shape


class ScaleShift(Layer):
    """``y = scale * x + shift``, with two numbers that training leaves alone.

    Parameters
    ----------
    scale, shift : float

    Examples
    --------
    >>> import numpy as np
    >>> ScaleShift(2 / 255, -1).forward(np.array([[0.0, 255.0]]))
    array([[-1.,  1.]])
    """

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.scale = finite("scale", scale)
        self.shift = finite("shift", shift)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Scale and shift x, of any shape."""
        self._saved = True
        out: Array = x * x.dtype.type(self.scale)
        if self.shift:
            out += x.dtype.type(self.shift)
        return out

    def backward(self, grad: Array) -> Array:
        """``scale * grad``."""
        self._recall()
        dx: Array = grad * grad.dtype.type(self.scale)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
