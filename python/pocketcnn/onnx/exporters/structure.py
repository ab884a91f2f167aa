"""Linear layers, shapes, and where branches meet."""

from __future__ import annotations

from pocketcnn.layers import Flatten, Linear, Residual
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
