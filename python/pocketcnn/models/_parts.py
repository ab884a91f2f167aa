"""What the networks have in common: checks of arguments, groups of layers, weights of a file."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from pocketcnn._arguments import extent, sizes
from pocketcnn.layers import Conv2d, Layer, MaxPool2d, ReLU, Residual, Shape
from pocketcnn.layers.chain import named_layers, output_shapes
from pocketcnn.network.net import ConvNet

NamedLayers = list[tuple[str, Layer]]


def stages(channels: int, widths: Sequence[Sequence[int]], wide: Sequence[str] = ()) -> NamedLayers:
    """Stages of 3x3 convolutions, each with its ReLU, each stage ending in a 2x2 max pooling.

    Layers are named by stage and place, "conv2_1". Those named in `wide` have padding 2, others 1.
    """
    layers: NamedLayers = []
    for stage, filters in enumerate(widths, start=1):
        for place, width in enumerate(filters, start=1):
            name = f"conv{stage}_{place}"
            padding = 2 if name in wide else 1
            layers.append((name, Conv2d(channels, width, kernel_size=3, padding=padding)))
            layers.append((f"relu{stage}_{place}", ReLU()))
            channels = width
        layers.append((f"pool{stage}", MaxPool2d(2)))
    return layers


def checked_sizes(num_classes: int, input_shape: Shape) -> tuple[int, Shape]:
    """Return both arguments as plain ints; an error names the wrong one."""
    shape = sizes("input_shape", input_shape, axes="C, H, W")
    return extent("num_classes", num_classes), tuple(extent("input_shape", n) for n in shape)


def features(body: NamedLayers, input_shape: Shape) -> int:
    """Length of the flattened output of `body`."""
    shapes = output_shapes(named_layers(body), input_shape)
    return next(reversed(shapes.values()))[0]


def block(name: str, body: NamedLayers, *, residual: bool) -> NamedLayers:
    """One layer, which adds its input to what `body` makes of it, or the layers of `body` alone."""
    if residual:
        return [(name, Residual(body))]
    return [(f"{name}_{inner}", layer) for inner, layer in body]


def with_weights(net: ConvNet, weights: str | PathLike[str]) -> ConvNet:
    """Load a file, which must have all of the network's weights, and return the network."""
    # Here, because most networks are made without: see docs/decisions/imports.md.
    from pocketcnn.network.weights import load_weights

    load_weights(net, weights)
    return net
