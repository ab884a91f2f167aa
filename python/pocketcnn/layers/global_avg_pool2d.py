"""GlobalAvgPool2d: the mean of each feature map."""

from __future__ import annotations

from pocketcnn._arguments import Array
from pocketcnn.functional import avg_pool2d, avg_pool2d_backward
from pocketcnn.layers.base import Layer, Shape, check_image_shape


class GlobalAvgPool2d(Layer):
    """Replace each feature map, of any size, by its mean.

    The output keeps two axes of length one, (N, C, 1, 1); a `Flatten` removes them.
    Lin, Chen, Yan, "Network In Network", ICLR 2014, section 3.2.

    Examples
    --------
    >>> GlobalAvgPool2d().output_shape((512, 7, 7))
    (512, 1, 1)
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        """Average x (N, C, H, W) to (N, C, 1, 1)."""
        self._saved = x.shape
        return avg_pool2d(x, x.shape[2:])

    def backward(self, grad: Array) -> Array:
        """Share each gradient equally among the pixels of its map."""
        input_shape = self._recall()
        return avg_pool2d_backward(grad, input_shape, input_shape[2:])

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) to (C, 1, 1)."""
        check_image_shape(self, input_shape)
        return (input_shape[0], 1, 1)
