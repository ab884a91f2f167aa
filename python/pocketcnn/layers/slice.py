"""Slice: a part of one axis."""

from __future__ import annotations

import numpy as np

from pocketcnn._arguments import Array, integer
from pocketcnn.layers.base import Layer, Shape


class Slice(Layer):
    """Keep the places ``start, start + step, ...`` below `stop` of an axis.

    Parameters
    ----------
    start, stop : int
        The first place, and the one that ends the part: ``0 <= start < stop``.
    axis : int
        The axis, counting the batch axis; 1 is the channels.
    step : int
        Every how many places one is kept.

    Examples
    --------
    >>> Slice(0, 8).output_shape((24, 7, 7)), Slice(1, 7, axis=3, step=2).output_shape((24, 7, 7))
    ((8, 7, 7), (24, 7, 3))
    """

    def __init__(self, start: int, stop: int, axis: int = 1, step: int = 1) -> None:
        super().__init__()
        self.start = integer("start", start, 0)
        self.stop = integer("stop", stop, self.start + 1)
        self.axis = integer("axis", axis, 1)
        self.step = integer("step", step, 1)

    @property
    def _part(self) -> tuple[slice, ...]:
        return *((slice(None),) * self.axis), slice(self.start, self.stop, self.step)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Take the part of x."""
        self.output_shape(x.shape[1:])
        self._saved = x.shape
        return np.ascontiguousarray(x[self._part])

    def backward(self, grad: Array) -> Array:
        """The gradient at the part, zero elsewhere."""
        dx = np.zeros(self._recall(), grad.dtype)
        dx[self._part] = grad
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """The input's, with fewer places along the axis."""
        place = self.axis - 1
        if place >= len(input_shape) or self.stop > input_shape[place]:
            raise ValueError(f"{self!r} takes more places than an input {input_shape} has")
        count = len(range(self.start, self.stop, self.step))
        return (*input_shape[:place], count, *input_shape[place + 1 :])
