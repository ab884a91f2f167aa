"""Activation functions."""

from __future__ import annotations

from pocketcnn.layers import ReLU, Sigmoid, Softmax, Tanh
from pocketcnn.onnx.graph_writer import LayerNodes, Value


def relu(nodes: LayerNodes, _: ReLU, x: Value) -> str:
    """Write one node."""
    return nodes.node("Relu", x)


def sigmoid(nodes: LayerNodes, _: Sigmoid, x: Value) -> str:
    """Write one node."""
    return nodes.node("Sigmoid", x)


def tanh(nodes: LayerNodes, _: Tanh, x: Value) -> str:
    """Write one node."""
    return nodes.node("Tanh", x)


def softmax(nodes: LayerNodes, layer: Softmax, x: Value) -> str:
    """Write one node; both count the batch axis."""
    return nodes.node("Softmax", x, axis=layer.axis)
