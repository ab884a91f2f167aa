"""The base of the layers that take several inputs, and what they have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn._arguments import Array, array, require_shape
from pocketcnn.layers.base import Layer, Shape


class Merge(Layer):
    """A layer that takes the outputs of several layers; `ConvNet` says how to name them."""

    @abstractmethod
    def forward(self, x: Sequence[Array], training: bool = False) -> Array:
        """Compute the layer's output from two batches or more, and remember what they were.

        Parameters
        ----------
        x : sequence of ndarray, (N, ...)
        training : bool
            Whether layers that behave differently in training do so.

        Raises
        ------
        ValueError
            There are fewer than two, or their shapes do not fit each other.
        """

    @abstractmethod
    def backward(self, grad: Array) -> list[Array]:
        """Return the gradients of all inputs from that of the output of the last `forward`."""

    @abstractmethod
    def output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """Shape of the output for inputs of these shapes, all without the batch axis.

        Raises
        ------
        ValueError
            They do not fit each other.
        """

    def _batches(self, x: Sequence[ArrayLike]) -> tuple[list[Array], Shape]:
        """The inputs as arrays, and the shape of the output with the batch axis."""
        if not isinstance(x, Sequence):
            raise TypeError(
                f"x is a {type(x).__name__}, but {type(self).__name__} takes a list of arrays"
            )
        batches = [array(f"x[{place}]", value) for place, value in enumerate(x)]
        for place, batch in enumerate(batches):
            if batch.ndim == 0 or len(batch) != len(batches[0]):
                raise ValueError(
                    f"x[{place}] has shape {batch.shape}, and x[0] has {batches[0].shape}: "
                    "need as many samples"
                )
        shape = self.output_shape([batch.shape[1:] for batch in batches])
        return batches, (len(batches[0]), *shape)


def require_inputs(kind: str, shapes: Sequence[Shape]) -> None:
    """Raise ValueError unless there are at least two shapes, all of as many axes."""
    if len(shapes) < 2:
        raise ValueError(f"{kind} needs at least 2 inputs, but has {len(shapes)}")
    if len({len(shape) for shape in shapes}) > 1:
        raise ValueError(f"{kind} takes inputs of as many axes, but has {_listed(shapes)}")


def common_shape(kind: str, shapes: Sequence[Shape]) -> Shape:
    """The shape to which inputs are repeated along axes where their size is 1."""
    require_inputs(kind, shapes)
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"{kind} takes inputs of one shape, or of size 1 where they differ, "
            f"but has {_listed(shapes)}"
        ) from None


def summed_to(grad: Array, shape: Shape) -> Array:
    """Add up a gradient along the axes that were repeated from `shape`."""
    if grad.shape == shape:
        return grad
    repeated = tuple(axis for axis, size in enumerate(shape) if size != grad.shape[axis])
    sums: Array = grad.sum(axis=repeated, keepdims=True)
    return sums


def checked_grad(grad: ArrayLike, shape: Shape) -> Array:
    """The gradient as an array of the output's shape; ValueError for another shape."""
    checked = array("grad", grad)
    require_shape("grad", checked, shape)
    return checked


def _listed(shapes: Sequence[Shape]) -> str:
    return " and ".join(map(str, shapes))
