"""Conv and ConvTranspose."""

from __future__ import annotations

from collections.abc import Callable

from pocketcnn import layers
from pocketcnn._arguments import Array, Padding, Pair
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, floats
from pocketcnn.onnx.operators.window import (
    Window,
    read_pads,
    read_window,
    short,
    sides_of,
    split_padding,
)
from pocketcnn.onnx.tensors import Constant, Tensor


def conv(node: Node, net: Builder) -> Tensor:
    """A Conv2d; a convolution over a row is one over an image of height 1."""
    x = node.tensor()
    image = net.window_image(x)
    weight, groups = _weight(node, x), node.whole("group", 1)
    filters, per_group, *kernel = weight.shape
    if groups < 1 or filters % groups or per_group * groups != x.shape[0]:
        raise ValueError(
            f"a weight of shape {weight.shape} in {groups} groups does not fit "
            f"{x.shape[0]} channels"
        )
    window = read_window(node, x, kernel)
    bias = node.constant(2)
    layer = layers.Conv2d(
        x.shape[0],
        filters,
        short(window.kernel),
        short(window.stride),
        window.padding,
        short(window.dilation),
        groups,
        bias=bias is not None,
    )
    entry = net.add(layer, image, _state(net, weight, bias, layer.param_shapes))
    return net.from_window(entry, x)


def conv_transpose(node: Node, net: Builder) -> Tensor:
    """A ConvTranspose2d."""
    x = node.tensor()
    image = net.window_image(x)
    weight, groups = _weight(node, x), node.whole("group", 1)
    channels, per_group, *kernel = weight.shape
    if groups < 1 or channels != x.shape[0] or channels % groups:
        raise ValueError(
            f"a weight of shape {weight.shape} in {groups} groups does not fit "
            f"{x.shape[0]} channels"
        )
    window, extra = _transposed_window(node, x, kernel)
    padding, extra = _output_padding(window, extra)
    bias = node.constant(2)
    layer = layers.ConvTranspose2d(
        channels,
        per_group * groups,
        short(window.kernel),
        short(window.stride),
        padding,
        short(extra),
        short(window.dilation),
        groups,
        bias=bias is not None,
    )
    entry = net.add(layer, image, _state(net, weight, bias, layer.param_shapes))
    return net.from_window(entry, x)


def _output_padding(window: Window, extra: Pair) -> tuple[Padding, Pair]:
    """Padding and output padding; "same" where that adds what a layer's output padding cannot."""
    sizes = zip(window.kernel, window.stride, window.dilation, extra, strict=True)
    more = [after - stride + (taps - 1) * step + 1 for taps, stride, step, after in sizes]
    fits = all(e < max(s, d) for e, s, d in zip(extra, window.stride, window.dilation, strict=True))
    if fits or any(window.sides) or min(more) < 0:
        return window.padding, extra
    return "same", (more[0], more[1])


def _transposed_window(node: Node, x: Tensor, kernel: list[int]) -> tuple[Window, Pair]:
    """The window and the rows and columns that are added to the output after it."""
    axes = x.rank - 2
    extra = node.wholes("output_padding") or [0] * axes
    if len(extra) != axes or not all(0 <= size < 2**31 for size in extra):
        raise ValueError(f"output_padding is {extra}")
    window = read_window(node, x, kernel)
    strides, dilations = window.stride[2 - axes :], window.dilation[2 - axes :]
    fulls = [
        (size - 1) * stride + (taps - 1) * step + 1
        for size, stride, taps, step in zip(x.shape[1:], strides, kernel, dilations, strict=True)
    ]
    mode, sizes = node.text("auto_pad", "NOTSET"), node.wholes("output_shape")
    if sizes is None and mode in ("NOTSET", "VALID"):
        return window, (0, extra[0]) if axes == 1 else (extra[0], extra[1])
    if sizes is None:
        sizes = [size * stride for size, stride in zip(x.shape[1:], strides, strict=True)]
    sizes = sizes[-axes:]
    pads = read_pads(node, axes) if mode == "NOTSET" and node.has("pads") else None
    ends = []
    for axis, (full, size) in enumerate(zip(fulls, sizes, strict=True)):
        total = full + extra[axis] - size
        if pads is not None and total < pads[axis] + pads[axis + axes]:
            total = pads[axis] + pads[axis + axes]
        if total < 0:
            extra[axis] -= total
            total = 0
        ends.append(split_padding(total, at_begin=mode != "SAME_UPPER"))
    sides = sides_of([begin for begin, _ in ends] + [end for _, end in ends])
    return window._replace(sides=sides), (0, extra[0]) if axes == 1 else (extra[0], extra[1])


def _weight(node: Node, x: Tensor) -> Constant:
    weight = node.weight(1)
    if len(weight.shape) != x.rank or 0 in weight.shape:
        raise ValueError(f"a weight of shape {weight.shape} for an input of {x.rank} axes")
    return weight


def _state(
    net: Builder, weight: Constant, bias: Constant | None, shapes: dict[str, tuple[int, ...]]
) -> dict[str, Callable[[], Array]]:
    state = {"weight": lambda: floats(weight, net.dtype).reshape(shapes["weight"])}
    if bias is not None:
        if bias.shape != shapes["bias"]:
            raise ValueError(f"the bias has shape {bias.shape}, but must have {shapes['bias']}")
        state["bias"] = lambda: floats(bias, net.dtype)
    return state
