"""Normalisation by statistics, and Dropout."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from pocketcnn import layers
from pocketcnn._arguments import Array
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, floats
from pocketcnn.onnx.tensors import Constant, Tensor


def batch_normalization(node: Node, net: Builder) -> Tensor:
    """A BatchNorm2d, whatever the number of axes of pixels."""
    x = node.tensor()
    if len(x.shape) < 1 or (node.version < 9 and not node.whole("spatial", 1)):
        raise ValueError("it is not over all pixels of a channel")
    node.require_sole_output()
    channels = x.shape[0]
    momentum = 1 - node.real("momentum", 0.9)
    if node.version < 14 and momentum == 0:  # what says "not trained" there
        momentum = 0.1
    layer = layers.BatchNorm2d(channels, node.real("epsilon", 1e-5), min(max(momentum, 0), 1))
    names = ("weight", "bias", "running_mean", "running_var")
    state = {}
    for place, name in enumerate(names, start=1):
        constant = _per_channel(node.weight(place), channels)
        state[name] = partial(floats, constant, net.dtype)
    order = net.common_order([x], 0)
    rest = order[1:]
    entry = net.add(layer, net.arranged(x, [[0], rest[:-1], rest[-1:]]), state)
    return net.unfolded(entry, x, order)


def instance_normalization(node: Node, net: Builder) -> Tensor:
    """A GroupNorm with a group per channel."""
    x = node.tensor()
    scale, bias = node.weight(1), node.weight(2)
    return _grouped(node, net, x, x.shape[0] if x.shape else 0, scale, bias)


def group_normalization(node: Node, net: Builder) -> Tensor:
    """A GroupNorm."""
    return _grouped(
        node, net, node.tensor(), node.whole("num_groups"), node.weight(1), node.weight(2)
    )


def _grouped(
    node: Node, net: Builder, x: Tensor, groups: int, scale: Constant, bias: Constant
) -> Tensor:
    eps = node.real("epsilon", 1e-5)
    if not x.shape or groups < 1:
        raise ValueError(f"{groups} groups of an input of shape {x.shape}")
    # Exporters write a group norm as an instance norm of groups: (C, H, W) read as (groups, ...).
    channels, entry = x.shape[0], x.entry
    merged = len(entry.shape) == 3 and x.view.in_memory_order and entry.shape[0] % groups == 0
    if node.op == "InstanceNormalization" and merged and entry.shape[0] >= channels:
        channels = entry.shape[0]
    else:
        entry = net.image(x)
    layer = layers.GroupNorm(groups, channels, eps)
    state = {}
    for name, constant in (("weight", scale), ("bias", bias)):
        # Opset 18 has a number per group, opset 21 one per channel.
        each = channels if constant.shape == (channels,) else groups
        numbers = _per_channel(constant, each)
        state[name] = partial(_repeated, numbers, net.dtype, channels // each)
    normalized = net.add(layer, entry, state)
    return (
        Tensor(normalized, x.view)
        if entry is x.entry
        else net.unfolded(normalized, x, range(len(x.shape)))
    )


def _repeated(constant: Constant, dtype: np.dtype[Any], times: int) -> Array:
    return np.repeat(floats(constant, dtype), times)


def local_response_normalization(node: Node, net: Builder) -> Tensor:
    """A LocalResponseNorm; of an even size, ONNX and PyTorch disagree by a channel."""
    x, size = node.tensor(), node.whole("size")
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size is {size}, but LocalResponseNorm needs an odd one to be equal")
    alpha, beta = node.real("alpha", 1e-4), node.real("beta", 0.75)
    layer = layers.LocalResponseNorm(size, alpha, beta, node.real("bias", 1.0))
    return net.unfolded(net.add(layer, net.image(x)), x, range(len(x.shape)))


def dropout(node: Node, net: Builder) -> Tensor:
    """A Dropout, which acts when the network is trained."""
    node.require_sole_output()
    ratio = node.real("ratio", 0.5) if node.version < 12 else node.number(1)
    ratio = 0.5 if ratio is None else float(ratio)
    return net.on(node.tensor(), layers.Dropout(ratio)) if ratio else node.tensor()


def _per_channel(constant: Constant, channels: int) -> Constant:
    if constant.shape != (channels,):
        raise ValueError(f"a constant has shape {constant.shape}, but must have {(channels,)}")
    return constant
