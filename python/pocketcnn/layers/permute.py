"""Permute: the axes of a sample in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.window import plain


class Permute(Layer):
    """Put the axes of each sample in another order; the batch axis stays the first.

    Parameters
    ----------
    axes : sequence of int
        For each axis of the output, the axis of the input, without the batch axis: (2, 0, 1) makes
        images (H, W, C) to (C, H, W).

    Examples
    --------
    >>> Permute((2, 0, 1)).output_shape((28, 30, 3))
    (3, 28, 30)
    """

    def __init__(self, axes: Sequence[SupportsIndex]) -> None:
        super().__init__()
        self.axes: tuple[int, ...] = plain(tuple(axes))
        if sorted(self.axes) != [*range(len(self.axes))]:
            raise ValueError(f"axes is {axes!r}, but must have each of 0 to n - 1 once")

    def forward(self, x: Array, training: bool = False) -> Array:
        """Move the numbers of x (N, ...)."""
        self.output_shape(x.shape[1:])
        self._saved = True
        return np.ascontiguousarray(x.transpose(0, *(axis + 1 for axis in self.axes)))

    def backward(self, grad: Array) -> Array:
        """Move the gradient back."""
        self._recall()
        back = np.argsort(self.axes) + 1
        return np.ascontiguousarray(grad.transpose(0, *back))

    def output_shape(self, input_shape: Shape) -> Shape:
        """The input's sizes in the order of `axes`."""
        if len(input_shape) != len(self.axes):
            raise ValueError(f"{self!r} takes {len(self.axes)} axes, but gets {input_shape}")
        return tuple(input_shape[axis] for axis in self.axes)
