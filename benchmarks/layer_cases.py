"""What ``layers`` measures: for each case the same calls of pocketcnn and of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch

from benchmarks.case import Array, Call, Case, Dtype, Task, draw, in_layouts
from benchmarks.normalisation_cases import normalisations
from benchmarks.resizing_cases import resizings
from benchmarks.shapes import CONVOLUTIONS, Conv
from pocketcnn import _core
from pocketcnn import functional as F

aten = torch.ops.aten


def cases(batch: int | None) -> Iterator[Case]:
    """Every case, with its own batch size or the given one."""
    for shape in CONVOLUTIONS:
        yield convolution(replace(shape, batch=batch or shape.batch))
    yield from _pools(batch)
    yield from _linears(batch)
    yield from _activations(batch)
    yield from normalisations(batch)
    yield from resizings(batch)
    yield from _losses(batch)


def convolution(shape: Conv) -> Case:
    """Forward, and the gradients of input and of weights (with the bias's)."""

    def make(dtype: Dtype) -> dict[str, Task]:
        x = draw(dtype, shape.batch, shape.channels, *shape.size)
        weight = draw(dtype, shape.filters, shape.channels // shape.groups, *shape.kernel)
        bias = draw(dtype, shape.filters)
        grad = draw(dtype, shape.batch, shape.filters, *shape.output_size)
        window = (shape.stride, shape.padding, shape.dilation)
        ours = (*window, shape.groups)
        theirs = ([shape.filters], *window, False, [0, 0], shape.groups)
        tensor = torch.from_numpy(bias)

        def backward(*wanted: bool) -> dict[str, Call]:
            return in_layouts(
                lambda g, x, w: [
                    part
                    for part in aten.convolution_backward(g, x, w, *theirs, wanted)
                    if part is not None
                ],
                *(grad, x, weight),
            )

        return {
            "fwd": Task(
                lambda: F.conv2d(x, weight, bias, *ours, algorithm=shape.algorithm),
                in_layouts(lambda x, w: torch.conv2d(x, w, tensor, *ours), x, weight),
            ),
            "dx": Task(
                lambda: _input_grad(grad, weight, x.shape, shape), backward(True, False, False)
            ),
            "dW": Task(
                lambda: F.conv2d_backward(
                    grad, x, weight, *ours, input_grad=False, algorithm=shape.algorithm
                ),
                backward(False, True, True),
            ),
        }

    return Case(shape.group, shape.name, ("fwd", "dx", "dW"), make, shape.flop)


def _input_grad(grad: Array, weight: Array, x_shape: tuple[int, ...], shape: Conv) -> Array:
    """Only the gradient of the input, which the public interface gives only together with dW."""
    (top, left) = shape.padding
    sides = (top, top, left, left)
    window = _core.Window2d(weight.shape[2:], shape.stride, sides, shape.dilation)
    algorithm = _core.ConvAlgorithm[shape.algorithm]
    conv = _core.Conv2d(window, shape.filters, shape.groups, algorithm)
    return _core.conv2d_backward_input(grad, weight, x_shape, conv)


# Channels, size, window, stride, padding, batch.
_MAX_POOLS = (
    (30, 24, 2, 2, 0, 100),
    (16, 28, 2, 2, 0, 100),
    (64, 224, 2, 2, 0, 4),
    (512, 14, 2, 2, 0, 16),
    (96, 55, 3, 2, 0, 32),
    (64, 112, 3, 2, 1, 16),
    (31, 37, 3, 1, 1, 16),
)
_AVG_POOLS = (
    (6, 28, 2, 2, 0, 100),
    (16, 10, 2, 2, 0, 100),
    (128, 56, 2, 2, 0, 16),
    (64, 35, 3, 1, 1, 16),
    (512, 7, 7, 7, 0, 16),
)


def _pools(batch: int | None) -> Iterator[Case]:
    for kind, shapes in (("max pooling", _MAX_POOLS), ("average pooling", _AVG_POOLS)):
        for channels, size, kernel, stride, padding, own_batch in shapes:
            count = batch or own_batch
            border = f" p{padding}" if padding else ""
            name = f"{channels}x{size}x{size}, {kernel}x{kernel}/{stride}{border} ({count})"
            shape, window = (count, channels, size, size), (kernel, stride, padding)
            pool = max_pool if kind == "max pooling" else avg_pool
            yield Case(kind, name, ("fwd", "bwd"), pool(shape, window))


def max_pool(
    shape: tuple[int, ...], window: tuple[int, int, int]
) -> Callable[[Dtype], dict[str, Task]]:
    """Both passes; the window is kernel, stride, padding."""
    kernel, stride, padding = window

    def make(dtype: Dtype) -> dict[str, Task]:
        x = draw(dtype, *shape)
        out, argmax = F.max_pool2d(x, *window)
        grad = draw(dtype, *out.shape)
        sizes = ([kernel, kernel], [stride, stride], [padding, padding], [1, 1], False)
        return {
            "fwd": Task(
                lambda: F.max_pool2d(x, *window),
                in_layouts(lambda x: aten.max_pool2d_with_indices(x, *sizes), x),
            ),
            "bwd": Task(
                lambda: F.max_pool2d_backward(grad, argmax, shape),
                in_layouts(
                    lambda g, x, i: aten.max_pool2d_with_indices_backward(g, x, *sizes, i),
                    *(grad, x, argmax),
                ),
            ),
        }

    return make


def avg_pool(
    shape: tuple[int, ...], window: tuple[int, int, int]
) -> Callable[[Dtype], dict[str, Task]]:
    """Both passes; the window is kernel, stride, padding."""
    kernel, stride, padding = window

    def make(dtype: Dtype) -> dict[str, Task]:
        x = draw(dtype, *shape)
        grad = draw(dtype, *F.avg_pool2d(x, *window).shape)
        sizes = ([kernel, kernel], [stride, stride], [padding, padding], False, True, None)
        return {
            "fwd": Task(
                lambda: F.avg_pool2d(x, *window),
                in_layouts(lambda x: aten.avg_pool2d(x, *sizes), x),
            ),
            "bwd": Task(
                lambda: F.avg_pool2d_backward(grad, shape, *window),
                in_layouts(lambda g, x: aten.avg_pool2d_backward(g, x, *sizes), grad, x),
            ),
        }

    return make


# Inputs, outputs, batch.
_LINEARS = (
    (4320, 100, 100),
    (4320, 100, 32),
    (9216, 4096, 100),
    (9216, 4096, 32),
    (25088, 4096, 4),
    (4096, 1000, 4),
    (100, 10, 100),
    (1009, 511, 37),
    (9216, 4096, 1),
)


def _linears(batch: int | None) -> Iterator[Case]:
    for inputs, outputs, own_batch in _LINEARS:
        count = batch or own_batch
        name = f"{inputs} to {outputs} ({count})"
        flop = 2.0 * count * inputs * outputs
        yield Case("linear", name, ("fwd",), linear_forward(inputs, outputs, count), flop)
        yield Case("linear", name, ("bwd",), linear_backward(inputs, outputs, count), 2 * flop)


def linear_forward(inputs: int, outputs: int, batch: int) -> Callable[[Dtype], dict[str, Task]]:
    """The outputs."""

    def make(dtype: Dtype) -> dict[str, Task]:
        x, weight = draw(dtype, batch, inputs), draw(dtype, outputs, inputs)
        bias = draw(dtype, outputs)
        tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
        return {
            "fwd": Task(
                lambda: F.linear(x, weight, bias),
                {"": lambda: torch.nn.functional.linear(*tensors)},
            )
        }

    return make


def linear_backward(inputs: int, outputs: int, batch: int) -> Callable[[Dtype], dict[str, Task]]:
    """The gradients of inputs, weights and bias."""

    def make(dtype: Dtype) -> dict[str, Task]:
        x, weight = draw(dtype, batch, inputs), draw(dtype, outputs, inputs)
        grad = draw(dtype, batch, outputs)
        x_, weight_, grad_ = (torch.from_numpy(array) for array in (x, weight, grad))
        return {
            "bwd": Task(
                lambda: F.linear_backward(grad, x, weight),
                {"": lambda: (grad_ @ weight_, grad_.t() @ x_, grad_.sum(0))},
            )
        }

    return make


_Pairs: TypeAlias = dict[str, tuple[Callable[..., Any], Callable[..., Any]]]
ACTIVATIONS: _Pairs = {
    "relu": (F.relu, aten.relu),
    "sigmoid": (F.sigmoid, aten.sigmoid),
    "tanh": (F.tanh, aten.tanh),
    "relu6": (F.relu6, lambda x: aten.hardtanh(x, 0, 6)),
    "leaky_relu": (F.leaky_relu, aten.leaky_relu),
    "elu": (F.elu, aten.elu),
    "silu": (F.silu, aten.silu),
    "gelu": (F.gelu, aten.gelu),
    "hard_swish": (F.hard_swish, aten.hardswish),
    "softmax": (F.softmax, lambda x: aten._softmax(x, 1, False)),
    "log_softmax": (F.log_softmax, lambda x: aten._log_softmax(x, 1, False)),
}
_GRADIENTS: _Pairs = {
    "relu": (F.relu_backward, lambda g, y: aten.threshold_backward(g, y, 0)),
    "sigmoid": (F.sigmoid_backward, aten.sigmoid_backward),
    "tanh": (F.tanh_backward, aten.tanh_backward),
    "relu6": (F.relu6_backward, lambda g, y: aten.hardtanh_backward(g, y, 0, 6)),
    "leaky_relu": (
        F.leaky_relu_backward,
        lambda g, y: aten.leaky_relu_backward(g, y, 0.01, True),
    ),
    "elu": (F.elu_backward, lambda g, y: aten.elu_backward(g, 1, 1, 1, True, y)),
    "silu": (F.silu_backward, aten.silu_backward),
    "gelu": (F.gelu_backward, aten.gelu_backward),
    "hard_swish": (F.hard_swish_backward, aten.hardswish_backward),
    "softmax": (
        F.softmax_backward,
        lambda g, y: aten._softmax_backward_data(g, y, 1, y.dtype),
    ),
    "log_softmax": (
        F.log_softmax_backward,
        lambda g, y: aten._log_softmax_backward_data(g, y, 1, y.dtype),
    ),
}
_IMAGES = ((100, 30, 24, 24), (4, 64, 224, 224), (100, 100))
_GATES = ("relu6", "leaky_relu", "elu", "silu", "gelu", "hard_swish")
_ACTIVATION_SIZES: tuple[tuple[str, tuple[tuple[int, ...], ...]], ...] = (
    ("relu", _IMAGES),
    ("sigmoid", ((100, 6, 28, 28), (100, 120))),
    ("tanh", ((100, 6, 28, 28), (100, 120))),
    *((kind, ((8, 32, 112, 112), (100, 120))) for kind in _GATES),
    ("softmax", ((100, 10), (32, 1000))),
    ("log_softmax", ((100, 10), (32, 1000))),
)


def _activations(batch: int | None) -> Iterator[Case]:
    for kind, shapes in _ACTIVATION_SIZES:
        for shape in shapes:
            sizes = (batch or shape[0], *shape[1:])
            name = f"{kind} {'x'.join(map(str, sizes[1:]))} ({sizes[0]})"
            yield Case("activations", name, ("fwd", "bwd"), activation(kind, sizes))


def activation(kind: str, shape: tuple[int, ...]) -> Callable[[Dtype], dict[str, Task]]:
    """Both passes of one of `ACTIVATIONS`."""

    def make(dtype: Dtype) -> dict[str, Task]:
        x, grad = draw(dtype, *shape), draw(dtype, *shape)
        mine, theirs = ACTIVATIONS[kind]
        mine_back, theirs_back = _GRADIENTS[kind]
        out = mine(x)
        x_, grad_, out_ = (torch.from_numpy(array) for array in (x, grad, out))
        return {
            "fwd": Task(lambda: mine(x), {"": lambda: theirs(x_)}),
            "bwd": Task(lambda: mine_back(grad, out), {"": lambda: theirs_back(grad_, out_)}),
        }

    return make


def _losses(batch: int | None) -> Iterator[Case]:
    for samples, classes in ((100, 10), (32, 1000)):
        count = batch or samples
        name = f"cross-entropy {classes} classes ({count})"
        yield Case("activations", name, ("loss and gradient",), _cross_entropy(count, classes))


def _cross_entropy(samples: int, classes: int) -> Callable[[Dtype], dict[str, Task]]:
    def make(dtype: Dtype) -> dict[str, Task]:
        logits = draw(dtype, samples, classes)
        target = np.random.default_rng(1).integers(0, classes, samples)
        logits_, target_ = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(target)

        def theirs() -> object:
            with torch.enable_grad():
                loss = torch.nn.functional.cross_entropy(logits_, target_)
                return loss.detach(), *torch.autograd.grad(loss, logits_)

        return {"loss and gradient": Task(lambda: F.cross_entropy(logits, target), {"": theirs})}

    return make
