"""ConvTranspose2d: filters that are added up where the pixels say."""

from __future__ import annotations

import math
from fractions import Fraction

from pocketcnn._arguments import Array, IntOrPair, Padding, Pair, integer, pair
from pocketcnn.functional import conv_transpose2d, conv_transpose2d_backward
from pocketcnn.functional._conv_transpose2d import (
    Transposed,
    checked_output_padding,
    conv_transpose2d_input_grad,
    transposed,
)
from pocketcnn.layers.base import Shape, check_image_shape
from pocketcnn.layers.init import Init
from pocketcnn.layers.sight import Sight
from pocketcnn.layers.weight_layer import WeightLayer
from pocketcnn.layers.window import check_window, plain


class ConvTranspose2d(WeightLayer):
    """Transposed convolution: the gradient of a `Conv2d` with respect to its input.

    With a stride it enlarges maps. ``y[n, f, i * stride + u * dilation - top,
    j * stride + v * dilation - left]`` is the sum over c, u, v, i, j of
    ``weight[c, f, u, v] * x[n, c, i, j]``, plus ``bias[f]``.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, dilation : int or (int, int)
        Size of a filter, distance between the filters of neighbours, distance between taps, in
        pixels (h, w).
    padding : int, (int, int), ((int, int), (int, int)), "same" or "valid"
        Pixels cut off the output: everywhere, (h, w), ((top, bottom), (left, right)). "same" leaves
        `stride` pixels for each.
    output_padding : int or (int, int)
        Pixels added to the output at the bottom and on the right; smaller than `stride` or
        `dilation`.
    groups : int
        Number of groups of channels; a filter sees only its own group.
    bias : bool
        Whether a number is added to each output channel.
    init : {"auto", "he", "xavier"} or float
        How the weight is drawn; see `pocketcnn.layers.init`.

    Attributes
    ----------
    weight : ndarray, (in_channels, out_channels / groups, KH, KW)
    bias : ndarray, (out_channels,), or None

    Examples
    --------
    >>> up = ConvTranspose2d(8, 3, kernel_size=2, stride=2)
    >>> up.output_shape((8, 16, 16))
    (3, 32, 32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        output_padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        init: Init = "auto",
    ) -> None:
        check_window(kernel_size, stride, padding, dilation)
        steps = pair("stride", stride)
        checked_output_padding(output_padding, steps, pair("dilation", dilation))
        self.in_channels = integer("in_channels", in_channels, 1)
        self.out_channels = integer("out_channels", out_channels, 1)
        self.groups = integer("groups", groups, 1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups is {groups}, but must divide in_channels ({in_channels}) "
                f"and out_channels ({out_channels})"
            )
        self.kernel_size = plain(kernel_size)
        self.stride = plain(stride)
        self.padding = plain(padding)
        self.output_padding = plain(output_padding)
        self.dilation = plain(dilation)
        kernel = pair("kernel_size", kernel_size)
        weight_shape = (self.in_channels, self.out_channels // self.groups, *kernel)
        super().__init__(
            weight_shape,
            outputs=self.out_channels,
            use_bias=bias,
            init=init,
            fans=_fans(weight_shape, self.groups, steps),
        )

    def forward(self, x: Array, training: bool = False) -> Array:
        """Enlarge x (N, in_channels, H, W) to (N, out_channels, OH, OW)."""
        self._saved = x
        params = self.params
        return conv_transpose2d(
            x,
            params["weight"],
            params.get("bias"),
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
        )

    def backward(self, grad: Array) -> Array | None:
        """Convolve the gradient for the input, correlate it with the input for the weight."""
        x = self._recall()
        if self.frozen:
            return self._input_grad(grad, x.shape) if self.needs_input_grad else None
        self.forget_grads()
        dx, dweight, dbias = conv_transpose2d_backward(
            grad,
            x,
            self.params["weight"],
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
            input_grad=self.needs_input_grad,
        )
        self.store_grads(dweight, dbias)
        return dx

    def _input_grad(self, grad: Array, x_shape: Shape) -> Array:
        return conv_transpose2d_input_grad(
            grad,
            self.params["weight"],
            x_shape,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) to (out_channels, OH, OW)."""
        check_image_shape(self, input_shape)
        if input_shape[0] != self.in_channels:
            raise ValueError(
                f"{self!r} takes {self.in_channels} channels, but gets {input_shape[0]}"
            )
        return (self.out_channels, *self._transposed(input_shape).out_size)

    def multiply_adds(self, input_shape: Shape) -> int:
        """One for each weight of a channel's filters, at each input pixel."""
        return math.prod(input_shape) * math.prod(self.param_shapes["weight"][1:])

    def sight(self, input_shape: Shape) -> tuple[Sight, Sight]:
        """The pixels whose filters reach the output."""
        window = self._transposed(input_shape).conv.window

        def along(axis: int) -> Sight:
            stride, before = window.stride[axis], window.padding[2 * axis]
            reach = (window.kernel_size[axis] - 1) * window.dilation[axis]
            return Sight(
                Fraction(before - reach, stride), Fraction(before, stride), Fraction(1, stride)
            )

        return along(0), along(1)

    def _transposed(self, input_shape: Shape) -> Transposed:
        return transposed(
            input_shape[1:],
            self.param_shapes["weight"],
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
        )


def _fans(weight_shape: Shape, groups: int, stride: Pair) -> tuple[int, int]:
    """Inputs that make one output, on average, and outputs that one input reaches.

    Filters lie `stride` apart, so one of that many taps meets an output.
    """
    taps = math.prod(weight_shape[2:])
    meeting = max(1, taps // math.prod(stride))
    return weight_shape[0] // groups * meeting, weight_shape[1] * taps
