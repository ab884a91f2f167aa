"""Where a sliding window stands: the sizes every convolution and pooling layer shares.

This file only computes shapes. The arrays are moved in :mod:`pocketcnn.functional`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pocketcnn.layers.arguments import IntOrPair, Padding, Pair, padding_sides, pair


@dataclass(frozen=True)
class Window:
    """A window of `kernel` taps that moves over an image by `stride`.

    Attributes
    ----------
    kernel, stride, dilation : (int, int)
        Vertical and horizontal size, step, and distance between taps, in pixels.
    padding : ((int, int), (int, int)) or None
        Pixels added (top, bottom), (left, right). None is "same": as many as make the output
        ``ceil(input / stride)``, the odd one at the bottom and on the right.
    ceil_mode : bool
        Whether a last window may hang over the lower and right edge.
    """

    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair] | None
    dilation: Pair
    ceil_mode: bool

    @classmethod
    def parse(
        cls,
        kernel_size: IntOrPair,
        stride: IntOrPair | None,
        padding: Padding,
        dilation: IntOrPair = 1,
        ceil_mode: bool = False,
    ) -> Window:
        """Read the arguments as users write them; stride None steps by one whole kernel.

        Examples
        --------
        >>> Window.parse(3, stride=2, padding=1).output_size(224, 224)
        (112, 112)
        """
        kernel = pair("kernel_size", kernel_size)
        return cls(
            kernel=kernel,
            stride=kernel if stride is None else pair("stride", stride),
            padding=padding_sides(padding),
            dilation=pair("dilation", dilation),
            ceil_mode=ceil_mode,
        )

    def output_size(self, height: int, width: int) -> Pair:
        """Count the window's positions on an image, down and across.

        Raises
        ------
        ValueError
            If the window does not fit the padded image even once.
        """
        return self._positions(0, height), self._positions(1, width)

    def _positions(self, axis: int, size: int) -> int:
        stride = self.stride[axis]
        if self.padding is None:
            return -(-size // stride)
        before, after = self.padding[axis]
        extent = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        room = size + before + after - extent
        if size < 1 or room < 0:
            raise ValueError(
                f"a window of {extent} pixels ({'height' if axis == 0 else 'width'}) does not fit "
                f"an input of {size} with padding {before} and {after}"
            )
        if not self.ceil_mode:
            return room // stride + 1
        positions = -(-room // stride) + 1
        # A window that starts behind the last pixel would see nothing but padding.
        starts_outside = (positions - 1) * stride >= size + before
        return positions - 1 if starts_outside else positions
