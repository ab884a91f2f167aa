"""Sums, differences, products and quotients: with constants, and of branches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pocketcnn import layers
from pocketcnn.layers.merge import Merge
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node
from pocketcnn.onnx.steps import Deferred, Factor, Power, Quotient
from pocketcnn.onnx.tensors import Constant, Tensor


def add(node: Node, net: Builder) -> Tensor:
    """Shift by a constant, or an Add of branches."""
    x, constant = _operands(node)
    if constant is None:
        return merged(net, layers.Add(), _tensors(node))
    return net.scaled(x, shift=net.factor(x, constant))


def subtract(node: Node, net: Builder) -> Tensor:
    """Shift by a constant, or an Add of branches of which one is negated."""
    x, constant = _operands(node)
    if constant is None:
        first, second = _tensors(node)
        return merged(net, layers.Add(), [first, net.scaled(second, -1.0)])
    factor = net.factor(x, constant)
    if isinstance(node.value(0), Tensor):
        return net.scaled(x, shift=mapped(np.negative, factor))
    return net.scaled(x, -1.0, factor)


def multiply(node: Node, net: Builder) -> Tensor:
    """Scale by a constant, or a Multiply of branches."""
    x, constant = _operands(node)
    if constant is None:
        return merged(net, layers.Multiply(), _tensors(node))
    return net.scaled(x, net.factor(x, constant))


def divide(node: Node, net: Builder) -> Tensor:
    """Scale by the reciprocal of a constant; branches as a part of a formula."""
    x, constant = _operands(node)
    if constant is None:
        if node.tensor(0).shape != node.tensor(1).shape:
            raise ValueError("it divides branches")
        return merged(net, Quotient(), _tensors(node))
    if node.value(0) is not x:
        raise ValueError("the divisor depends on the network's input")
    return net.scaled(x, mapped(np.reciprocal, net.factor(x, constant)))


def power(node: Node, net: Builder) -> Tensor:
    """A square as a Multiply; another power as a part of a formula."""
    x, exponent = node.tensor(), node.number(1)
    if exponent == 2:
        return merged(net, layers.Multiply(), [x, x])
    return net.on(x, Power(float(exponent)))


def negate(node: Node, net: Builder) -> Tensor:
    """Scale by -1."""
    return net.scaled(node.tensor(), -1.0)


def total(node: Node, net: Builder) -> Tensor:
    """An Add of all inputs."""
    tensors = [value for value in node.inputs if isinstance(value, Tensor)]
    result = tensors[0] if len(tensors) == 1 else merged(net, layers.Add(), tensors)
    for value in node.inputs:
        if isinstance(value, Constant):
            result = net.scaled(result, shift=net.factor(result, value))
    return result


def mean(node: Node, net: Builder) -> Tensor:
    """An Add of all inputs, divided by their number."""
    return net.scaled(total(node, net), 1 / len(node.inputs))


def maximum(node: Node, net: Builder) -> Tensor:
    """A bound from below."""
    return clipped(net, node.tensor(_place(node)), low=_bound(node, max))


def minimum(node: Node, net: Builder) -> Tensor:
    """A bound from above."""
    return clipped(net, node.tensor(_place(node)), high=_bound(node, min))


def _place(node: Node) -> int:
    places = [place for place, value in enumerate(node.inputs) if isinstance(value, Tensor)]
    if len(places) > 1:
        raise ValueError("it compares two branches")
    return places[0]


def _bound(node: Node, choose: Callable[..., float]) -> float:
    others = [node.number(place) for place in range(len(node.inputs)) if place != _place(node)]
    return choose(others, default=math.nan)


def clipped(net: Builder, x: Tensor, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """A ReLU6, a ReLU, or a Clip; the tensor itself without a bound."""
    limits = np.finfo(net.dtype)
    low = -math.inf if low <= limits.min or math.isnan(low) else float(low)
    high = math.inf if high >= limits.max or math.isnan(high) else float(high)
    low = min(low, high)  # as NumPy and ONNX define it for bounds in the wrong order
    if (low, high) == (-math.inf, math.inf):
        return x
    if (low, high) == (0, 6):
        return net.on(x, layers.ReLU6())
    if (low, high) == (0, math.inf):
        return net.on(x, layers.ReLU())
    bounds = (None if math.isinf(bound) else bound for bound in (low, high))
    return net.on(x, layers.Clip(*bounds))


def mapped(function: Callable[..., np.ndarray], factor: Factor) -> Factor:
    """A function of a factor; a division by zero gives what NumPy says, without a warning."""
    if isinstance(factor, float):
        with np.errstate(all="ignore"):
            return float(function(np.float64(factor)))
    shape, read = factor.shape, factor.read

    def computed() -> np.ndarray:
        with np.errstate(all="ignore"):
            return function(read())

    return Deferred(shape, computed)


def _operands(node: Node) -> tuple[Tensor, Constant | None]:
    """The tensor, and the constant if there is one, as NumPy would broadcast it."""
    first, second = node.value(0), node.value(1)
    if isinstance(first, Tensor) and isinstance(second, Constant):
        return first, _aligned(node, second, first.rank)
    if isinstance(first, Constant) and isinstance(second, Tensor):
        return second, first
    return node.tensor(0), None


def _aligned(node: Node, constant: Constant, rank: int) -> Constant:
    """A second operand of opset 6, which may begin at an axis of the first."""
    if not node.has("axis") or not constant.shape:
        return constant
    after = rank - node.whole("axis") % rank - len(constant.shape)
    return constant.reshaped(constant.shape + (1,) * max(after, 0))


def _tensors(node: Node) -> list[Tensor]:
    return [node.tensor(place) for place in range(len(node.inputs))]


def merged(net: Builder, layer: Merge | Quotient, tensors: Sequence[Tensor]) -> Tensor:
    """A layer of several inputs, in an order of axes in which few of them are moved."""
    rank = max(len(tensor.shape) for tensor in tensors)
    tensors = [net.raised(tensor, rank) for tensor in tensors]
    entries = [tensor.entry for tensor in tensors]
    views = {tensor.view for tensor in tensors}
    if len(views) == 1 and len({entry.shape for entry in entries}) == 1:
        return Tensor(net.add(layer, entries), tensors[0].view)
    order = net.common_order(tensors)
    arranged = [net.arranged(tensor, [[axis] for axis in order]) for tensor in tensors]
    return net.placed(net.add(layer, arranged), order)
