"""Conv2d: filters that slide over feature maps."""

from __future__ import annotations

import math
from collections.abc import Callable

from pocketcnn._arguments import Array, IntOrPair, Padding, integer, pair
from pocketcnn.functional import conv2d
from pocketcnn.functional._conv2d import conv2d_gradients, conv2d_input_grad
from pocketcnn.functional._window2d import window2d
from pocketcnn.layers.base import Shape, check_image_shape
from pocketcnn.layers.init import Init, fans
from pocketcnn.layers.weight_layer import WeightLayer
from pocketcnn.layers.window import check_window, plain


class Conv2d(WeightLayer):
    """Two-dimensional convolution (strictly, as everywhere in deep learning, a correlation).

    ``y[n, f, i, j] = bias[f] + sum over c, u, v of
    weight[f, c, u, v] * x_padded[n, c, i * stride + u * dilation, j * stride + v * dilation]``

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input; filters, which are the channels of the output.
    kernel_size, stride, dilation : int or (int, int)
        Size of a filter, step of the window, distance between taps, in pixels (h, w).
    padding : int, (int, int), ((int, int), (int, int)), "same" or "valid"
        Zeros around the input: everywhere, (h, w), ((top, bottom), (left, right)).
    groups : int
        Number of groups of channels; a filter sees only its own group.
    bias : bool
        Whether a number is added to each output channel.
    init : {"auto", "he", "xavier"} or float
        How the weight is drawn; see `pocketcnn.layers.init`.

    Attributes
    ----------
    weight : ndarray, (out_channels, in_channels / groups, KH, KW)
    bias : ndarray, (out_channels,), or None

    Examples
    --------
    >>> conv = Conv2d(3, 8, kernel_size=5, padding=2)
    >>> conv.output_shape((3, 32, 32))
    (8, 32, 32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        init: Init = "auto",
    ) -> None:
        check_window(kernel_size, stride, padding, dilation)
        self.in_channels = integer("in_channels", in_channels, 1)
        self.out_channels = integer("out_channels", out_channels, 1)
        self.groups = integer("groups", groups, 1)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups is {groups}, but must divide in_channels ({in_channels}) "
                f"and out_channels ({out_channels})"
            )
        self.kernel_size = plain(kernel_size)
        self.stride = plain(stride)
        self.padding = plain(padding)
        self.dilation = plain(dilation)
        kernel = pair("kernel_size", kernel_size)
        weight_shape = (self.out_channels, self.in_channels // self.groups, *kernel)
        super().__init__(weight_shape, use_bias=bias, init=init, fans=fans(weight_shape, groups))

    def forward(self, x: Array, training: bool = False) -> Array:
        """Convolve x (N, in_channels, H, W) to (N, out_channels, OH, OW)."""
        self._saved = x
        params = self.params
        return conv2d(
            x,
            params["weight"],
            params.get("bias"),
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )

    def backward(self, grad: Array) -> Array | None:
        """Correlate the gradient with the input for the weight, with the weight for the input."""
        x = self._recall()
        if self.frozen:
            return self._input_grad(grad, x.shape) if self.needs_input_grad else None
        return self._gradients(x, grad, self.needs_input_grad)

    def backward_from(
        self, shape: Shape, make_input: Callable[[], Array], grad: Array
    ) -> Array | None:
        """Do as `backward`, with an input of a shape, made when that of the input is done."""
        dx = self._input_grad(grad, shape) if self.needs_input_grad else None
        self._gradients(make_input(), grad, False)
        return dx

    def _gradients(self, x: Array, grad: Array, input_grad: bool) -> Array | None:
        self.forget_grads()
        dx, dweight, dbias = conv2d_gradients(
            grad,
            x,
            self.params["weight"],
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            input_grad=input_grad,
            bias_grad=self.use_bias,
        )
        self.store_grads(dweight, dbias)
        return dx

    def _input_grad(self, grad: Array, x_shape: Shape) -> Array:
        return conv2d_input_grad(
            grad,
            self.params["weight"],
            x_shape,
            self.stride,
            self.padding,
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
        _, h, w = input_shape
        window = window2d((h, w), self.kernel_size, self.stride, self.padding, self.dilation)
        return (self.out_channels, *window.output_size(h, w))

    def multiply_adds(self, input_shape: Shape) -> int:
        """One for each weight of a filter, at each output pixel."""
        taps = math.prod(self.param_shapes["weight"][1:])
        return math.prod(self.output_shape(input_shape)) * taps
