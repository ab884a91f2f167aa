"""MaxPool2d: the largest number in each window."""

from __future__ import annotations

from pocketcnn._arguments import Array, IntOrPair, Padding
from pocketcnn.functional import max_pool2d, max_pool2d_backward
from pocketcnn.functional._pool2d import pooling
from pocketcnn.layers.base import Layer, Shape, check_image_shape
from pocketcnn.layers.window import check_pool_window, plain


class MaxPool2d(Layer):
    """Keep the largest number in each window of each channel.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Size of the window in pixels (h, w).
    stride : int, (int, int) or None
        Step of the window; None is `kernel_size`, so that windows neither overlap nor leave gaps.
    padding : int, (int, int), ((int, int), (int, int)), "same" or "valid"
        Pixels around the input that are never the largest; must be smaller than the kernel.
    ceil_mode : bool
        Whether a last window may reach past the lower and right edges.

    Examples
    --------
    >>> MaxPool2d(2).output_shape((30, 24, 24))
    (30, 12, 12)
    """

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: Padding = 0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        check_pool_window(kernel_size, stride, padding)
        self.kernel_size = plain(kernel_size)
        self.stride = plain(stride)
        self.padding = plain(padding)
        self.ceil_mode = bool(ceil_mode)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Pool x (N, C, H, W) to (N, C, OH, OW)."""
        out, argmax = max_pool2d(
            x, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode
        )
        self._saved = argmax, x.shape
        return out

    def backward(self, grad: Array) -> Array:
        """Send each gradient to the largest pixel of its window; for the same pixel they add up."""
        argmax, input_shape = self._recall()
        return max_pool2d_backward(grad, argmax, input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) to (C, OH, OW)."""
        check_image_shape(self, input_shape)
        shape = (1, *input_shape)
        pool = pooling(shape, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode)
        return pool.output_shape(shape)[1:]
