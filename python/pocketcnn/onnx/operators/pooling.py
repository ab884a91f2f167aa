"""MaxPool, AveragePool, and means, sums and maxima over whole axes."""

from __future__ import annotations

import math

from pocketcnn import layers
from pocketcnn.layers import Layer
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, sample_axes
from pocketcnn.onnx.operators.window import read_window, short
from pocketcnn.onnx.tensors import Tensor
from pocketcnn.onnx.views import View


def max_pool(node: Node, net: Builder) -> Tensor:
    """A MaxPool2d."""
    node.require_sole_output()
    x = node.tensor()
    image = net.window_image(x)
    window = read_window(node, x)
    ceil = bool(node.whole("ceil_mode"))
    layer = layers.MaxPool2d(short(window.kernel), short(window.stride), window.padding, ceil)
    if window.dilation != (1, 1):
        raise ValueError("MaxPool2d has no dilation")
    return net.from_window(net.add(layer, image), x)


def average_pool(node: Node, net: Builder) -> Tensor:
    """An AvgPool2d."""
    x = node.tensor()
    image = net.window_image(x)
    window = read_window(node, x)
    if window.dilation != (1, 1):
        raise ValueError("AvgPool2d has no dilation")
    layer = layers.AvgPool2d(
        short(window.kernel),
        short(window.stride),
        window.padding,
        bool(node.whole("ceil_mode")),
        bool(node.whole("count_include_pad")),
    )
    return net.from_window(net.add(layer, image), x)


def global_average_pool(node: Node, net: Builder) -> Tensor:
    """A GlobalAvgPool2d."""
    return _over_pixels(node.tensor(), net, layers.GlobalAvgPool2d())


def global_max_pool(node: Node, net: Builder) -> Tensor:
    """A GlobalMaxPool2d."""
    return _over_pixels(node.tensor(), net, layers.GlobalMaxPool2d())


def _over_pixels(x: Tensor, net: Builder, layer: Layer) -> Tensor:
    return _reduced(x, net, layer, list(range(1, len(x.shape))), keep=True)


def reduce_mean(node: Node, net: Builder) -> Tensor:
    """A GlobalAvgPool2d over the axes."""
    return _reduce(node, net, layers.GlobalAvgPool2d())


def reduce_max(node: Node, net: Builder) -> Tensor:
    """A GlobalMaxPool2d over the axes."""
    return _reduce(node, net, layers.GlobalMaxPool2d())


def reduce_sum(node: Node, net: Builder) -> Tensor:
    """A mean over the axes, times how many numbers it is of."""
    x = node.tensor()
    mean = _reduce(node, net, layers.GlobalAvgPool2d())
    axes = _axes(node, x)
    return net.scaled(mean, float(math.prod(x.shape[axis] for axis in axes)))


def _axes(node: Node, x: Tensor) -> list[int]:
    axes = node.settings("axes", 1)
    if not axes:
        if node.whole("noop_with_empty_axes"):
            return []
        raise ValueError("it acts along the batch axis")
    return sorted(sample_axes(axes, x.rank))


def _reduce(node: Node, net: Builder, layer: Layer) -> Tensor:
    x = node.tensor()
    axes = _axes(node, x)
    return _reduced(x, net, layer, axes, keep=bool(node.whole("keepdims", 1))) if axes else x


def _reduced(x: Tensor, net: Builder, layer: Layer, axes: list[int], *, keep: bool) -> Tensor:
    rest = [axis for axis in range(len(x.shape)) if axis not in axes]
    if not axes:
        raise ValueError("there are no axes of pixels")
    # Two groups of pixels, so that an image stays one.
    entry = net.arranged(x, [rest, axes[:-1], axes[-1:]])
    pooled = net.add(layer, entry)
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    if not keep:
        shape = [x.shape[axis] for axis in rest]
    view = View.of(pooled.shape).reshaped(shape)
    assert view is not None  # the numbers keep their order
    return Tensor(pooled, view)
