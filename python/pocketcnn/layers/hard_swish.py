"""HardSwish: a SiLU whose sigmoid is of three straight lines."""

from __future__ import annotations

from typing import ClassVar

from pocketcnn._arguments import Array
from pocketcnn.functional import hard_swish, hard_swish_backward
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class HardSwish(Layer):
    """``y = x * relu6(x + 3) / 6``, with derivative 0 at -3 and 1 at 3.

    Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2.
    """

    preferred_init: ClassVar[Scheme | None] = "he"

    def forward(self, x: Array, training: bool = False) -> Array:
        """Multiply x, of any shape, by its hard sigmoid."""
        self._saved = x
        return hard_swish(x)

    def backward(self, grad: Array) -> Array:
        """``grad * (x / 3 + 1 / 2)`` for x between -3 and 3, nothing below, all above."""
        return hard_swish_backward(grad, self._recall())

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
