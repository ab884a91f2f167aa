"""AvgPool2d: the mean of each window."""

from __future__ import annotations

from pocketcnn._arguments import Array, IntOrPair, Padding
from pocketcnn.functional import avg_pool2d, avg_pool2d_backward
from pocketcnn.functional._pool2d import pooling
from pocketcnn.layers.base import Layer, Shape, check_image_shape
from pocketcnn.layers.window import check_pool_window, plain


class AvgPool2d(Layer):
    """Replace each window of each channel by its mean.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Size of the window in pixels (h, w).
    stride : int, (int, int) or None
        Step of the window; None is `kernel_size`.
    padding : int, (int, int), ((int, int), (int, int)), "same" or "valid"
        Zeros around the input.
    ceil_mode : bool
        Whether a last window may reach past the lower and right edges.
    count_include_pad : bool
        Whether padding counts in the divisor of the mean.

    Examples
    --------
    >>> AvgPool2d(3, stride=2, padding=1).output_shape((6, 28, 28))
    (6, 14, 14)
    """

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        check_pool_window(kernel_size, stride, padding)
        self.kernel_size = plain(kernel_size)
        self.stride = plain(stride)
        self.padding = plain(padding)
        self.ceil_mode = bool(ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Pool x (N, C, H, W) to (N, C, OH, OW)."""
        self._saved = x.shape
        return avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )

    def backward(self, grad: Array) -> Array:
        """Share each gradient equally among the pixels of its window."""
        return avg_pool2d_backward(
            grad,
            self._recall(),
            self.kernel_size,
            self.stride,
            self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) to (C, OH, OW)."""
        check_image_shape(self, input_shape)
        shape = (1, *input_shape)
        pool = pooling(shape, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode)
        return pool.output_shape(shape)[1:]
