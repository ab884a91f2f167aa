"""Normalisation, and dropout, which inference leaves out."""

from __future__ import annotations

import numpy as np

from pocketcnn.layers import (
    BatchNorm2d,
    Dropout,
    GroupNorm,
    LocalResponseNorm,
    Normalize,
)
from pocketcnn.onnx.graph_writer import LayerNodes, Value


def batch_norm2d(nodes: LayerNodes, layer: BatchNorm2d, x: Value) -> str:
    """Write the form for inference; the arrays are in the operator's order.

    The momentum is for those who train on; in ONNX it is the weight of the running means. Before
    opset 14 nothing says that a network is not trained, and ONNX's reference evaluator computes
    what it would in training: with a momentum of 1 that is the same.
    """
    momentum = 1 - layer.momentum if nodes.opset >= 14 else 1.0
    arrays = nodes.arrays()
    return nodes.node("BatchNormalization", x, *arrays, epsilon=layer.eps, momentum=momentum)


def group_norm(nodes: LayerNodes, layer: GroupNorm, x: Value) -> str:
    """Write instance normalisation for groups of one channel, and before opset 21 for any.

    Until then the operator had a scale per group instead of one per channel.
    """
    groups, eps = layer.groups, layer.eps
    if groups == layer.channels:
        return nodes.node("InstanceNormalization", x, *nodes.arrays(), epsilon=eps)
    if nodes.opset >= 21:
        arrays = nodes.arrays()
        return nodes.node("GroupNormalization", x, *arrays, num_groups=groups, epsilon=eps)
    rows = nodes.node("Reshape", x, nodes.integers("rows", [0, groups, -1]), part="grouped")
    ones, zeros = nodes.numbers("ones", np.ones(groups)), nodes.numbers("zeros", np.zeros(groups))
    normal = nodes.node("InstanceNormalization", rows, ones, zeros, part="normal", epsilon=eps)
    maps = nodes.node("Reshape", normal, nodes.integers("maps", [0, *x.shape]), part="maps_again")
    per_channel = (layer.channels, 1, 1)
    scaled = nodes.node("Mul", maps, nodes.array("weight", per_channel), part="scaled")
    return nodes.node("Add", scaled, nodes.array("bias", per_channel))


def normalize(nodes: LayerNodes, layer: Normalize, x: Value) -> str:
    """Write the difference and the quotient."""
    mean = nodes.numbers("mean", np.reshape(layer.mean, (-1, 1, 1)))
    std = nodes.numbers("std", np.reshape(layer.std, (-1, 1, 1)))
    return nodes.node("Div", nodes.node("Sub", x, mean, part="centred"), std)


def dropout(_nodes: LayerNodes, _layer: Dropout, x: Value) -> str:
    """Write nothing: the output is the input."""
    return x.name


def local_response_norm(nodes: LayerNodes, layer: LocalResponseNorm, x: Value) -> str:
    """Write one node for an odd number of channels.

    Of an even number, ONNX has the odd one after the channel, and here it is before it. So the
    formula is written: a mean over channels is an average pooling of one-channel images whose rows
    are the channels.
    """
    size = layer.size
    if size % 2:
        return nodes.node("LRN", x, size=size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
    squares = nodes.node("Mul", x, x, part="squares")
    rows = nodes.integers("rows", [0, 1, x.shape[0], -1])
    image = nodes.node("Reshape", squares, rows, part="image")
    means = nodes.node(
        "AveragePool",
        image,
        part="means",
        kernel_shape=[size, 1],
        strides=[1, 1],
        pads=[size // 2, 0, (size - 1) // 2, 0],
        count_include_pad=1,
    )
    maps = nodes.node("Reshape", means, nodes.integers("maps", [0, *x.shape]), part="near")
    scaled = nodes.node("Mul", maps, nodes.numbers("alpha", layer.alpha), part="scaled")
    sums = nodes.node("Add", scaled, nodes.numbers("k", layer.k), part="sums")
    damping = nodes.node("Pow", sums, nodes.numbers("beta", layer.beta), part="damping")
    return nodes.node("Div", x, damping)
