"""Functions of each number, and softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pocketcnn import layers
from pocketcnn._arguments import Array
from pocketcnn.layers import Layer
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, axis_of, floats
from pocketcnn.onnx.operators.arithmetic import clipped
from pocketcnn.onnx.steps import Deferred, Erf
from pocketcnn.onnx.tensors import Tensor


def simple(make: Callable[[], object]) -> Callable[[Node, Builder], Tensor]:
    """The function of an operator without attributes that is one layer."""

    def operator(node: Node, net: Builder) -> Tensor:
        return net.on(node.tensor(), make())

    return operator


relu = simple(layers.ReLU)
sigmoid = simple(layers.Sigmoid)
tanh = simple(layers.Tanh)
hard_swish = simple(layers.HardSwish)
erf = simple(Erf)


def leaky_relu(node: Node, net: Builder) -> Tensor:
    """A LeakyReLU."""
    return net.on(node.tensor(), layers.LeakyReLU(node.real("alpha", 0.01)))


def elu(node: Node, net: Builder) -> Tensor:
    """An ELU."""
    return net.on(node.tensor(), layers.ELU(node.real("alpha", 1.0)))


def selu(node: Node, net: Builder) -> Tensor:
    """An ELU, scaled."""
    x = net.on(node.tensor(), layers.ELU(node.real("alpha", 1.67326319217681884765625)))
    return net.scaled(x, node.real("gamma", 1.05070102214813232421875))


def celu(node: Node, net: Builder) -> Tensor:
    """``alpha * ELU(x / alpha)``."""
    alpha = node.real("alpha", 1.0)
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha}, but must be above 0")
    x = net.on(net.scaled(node.tensor(), 1 / alpha), layers.ELU(1.0))
    return net.scaled(x, alpha)


def gelu(node: Node, net: Builder) -> Tensor:
    """A GELU, exact or by tanh."""
    approximate = node.text("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is {approximate!r}, but must be none or tanh")
    return net.on(node.tensor(), layers.GELU("tanh" if approximate == "tanh" else "none"))


def swish(node: Node, net: Builder) -> Tensor:
    """``x * sigmoid(alpha * x)``: a SiLU, with another scale if alpha is not 1."""
    alpha = node.real("alpha", 1.0)
    if alpha == 0:
        return net.scaled(node.tensor(), 0.5)
    return net.scaled(net.on(net.scaled(node.tensor(), alpha), layers.SiLU()), 1 / alpha)


def hard_sigmoid(node: Node, net: Builder) -> Tensor:
    """A HardSigmoid, or a scaling and a Clip for other numbers than 1/6 and 1/2."""
    alpha, beta = node.real("alpha", 0.2), node.real("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return net.on(node.tensor(), layers.HardSigmoid())
    return net.on(net.scaled(node.tensor(), alpha, beta), layers.Clip(0.0, 1.0))


def p_relu(node: Node, net: Builder) -> Tensor:
    """A PReLU with one slope, or one per channel; or per number, each a channel of its own."""
    x, slope = node.tensor(), node.weight(1)
    if slope.size == 1:
        layer = layers.PReLU()
        return net.on(x, layer, state={"weight": lambda: floats(slope, net.dtype).reshape(1)})
    if node.version < 7 and slope.shape == x.shape[:1]:  # a slope per channel, by definition
        slope = slope.reshaped((*slope.shape, *(1,) * (len(x.shape) - 1)))
    slopes = net.factor(x, slope)
    assert isinstance(slopes, Deferred)
    image, repeated = x.entry.shape, slopes.shape
    if repeated != (image[0], *(1,) * (len(image) - 1)):
        image, repeated = (x.view.size, *(1,) * (len(image) - 1)), image

    def weight() -> Array:
        return np.broadcast_to(slopes.read(), repeated).reshape(-1)

    entry = net.reshaped(x.entry, image)
    entry = net.add(layers.PReLU(image[0]), entry, {"weight": weight})
    return Tensor(net.reshaped(entry, x.entry.shape), x.view)


def clip(node: Node, net: Builder) -> Tensor:
    """A ReLU6, a ReLU, or a Clip."""
    x = node.tensor()
    if node.version < 11:
        low, high = node.real("min", -math.inf), node.real("max", math.inf)
    else:
        low, high = node.number(1), node.number(2)
        low, high = -math.inf if low is None else low, math.inf if high is None else high
    return clipped(net, x, low, high)


def softmax(node: Node, net: Builder) -> Tensor:
    """A Softmax; before opset 13 over all axes from the given one on."""
    return _normalized(node, net, layers.Softmax)


def log_softmax(node: Node, net: Builder) -> Tensor:
    """A LogSoftmax; before opset 13 over all axes from the given one on."""
    return _normalized(node, net, layers.LogSoftmax)


def _normalized(node: Node, net: Builder, kind: Callable[[int], Layer]) -> Tensor:
    x = node.tensor()
    axis = axis_of(node.whole("axis", 1 if node.version < 13 else -1), x.rank)
    if axis == 0:
        raise ValueError("it acts along the batch axis")
    wide = [axis - 1] if node.version >= 13 else [*range(axis - 1, len(x.shape))]
    wide = [one for one in wide if x.shape[one] != 1] or wide[:1]
    if len(wide) == 1:
        place = x.view.axis_in(x.entry.shape, wide[0])
        if place is not None:
            return net.on(x, kind(place + 1))
    rest = [one for one in range(len(x.shape)) if one not in wide]
    groups = [rest, wide] if rest else [wide]
    entry = net.add(kind(len(groups)), net.arranged(x, groups))
    return net.unfolded(entry, x, [*rest, *wide])
