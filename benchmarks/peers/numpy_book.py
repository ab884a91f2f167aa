"""NumPy only, as in a textbook: im2col, one matrix product, col2im.

The formulation of Saito, "Deep Learning from Scratch" (O'Reilly Japan 2016), chapters 5 to 7: the
windows are gathered by a loop over the kernel's places, pooling is a maximum over such columns,
every layer computes the gradient of its input, also the first one.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from benchmarks.description import BATCHES, LEARNING_RATE, Network, Subject

Pair = tuple[int, int]
# Of one floating type; NumPy's stubs give Any for much of this code.
Array: TypeAlias = Any


def _output_size(shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    axes = zip(shape[2:], kernel, stride, padding, strict=True)
    height, width = ((n + 2 * p - k) // s + 1 for n, k, s, p in axes)
    return height, width


def _im2col(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """Copy each window to a row, (N*OH*OW, C*KH*KW)."""
    n, c = x.shape[:2]
    oh, ow = _output_size(x.shape, kernel, stride, padding)
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    windows = np.empty((n, c, *kernel, oh, ow), x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i, i + stride[0] * oh, stride[0])
            columns = slice(j, j + stride[1] * ow, stride[1])
            windows[:, :, i, j] = padded[:, :, rows, columns]
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1)


def _col2im(col: Array, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> Array:
    """Add each row to the window it came from."""
    n, c, h, w = shape
    oh, ow = _output_size(shape, kernel, stride, padding)
    windows = col.reshape(n, oh, ow, c, *kernel).transpose(0, 3, 4, 5, 1, 2)
    # A window may end before the image does: the last rows and columns then stay zero.
    padded = np.zeros((n, c, h + 2 * padding[0], w + 2 * padding[1]), col.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i, i + stride[0] * oh, stride[0])
            columns = slice(j, j + stride[1] * ow, stride[1])
            padded[:, :, rows, columns] += windows[:, :, i, j]
    return padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


class _Layer(Protocol):
    def forward(self, x: Array, training: bool) -> Array: ...
    def backward(self, grad: Array) -> Array: ...


class _Convolution:
    def __init__(self, settings: dict[str, Any], weight: Array, bias: Array) -> None:
        self.window = (settings["kernel_size"], settings["stride"], settings["padding"])
        self.params = [weight, bias]
        self.grads = [weight, bias]

    def forward(self, x: Array, training: bool) -> Array:
        weight, bias = self.params
        oh, ow = _output_size(x.shape, *self.window)
        self.shape, self.col = x.shape, _im2col(x, *self.window)
        out = np.dot(self.col, weight.reshape(len(weight), -1).T) + bias
        return out.reshape(len(x), oh, ow, -1).transpose(0, 3, 1, 2)

    def backward(self, grad: Array) -> Array:
        weight = self.params[0]
        rows = grad.transpose(0, 2, 3, 1).reshape(-1, len(weight))
        self.grads = [np.dot(self.col.T, rows).T.reshape(weight.shape), rows.sum(axis=0)]
        col = np.dot(rows, weight.reshape(len(weight), -1))
        return _col2im(col, self.shape, *self.window)


class _Affine:
    def __init__(self, weight: Array, bias: Array) -> None:
        self.params = [np.ascontiguousarray(weight.T), bias]
        self.grads = self.params

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x
        return np.dot(x, self.params[0]) + self.params[1]

    def backward(self, grad: Array) -> Array:
        self.grads = [np.dot(self.x.T, grad), grad.sum(axis=0)]
        return np.dot(grad, self.params[0].T)


class _Pooling:
    def __init__(self, settings: dict[str, Any], largest: bool) -> None:
        self.window = (settings["kernel_size"], settings["stride"], settings["padding"])
        self.area = self.window[0][0] * self.window[0][1]
        self.largest = largest

    def forward(self, x: Array, training: bool) -> Array:
        oh, ow = _output_size(x.shape, *self.window)
        col = _im2col(x, *self.window).reshape(-1, self.area)
        self.shape = x.shape
        if self.largest:
            self.winner = col.argmax(axis=1)
        out = col.max(axis=1) if self.largest else col.mean(axis=1)
        return out.reshape(len(x), oh, ow, -1).transpose(0, 3, 1, 2)

    def backward(self, grad: Array) -> Array:
        flat = grad.transpose(0, 2, 3, 1).reshape(-1)
        if self.largest:
            col = np.zeros((flat.size, self.area), flat.dtype)
            col[np.arange(flat.size), self.winner] = flat
        else:
            col = np.repeat(flat[:, None] / self.area, self.area, axis=1)
        return _col2im(col, self.shape, *self.window)


class _ReLU:
    def forward(self, x: Array, training: bool) -> Array:
        self.negative = x <= 0
        out = x.copy()
        out[self.negative] = 0
        return out

    def backward(self, grad: Array) -> Array:
        grad[self.negative] = 0
        return grad


class _Sigmoid:
    def forward(self, x: Array, training: bool) -> Array:
        self.out: Array = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, grad: Array) -> Array:
        return grad * self.out * (1 - self.out)


class _Dropout:
    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.rng = np.random.default_rng(0)

    def forward(self, x: Array, training: bool) -> Array:
        if not training:
            return x
        keep = self.rng.random(x.shape, np.float32) > self.ratio
        self.scale = keep * x.dtype.type(1 / (1 - self.ratio))
        return x * self.scale

    def backward(self, grad: Array) -> Array:
        return grad * self.scale


class _Flatten:
    def forward(self, x: Array, training: bool) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad: Array) -> Array:
        return grad.reshape(self.shape)


def _layer(network: Network, name: str, kind: str, settings: dict[str, Any]) -> _Layer:
    if kind in ("Conv2d", "Linear"):
        weight, bias = (array.astype(network.dtype) for array in network.parameters(name))
        if kind == "Linear":
            return _Affine(weight, bias)
        return _Convolution(settings, weight, bias)
    if kind in ("MaxPool2d", "AvgPool2d"):
        return _Pooling(settings, largest=kind == "MaxPool2d")
    if kind == "Dropout":
        return _Dropout(settings["p"])
    plain: dict[str, type[_Layer]] = {"ReLU": _ReLU, "Sigmoid": _Sigmoid, "Flatten": _Flatten}
    return plain[kind]()


class _Chain:
    """A network as the book has it: its layers, its loss and the gradient."""

    def __init__(self, network: Network) -> None:
        self.layers = [_layer(network, *description) for description in network.shapes()]
        weighted = (_Convolution, _Affine)
        self.weighted = [layer for layer in self.layers if isinstance(layer, weighted)]

    def predict(self, x: Array, training: bool) -> Array:
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def loss(self, x: Array, t: Array) -> float:
        scores = self.predict(x, True)
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return float(-np.log(self.probabilities[np.arange(len(t)), t] + 1e-7).mean())

    def gradient(self, x: Array, t: Array) -> list[tuple[Array, Array]]:
        """Each parameter with its gradient."""
        self.loss(x, t)
        grad = self.probabilities.copy()
        grad[np.arange(len(t)), t] -= 1
        grad /= len(t)
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return [
            pair for layer in self.weighted for pair in zip(layer.params, layer.grads, strict=True)
        ]


def training(network: Network) -> Subject:
    """Build a training step with SGD; the network's weights must be given."""
    chain = _Chain(network)
    x, t = network.images(), network.labels()

    def step() -> None:
        for parameter, gradient in chain.gradient(x, t):
            parameter -= LEARNING_RATE * gradient

    return Subject(step, lambda: chain.predict(x, False))


def trainer(network: Network) -> Subject:
    """Build a step of the book's Trainer: a batch drawn, gradient, Adam, the loss once more."""
    chain = _Chain(network)
    x, t = network.images(), network.labels()
    examples, labels = np.tile(x, (BATCHES, 1, 1, 1)), np.tile(t, BATCHES)
    averages: list[tuple[Array, Array]] = []
    rng, steps = np.random.default_rng(0), 0

    def step() -> float:
        nonlocal steps
        chosen = rng.choice(len(examples), len(x))
        batch, answers = examples[chosen], labels[chosen]
        pairs = chain.gradient(batch, answers)
        if not averages:
            averages.extend((np.zeros_like(p), np.zeros_like(p)) for p, _ in pairs)
        steps += 1
        rate = LEARNING_RATE * np.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
        for (parameter, gradient), (m, v) in zip(pairs, averages, strict=True):
            m += 0.1 * (gradient - m)
            v += 0.001 * (gradient**2 - v)
            parameter -= rate * m / (np.sqrt(v) + 1e-7)
        return chain.loss(batch, answers)

    return Subject(step, lambda: chain.predict(x, False))
