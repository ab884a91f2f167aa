"""Convolution, pooling and padding."""

from __future__ import annotations

from typing import Any

from pocketcnn._arguments import Pair, Sides, padding_sides, pair
from pocketcnn.functional._pool2d import pooling
from pocketcnn.functional._window2d import window2d
from pocketcnn.functional._zero_pad2d import signed_sides
from pocketcnn.layers import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool2d,
    ZeroPad2d,
)
from pocketcnn.onnx.graph_writer import LayerNodes, Value


def conv2d(nodes: LayerNodes, layer: Conv2d, x: Value) -> str:
    """Write "same" padding as what it is for this size."""
    window = window2d(x.shape[1:], layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    settings = _settings(window.kernel_size, window.stride, window.padding)
    if window.dilation != (1, 1):
        settings["dilations"] = window.dilation
    return nodes.node("Conv", x, *nodes.arrays(), group=layer.groups, **settings)


def conv_transpose2d(nodes: LayerNodes, layer: ConvTranspose2d, x: Value) -> str:
    """Write "same" padding as what it is: what is cut off, or added where the stride is larger."""
    kernel, stride = pair("kernel_size", layer.kernel_size), pair("stride", layer.stride)
    dilation, added = pair("dilation", layer.dilation), pair("added", layer.output_padding, 0)
    sides = padding_sides(layer.padding)
    if sides is None:
        over = [
            stride[axis] * (x.shape[axis + 1] - 1) + dilation[axis] * (kernel[axis] - 1) + 1 - size
            for axis, size in enumerate(layer.output_shape(x.shape)[1:])
        ]
        rows, cols = (max(0, over[axis] + added[axis]) for axis in (0, 1))
        sides = (rows // 2, rows - rows // 2, cols // 2, cols - cols // 2)
        added = (max(added[0], -over[0]), max(added[1], -over[1]))
    return nodes.node(
        "ConvTranspose",
        x,
        *nodes.arrays(),
        group=layer.groups,
        dilations=dilation,
        output_padding=added,
        **_settings(kernel, stride, sides),
    )


def max_pool2d(nodes: LayerNodes, layer: MaxPool2d, x: Value) -> str:
    """Write the part of windows that hangs over as padding, which is never the largest."""
    settings, _, _ = _pool(layer, x)
    return nodes.node("MaxPool", x, **settings)


def avg_pool2d(nodes: LayerNodes, layer: AvgPool2d, x: Value) -> str:
    """Write the part of windows that hangs over as padding that is not counted.

    ``ceil_mode`` is avoided, because libraries differ in the divisor of such windows. Padding that
    is counted beside it becomes zeros of the image.
    """
    settings, padding, over = _pool(layer, x)
    count = layer.count_include_pad
    if any(over):
        if count and any(padding):
            image = _pad(nodes, x, padding, part="padded")
            settings["pads"] = [0, 0, *over]
            return nodes.node("AveragePool", image, **settings)
        count = False
    return nodes.node("AveragePool", x, count_include_pad=int(count), **settings)


def global_avg_pool2d(nodes: LayerNodes, _: GlobalAvgPool2d, x: Value) -> str:
    """Write one node, which keeps the two axes."""
    return nodes.node("GlobalAveragePool", x)


def global_max_pool2d(nodes: LayerNodes, _: GlobalMaxPool2d, x: Value) -> str:
    """Write one node, which keeps the two axes."""
    return nodes.node("GlobalMaxPool", x)


def zero_pad2d(nodes: LayerNodes, layer: ZeroPad2d, x: Value) -> str:
    """Write zeros, and then what is cut off: negative padding is rare in other libraries."""
    sides = signed_sides(layer.padding)
    if min(sides) >= 0:
        return _pad(nodes, x, sides)
    image: str | Value = x
    if max(sides) > 0:
        top, bottom, left, right = (max(0, side) for side in sides)
        image = _pad(nodes, x, (top, bottom, left, right), part="padded")
    _, height, width = layer.output_shape(x.shape)
    first = max(0, -sides[0]), max(0, -sides[2])
    starts = nodes.integers("starts", first)
    ends = nodes.integers("ends", [first[0] + height, first[1] + width])
    return nodes.node("Slice", image, starts, ends, nodes.integers("axes", [2, 3]))


def _pad(nodes: LayerNodes, x: Value, padding: Sides, part: str | None = None) -> str:
    """Write zeros around images."""
    top, bottom, left, right = padding
    ends = nodes.integers("pads", [0, 0, top, left, 0, 0, bottom, right])
    return nodes.node("Pad", x, ends, part=part)


def _pool(layer: MaxPool2d | AvgPool2d, x: Value) -> tuple[dict[str, Any], Sides, Pair]:
    """Attributes of the window, its padding, and how far the last one hangs over it."""
    pool = pooling(
        (1, *x.shape), layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode
    )
    window = pool.window
    _, _, rows, cols = pool.output_shape((1, *x.shape))
    top, bottom, left, right = window.padding
    kernel, stride = window.kernel_size, window.stride
    over = (
        max(0, (rows - 1) * stride[0] + kernel[0] - (x.shape[1] + top + bottom)),
        max(0, (cols - 1) * stride[1] + kernel[1] - (x.shape[2] + left + right)),
    )
    sides = (top, bottom + over[0], left, right + over[1])
    return _settings(kernel, stride, sides), window.padding, over


def _settings(kernel_size: Pair, stride: Pair, padding: Sides) -> dict[str, Any]:
    """The attributes of a window."""
    top, bottom, left, right = padding
    return {
        "kernel_shape": kernel_size,
        "strides": stride,
        "pads": [top, left, bottom, right],
    }
