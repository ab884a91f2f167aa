"""ZeroPad2d: zeros around feature maps."""

from __future__ import annotations

from pocketcnn._arguments import Array, Padding
from pocketcnn.functional._zero_pad2d import (
    padded_size,
    signed_sides,
    zero_pad2d,
    zero_pad2d_backward,
)
from pocketcnn.layers.base import Layer, Shape, check_image_shape
from pocketcnn.layers.sight import Sight
from pocketcnn.layers.window import plain


class ZeroPad2d(Layer):
    """Put zeros around each feature map, or cut its edges off.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        Zeros everywhere, (h, w), or ((top, bottom), (left, right)). A negative number cuts so many
        pixels off.

    Examples
    --------
    >>> ZeroPad2d(((1, 2), (0, -1))).output_shape((3, 5, 5))
    (3, 8, 4)
    """

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        signed_sides(padding)
        self.padding = plain(padding)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Pad x (N, C, H, W)."""
        self._saved = True
        return zero_pad2d(x, self.padding)

    def backward(self, grad: Array) -> Array:
        """Cut the zeros off, or put back what was cut off, as zeros."""
        self._recall()
        return zero_pad2d_backward(grad, self.padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) to (C, top + H + bottom, left + W + right)."""
        check_image_shape(self, input_shape)
        return (input_shape[0], *padded_size(input_shape[1:], self.padding))

    def sight(self, input_shape: Shape) -> tuple[Sight, Sight]:
        """One pixel, or a zero."""
        top, _, left, _ = signed_sides(self.padding)
        return Sight(-top, -top, 1), Sight(-left, -left, 1)
