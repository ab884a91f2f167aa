"""Linear layers, shapes, and where branches meet."""

from __future__ import annotations

from pocketcnn.layers import Add, Concat, Flatten, Linear, Multiply, Residual
from pocketcnn.onnx.graph_writer import LayerNodes, Value


def linear(nodes: LayerNodes, _: Linear, x: Value) -> str:
    """Write the product with the transposed weight."""
    return nodes.node("Gemm", x, *nodes.arrays(), transB=1)


def flatten(nodes: LayerNodes, _: Flatten, x: Value) -> str:
    """Write one node."""
    return nodes.node("Flatten", x, axis=1)


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
