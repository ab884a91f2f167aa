"""Multiply: the product of several inputs, such as maps and a gate for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.layers.base import Shape
from pocketcnn.layers.merge import Merge, checked_grad, common_shape, summed_to


class Multiply(Merge):
    """``y = x1 * x2 * ...``, where an axis of size 1 is repeated.

    Maps (N, C, H, W) times gates (N, C, 1, 1) is the scaling of squeeze-and-excitation: Hu, Shen,
    Sun, "Squeeze-and-Excitation Networks", CVPR 2018, equation 4.

    Examples
    --------
    >>> Multiply().forward([np.ones((1, 2, 2, 1)), np.full((1, 2, 1, 1), 3.0)]).shape
    (1, 2, 2, 1)
    """

    def forward(self, x: Sequence[Array], training: bool = False) -> Array:
        """Multiply the inputs, from the first to the last."""
        batches, _ = self._batches(x)
        self._saved = batches
        return reduce(np.multiply, batches)

    def backward(self, grad: Array) -> list[Array]:
        """Pass to every input the gradient times the other inputs."""
        batches = self._recall()
        grad = checked_grad(grad, np.broadcast_shapes(*(batch.shape for batch in batches)))
        grads = []
        for place, batch in enumerate(batches):
            others = batches[:place] + batches[place + 1 :]
            grads.append(summed_to(grad * reduce(np.multiply, others), batch.shape))
        return grads

    def output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """The inputs' common shape."""
        return common_shape("Multiply", input_shape)
