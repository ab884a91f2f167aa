"""PReLU: negative numbers are multiplied by a slope that is learned."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from pocketcnn._arguments import Array, integer
from pocketcnn.functional import prelu, prelu_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class PReLU(Layer):
    """``y = x``, or ``weight * x`` for x <= 0, with derivative `weight` at 0.

    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015.

    Parameters
    ----------
    channels : int
        1 for one slope, or the input's channels for one each.

    Attributes
    ----------
    weight : ndarray, (channels,)
        The slopes, initially 0.25. A weight decay pulls them to zero like other parameters.

    Examples
    --------
    >>> PReLU(2).forward(np.array([[-4.0, -4.0]]))
    array([[-1., -1.]])
    """

    preferred_init: ClassVar[Scheme | None] = "he"

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.channels = integer("channels", channels, 1)
        self.param_shapes = {"weight": (self.channels,)}

    @property
    def weight(self) -> Array:
        """The array ``params["weight"]``."""
        return self.params["weight"]

    def draw_params(self, rng: np.random.Generator, auto: Scheme) -> dict[str, Array]:
        """A quarter everywhere: nothing is drawn."""
        return {"weight": np.full(self.channels, 0.25, self.dtype)}

    def forward(self, x: Array, training: bool = False) -> Array:
        """Multiply the negative numbers of x, of any shape whose axis 1 has the channels."""
        self._saved = x
        return prelu(x, self.weight)

    def backward(self, grad: Array) -> Array:
        """Multiply the gradient where x is not positive; add up what changes the slopes."""
        dx, self.grads["weight"] = prelu_backward(grad, self._recall(), self.weight)
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        if self.channels > 1 and input_shape[:1] != (self.channels,):
            raise ValueError(f"{self!r} takes {self.channels} channels, but gets {input_shape}")
        return input_shape
