"""GlobalMaxPool2d: the largest number of each feature map."""

from __future__ import annotations

from pocketcnn._arguments import Array, array
from pocketcnn.functional import max_pool2d, max_pool2d_backward
from pocketcnn.layers.base import Layer, Shape, check_image_shape


class GlobalMaxPool2d(Layer):
    """Replace each feature map, of any size, by its largest number; NaN counts as the largest.

    The output keeps two axes of length one, (N, C, 1, 1); a `Flatten` removes them.

    Examples
    --------
    >>> GlobalMaxPool2d().output_shape((512, 7, 7))
    (512, 1, 1)
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Pool x (N, C, H, W) to (N, C, 1, 1)."""
        x = array("x", x, 4)
        out, argmax = max_pool2d(x, x.shape[2:])
        self._saved = argmax, x.shape
        return out

    def backward(self, grad: Array) -> Array:
        """Send each gradient to the largest pixel of its map, the first of equal ones."""
        argmax, input_shape = self._recall()
        return max_pool2d_backward(grad, argmax, input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) to (C, 1, 1)."""
        check_image_shape(self, input_shape)
        return (input_shape[0], 1, 1)
