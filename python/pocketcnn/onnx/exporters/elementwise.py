"""Activation functions and other functions of single numbers, and softmax."""

from __future__ import annotations

from pocketcnn.layers import (
    Clip,
    LogSoftmax,
    ReLU,
    ScaleShift,
    Sigmoid,
    Softmax,
    Tanh,
)
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
    """Write one node, which counts the batch axis too."""
    return nodes.node("Softmax", x, axis=layer.axis)


def log_softmax(nodes: LayerNodes, layer: LogSoftmax, x: Value) -> str:
    """Write one node, which counts the batch axis too."""
    return nodes.node("LogSoftmax", x, axis=layer.axis)


def clip(nodes: LayerNodes, layer: Clip, x: Value) -> str:
    """Write one node; a bound that is not there is an input without a name."""
    low = "" if layer.low is None else nodes.numbers("low", layer.low)
    high = [] if layer.high is None else [nodes.numbers("high", layer.high)]
    return nodes.node("Clip", x, low, *high)


def scale_shift(nodes: LayerNodes, layer: ScaleShift, x: Value) -> str:
    """Write the product and the sum."""
    scaled = nodes.node("Mul", x, nodes.numbers("scale", layer.scale), part="scaled")
    return nodes.node("Add", scaled, nodes.numbers("shift", layer.shift))
