"""Activation functions and other functions of single numbers, and softmax."""

from __future__ import annotations

import math

from pocketcnn.layers import (
    ELU,
    GELU,
    Clip,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    ReLU6,
    ScaleShift,
    Sigmoid,
    SiLU,
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


def relu6(nodes: LayerNodes, _: ReLU6, x: Value) -> str:
    """Write a number held between 0 and 6."""
    return nodes.node("Clip", x, nodes.numbers("low", 0), nodes.numbers("high", 6))


def leaky_relu(nodes: LayerNodes, layer: LeakyReLU, x: Value) -> str:
    """Write one node."""
    return nodes.node("LeakyRelu", x, alpha=layer.negative_slope)


def prelu(nodes: LayerNodes, layer: PReLU, x: Value) -> str:
    """Write one node; slopes are repeated along the axes after the channels."""
    rest = (1,) * (len(x.shape) - 1)
    return nodes.node("PRelu", x, nodes.array("weight", (layer.channels, *rest)))


def elu(nodes: LayerNodes, layer: ELU, x: Value) -> str:
    """Write one node."""
    return nodes.node("Elu", x, alpha=layer.alpha)


def silu(nodes: LayerNodes, _: SiLU, x: Value) -> str:
    """Write the product with the sigmoid."""
    return nodes.node("Mul", x, nodes.node("Sigmoid", x, part="gate"))


def gelu(nodes: LayerNodes, layer: GELU, x: Value) -> str:
    """Write one node, or before opset 20 the formula in the form that optimisers look for."""
    if nodes.opset >= 20:
        return nodes.node("Gelu", x, approximate=layer.approximate)
    if layer.approximate == "tanh":
        cube = nodes.node("Mul", x, nodes.node("Mul", x, x, part="square"), part="cube")
        small = nodes.node("Mul", cube, nodes.numbers("share", 0.044715), part="small")
        sums = nodes.node("Add", x, small, part="sums")
        factor = nodes.numbers("factor", math.sqrt(2 / math.pi))
        curve = nodes.node("Tanh", nodes.node("Mul", sums, factor, part="scaled"), part="curve")
    else:
        scaled = nodes.node("Div", x, nodes.numbers("root", math.sqrt(2)), part="scaled")
        curve = nodes.node("Erf", scaled, part="curve")
    raised = nodes.node("Add", curve, nodes.numbers("one", 1), part="raised")
    doubled = nodes.node("Mul", x, raised, part="doubled")
    return nodes.node("Mul", doubled, nodes.numbers("half", 0.5))


def hard_sigmoid(nodes: LayerNodes, _: HardSigmoid, x: Value) -> str:
    """Write one node, with the slope of PyTorch's function."""
    return nodes.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def hard_swish(nodes: LayerNodes, _: HardSwish, x: Value) -> str:
    """Write one node, or before opset 14 the product with the hard sigmoid."""
    if nodes.opset >= 14:
        return nodes.node("HardSwish", x)
    gate = nodes.node("HardSigmoid", x, part="gate", alpha=1 / 6, beta=0.5)
    return nodes.node("Mul", x, gate)


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
