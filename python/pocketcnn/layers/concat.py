"""Concat: several inputs one after the other along the channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.layers.base import Shape
from pocketcnn.layers.merge import Merge, checked_grad, require_inputs


class Concat(Merge):
    """The channels of the first input, then those of the second, and so on: axis 1.

    Examples
    --------
    >>> Concat().output_shape([(16, 8, 8), (4, 8, 8)])
    (20, 8, 8)
    """

    def forward(self, x: Sequence[Array], training: bool = False) -> Array:
        """Join the inputs."""
        batches, shape = self._batches(x)
        self._saved = shape, np.cumsum([batch.shape[1] for batch in batches])[:-1]
        joined: Array = np.concatenate(batches, axis=1)
        return joined

    def backward(self, grad: Array) -> list[Array]:
        """Cut the gradient into those of the inputs."""
        shape, ends = self._recall()
        parts = np.split(checked_grad(grad, shape), ends, axis=1)
        return [np.ascontiguousarray(part) for part in parts]

    def output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """The channels of all inputs, whose other axes are equal."""
        require_inputs("Concat", input_shape)
        channels, rest = 0, input_shape[0][1:]
        for shape in input_shape:
            if not shape or shape[1:] != rest:
                shapes = " and ".join(map(str, input_shape))
                raise ValueError(f"Concat takes inputs that differ in channels alone: {shapes}")
            channels += shape[0]
        return (channels, *rest)
