"""HardSigmoid: a sigmoid of three straight lines."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array
from pocketcnn.functional import hard_sigmoid, hard_sigmoid_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class HardSigmoid(Layer):
    """``y = relu6(x + 3) / 6``, with derivative 0 at -3 and at 3.

    Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2.
    """

    preferred_init: ClassVar[Scheme | None] = "xavier"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Squeeze x, of any shape, between 0 and 1."""
        self._saved = out = hard_sigmoid(x)
        return out

    def backward(self, grad: Array) -> Array:
        """``grad / 6`` where the output lies between 0 and 1."""
        return hard_sigmoid_backward(grad, self._recall())

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
