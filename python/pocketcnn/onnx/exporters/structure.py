"""Linear layers, shapes, and where branches meet."""

from __future__ import annotations

from pocketcnn.layers import (
    Add,
    ChannelShuffle,
    Concat,
    Flatten,
    Linear,
    Multiply,
    Permute,
    Reshape,
    Residual,
    Slice,
)
from pocketcnn.onnx.graph_writer import LayerNodes, Value


def linear(nodes: LayerNodes, _: Linear, x: Value) -> str:
    """Write the product with the transposed weight."""
    return nodes.node("Gemm", x, *nodes.arrays(), transB=1)


def flatten(nodes: LayerNodes, _: Flatten, x: Value) -> str:
    """Write one node."""
    return nodes.node("Flatten", x, axis=1)


def reshape(nodes: LayerNodes, layer: Reshape, x: Value) -> str:
    """Write one node; the size 0 keeps the batch axis."""
    return nodes.node("Reshape", x, nodes.integers("shape", [0, *layer.shape]))


def permute(nodes: LayerNodes, layer: Permute, x: Value) -> str:
    """Write one node, which counts the batch axis too."""
    return nodes.node("Transpose", x, perm=[0, *(axis + 1 for axis in layer.axes)])


def slice_(nodes: LayerNodes, layer: Slice, x: Value) -> str:
    """Write one node."""
    settings = {"starts": layer.start, "ends": layer.stop, "axes": layer.axis, "steps": layer.step}
    return nodes.node("Slice", x, *(nodes.integers(key, [n]) for key, n in settings.items()))


def channel_shuffle(nodes: LayerNodes, layer: ChannelShuffle, x: Value) -> str:
    """Write channels as a table with a row per group, which is transposed."""
    channels, height, width = x.shape
    rows = nodes.integers("groups", [0, layer.groups, channels // layer.groups, height, width])
    grouped = nodes.node("Reshape", x, rows, part="grouped")
    turned = nodes.node("Transpose", grouped, part="turned", perm=[0, 2, 1, 3, 4])
    return nodes.node("Reshape", turned, nodes.integers("maps", [0, *x.shape]))


def residual(nodes: LayerNodes, layer: Residual, x: Value) -> str:
    """Write both branches, and their sum."""
    body = nodes.chain("body", layer.body, x)
    shortcut = nodes.chain("shortcut", layer.shortcut, x)
    return nodes.node("Add", body, shortcut)


def add(nodes: LayerNodes, _: Add, *xs: Value) -> str:
    """Write one node; Sum is Add for any number."""
    return nodes.node("Add" if len(xs) == 2 else "Sum", *xs)


def multiply(nodes: LayerNodes, _: Multiply, *xs: Value) -> str:
    """Write products of two, from the first to the last."""
    product: str | Value = xs[0]
    for place, x in enumerate(xs[1:-1], start=1):
        product = nodes.node("Mul", product, x, part=f"first{place + 1}")
    return nodes.node("Mul", product, xs[-1])


def concat(nodes: LayerNodes, _: Concat, *xs: Value) -> str:
    """Write one node."""
    return nodes.node("Concat", *xs, axis=1)
