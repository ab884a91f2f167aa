"""Gemm and MatMul."""

from __future__ import annotations

import numpy as np

from pocketcnn import layers
from pocketcnn._arguments import Array
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, floats
from pocketcnn.onnx.operators.arithmetic import merged
from pocketcnn.onnx.tensors import Constant, Tensor
from pocketcnn.onnx.views import View


def gemm(node: Node, net: Builder) -> Tensor:
    """A Linear layer; its weight is permuted if its input comes from pixels in another order."""
    x, weight = node.tensor(), node.weight(1)
    if x.rank != 2 or node.whole("transA"):
        raise ValueError("its first input is not a row of numbers per sample")
    alpha, beta = node.real("alpha", 1.0), node.real("beta", 1.0)
    bias = node.value(2)
    transposed = bool(node.whole("transB"))
    fixed = bias if isinstance(bias, Constant) and beta else None
    result = _linear(net, x, weight, transposed, alpha, fixed, beta)
    if isinstance(bias, Tensor):
        return merged(net, layers.Add(), [result, net.scaled(bias, beta)])
    return result


def matmul(node: Node, net: Builder) -> Tensor:
    """A Linear layer, or a convolution by one pixel if there are more axes."""
    x, weight = node.tensor(), node.weight(1)
    if x.rank == 2:
        return _linear(net, x, weight, False, 1.0, None, 1.0)
    features, outputs = _sizes(weight, False)
    axes = [*range(len(x.shape))]
    if x.rank < 3 or x.shape[-1] != features:
        raise ValueError(f"a weight of shape {weight.shape} for an input of shape {x.shape}")
    order = [axes[-1], *axes[:-1]]
    image = net.arranged(x, [[order[0]], order[1:-1], order[-1:]])
    layer = layers.Conv2d(features, outputs, 1, bias=False)
    state = {"weight": lambda: floats(weight, net.dtype).T.reshape(outputs, features, 1, 1)}
    entry = net.add(layer, image, state)
    view = View.of(entry.shape).reshaped([outputs, *x.shape[:-1]])
    assert view is not None
    return Tensor(entry, view.transposed(np.argsort(order).tolist()))


def _linear(
    net: Builder,
    x: Tensor,
    weight: Constant,
    transposed: bool,
    alpha: float,
    bias: Constant | None,
    beta: float,
) -> Tensor:
    features, outputs = _sizes(weight, transposed)
    if features != x.view.size:
        raise ValueError(f"a weight of shape {weight.shape} for rows of {x.view.size} numbers")
    row, places = net.flat(x)

    def weights() -> Array:
        array = floats(weight, net.dtype)
        array = array if transposed else array.T
        if places is not None:
            moved = np.empty_like(array, order="C")
            moved[:, places] = array
            array = moved
        return array if alpha == 1 else array * array.dtype.type(alpha)

    state = {"weight": weights}
    if bias is not None:
        shape = (1,) * (2 - len(bias.shape)) + bias.shape
        if len(shape) != 2 or shape[0] != 1 or shape[1] not in (1, outputs):
            raise ValueError(f"the bias has shape {bias.shape}, but must have {(outputs,)}")
        repeats = outputs // shape[1]
        state["bias"] = lambda: (
            np.repeat(floats(bias, net.dtype).reshape(-1), repeats) * net.dtype.type(beta)
        )
    layer = layers.Linear(features, outputs, bias=bias is not None)
    entry = net.add(layer, row, state)
    return Tensor(entry, View.of(entry.shape))


def _sizes(weight: Constant, transposed: bool) -> tuple[int, int]:
    if len(weight.shape) != 2 or 0 in weight.shape:
        raise ValueError(f"a weight of shape {weight.shape}, but a matrix is needed")
    first, second = weight.shape
    return (second, first) if transposed else (first, second)
