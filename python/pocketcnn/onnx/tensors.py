"""Values of an ONNX graph: constants, and tensors that entries of the network give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.layers import Layer, Shape
from pocketcnn.onnx.views import View


class Constant:
    """A value that does not depend on the network's input; read when first needed."""

    def __init__(
        self, shape: Shape, dtype: np.dtype[Any], read: Callable[[], Array], name: str = ""
    ) -> None:
        self.shape, self.dtype, self.name = shape, dtype, name
        self._read: Callable[[], Array] | None = read
        self._array: Array | None = None

    @staticmethod
    def of(array: Array) -> Constant:
        """A constant that is there already."""
        return Constant(array.shape, array.dtype, lambda: array)

    def reshaped(self, shape: Shape) -> Constant:
        """The same numbers in another shape."""
        return Constant(shape, self.dtype, lambda: self.read().reshape(shape), self.name)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    def read(self) -> Array:
        """The numbers."""
        if self._array is None:
            assert self._read is not None
            self._array, self._read = self._read(), None
        return self._array


@dataclass(eq=False)
class Entry:
    """An entry of the network to be: a layer, or a step that has yet to become one.

    Attributes
    ----------
    step : Layer or a class of `pocketcnn.onnx.steps`; None for the network's input
    inputs : list of Entry
    shape : tuple of int
        Of the output, without the batch axis.
    state : dict of str to callable
        What gives the arrays of the layer.
    hint : str
        The name that it should have.
    origin : str
        The node that it comes from, for messages.
    """

    step: Any
    inputs: list[Entry]
    shape: Shape
    state: dict[str, Callable[[], Array]] = field(default_factory=dict)
    hint: str = ""
    origin: str = ""

    def is_a(self, *kinds: type) -> bool:
        """Whether the step is of one of these classes, and not of one derived from them."""
        return type(self.step) in kinds

    @property
    def layer(self) -> Layer:
        """The step, which is a layer."""
        assert isinstance(self.step, Layer)
        return self.step


@dataclass(frozen=True)
class Tensor:
    """A tensor with a batch axis: what an entry gives, and how the graph reads it."""

    entry: Entry
    view: View

    @property
    def shape(self) -> Shape:
        """Without the batch axis."""
        return self.view.shape

    @property
    def rank(self) -> int:
        """Number of axes, with the batch axis."""
        return len(self.view.axes) + 1
