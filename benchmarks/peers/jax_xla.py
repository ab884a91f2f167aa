"""JAX: one compiled function a step, images in NHWC and kernels in HWIO."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.description import LEARNING_RATE, Array, Network, Subject, inside

_Layers = Iterable[tuple[str, str, dict[str, Any]]]
_NUMBERS = ("NHWC", "HWIO", "NHWC")


class _Model:
    """The layers, which pass a value on.

    Attributes
    ----------
    weights : dict of str to list
        Of each layer, as JAX wants them.
    statistics : dict of str to tuple
        The running mean and variance of each batch norm.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.layers = list(network.shapes())
        self.weights: dict[str, list[Any]] = {}
        self.statistics: dict[str, tuple[Any, Any]] = {}
        self._collect(self.layers)

    def _collect(self, layers: _Layers) -> None:
        for name, kind, settings in layers:
            if kind == "Residual":
                for branch in ("body", "shortcut"):
                    self._collect(inside(name, settings, branch))
                continue
            given = self.network.parameters(name) or _zeros(kind, settings)
            if kind == "Conv2d":
                given[0] = given[0].transpose(2, 3, 1, 0)
            elif kind == "ConvTranspose2d":  # as the gradient of a convolution: turned around
                given[0] = given[0].transpose(2, 3, 0, 1)[::-1, ::-1]
            elif kind == "BatchNorm2d":
                mean = jnp.zeros(given[0].shape, self.network.dtype)
                self.statistics[name] = mean, jnp.ones_like(mean)
            if given:
                self.weights[name] = [jnp.asarray(array, self.network.dtype) for array in given]

    def __call__(self, weights: Any, statistics: Any, x: Any, key: Any) -> tuple[Any, Any]:
        """Scores and new statistics; in inference without a key, in training with one."""
        found = dict(statistics)
        run = partial(_layer, weights, found, key)
        if self.network.inputs is None:
            return _chain(run, self.layers, x), found
        values = {"input": x}
        for (name, taken), layer in zip(self.network.inputs.items(), self.layers, strict=True):
            values[name] = run(layer, *(values[source] for source in taken))
        return values[name], found


def _zeros(kind: str, settings: dict[str, Any]) -> list[Array]:
    """Weights in our order where none are given, for measurements of memory."""
    if kind == "BatchNorm2d":
        return [np.zeros(settings["num_features"])] * 2
    if kind == "Linear":
        outputs, inputs = settings["out_features"], settings["in_features"]
        return [np.zeros((outputs, inputs)), np.zeros(outputs)]
    if kind not in ("Conv2d", "ConvTranspose2d"):
        return []
    inputs, outputs = settings["in_channels"], settings["out_channels"]
    maps = (inputs, outputs) if kind == "ConvTranspose2d" else (outputs, inputs)
    shape = (maps[0], maps[1] // settings["groups"], *settings["kernel_size"])
    return [np.zeros(shape), *([np.zeros(outputs)] if settings["bias"] else [])]


def _chain(run: Any, layers: _Layers, x: Any) -> Any:
    for layer in layers:
        x = run(layer, x)
    return x


def _layer(
    weights: Any, found: dict[str, Any], key: Any, layer: tuple[str, str, dict[str, Any]], *xs: Any
) -> Any:
    """Pass a value through a layer; statistics and key are as in `_Model`."""
    (name, kind, settings), x = layer, xs[0]
    if kind == "Residual":
        run = partial(_layer, weights, found, key)
        body, shortcut = (inside(name, settings, branch) for branch in ("body", "shortcut"))
        return _chain(run, body, x) + _chain(run, shortcut, x)
    if kind == "BatchNorm2d":
        return _batch_norm(weights[name], found, key is not None, name, settings, x)
    if kind == "Dropout":
        return x if key is None else _dropout(key, name, settings["p"], x)
    if kind == "Concat":
        return jnp.concatenate(xs, axis=-1)
    if kind in _ACTIVATIONS:
        return _ACTIVATIONS[kind](x)
    if kind == "Flatten":  # in the order of our weights
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    if kind == "Linear":
        return x @ weights[name][0].T + weights[name][1]
    if kind in ("Conv2d", "ConvTranspose2d"):
        convolve = _convolution if kind == "Conv2d" else _transposed
        y = convolve(settings, x, weights[name][0])
        return y + weights[name][1] if settings["bias"] else y
    if kind == "LocalResponseNorm":
        return _response_norm(settings, x)
    return _pool(kind, settings, x)


_ACTIVATIONS = {
    "ReLU": jax.nn.relu,
    "ReLU6": jax.nn.relu6,
    "Sigmoid": jax.nn.sigmoid,
    "Tanh": jnp.tanh,
}


def _borders(settings: dict[str, Any]) -> list[tuple[int, int]]:
    more = int(settings.get("uneven", False))
    return [(p, p + more) for p in settings["padding"]]


def _convolution(settings: dict[str, Any], x: Any, kernel: Any) -> Any:
    return lax.conv_general_dilated(
        x,
        kernel,
        settings["stride"],
        _borders(settings),
        rhs_dilation=settings["dilation"],
        dimension_numbers=_NUMBERS,
        feature_group_count=settings["groups"],
    )


def _transposed(settings: dict[str, Any], x: Any, kernel: Any) -> Any:
    borders = [
        (k - 1 - p, k - 1 - p)
        for k, p in zip(settings["kernel_size"], settings["padding"], strict=True)
    ]
    return lax.conv_general_dilated(
        x, kernel, (1, 1), borders, lhs_dilation=settings["stride"], dimension_numbers=_NUMBERS
    )


def _response_norm(settings: dict[str, Any], x: Any) -> Any:
    size = settings["size"]
    window = (1, 1, 1, size), (1, 1, 1, 1), [(0, 0)] * 3 + [(size // 2, (size - 1) // 2)]
    squares = lax.reduce_window(x * x, 0.0, lax.add, *window)
    return x / (settings["k"] + settings["alpha"] / size * squares) ** settings["beta"]


def _pool(kind: str, settings: dict[str, Any], x: Any) -> Any:
    if kind == "GlobalAvgPool2d":
        return x.mean(axis=(1, 2), keepdims=True)
    sizes = (1, *settings["kernel_size"], 1), (1, *settings["stride"], 1)
    borders = [(0, 0), *_borders(settings), (0, 0)]
    if kind == "MaxPool2d":
        return lax.reduce_window(x, -jnp.inf, lax.max, *sizes, borders)
    if kind == "AvgPool2d":
        return lax.reduce_window(x, 0.0, lax.add, *sizes, borders) / np.prod(sizes[0])
    raise ValueError(f"no {kind} here")


def _batch_norm(
    weights: Any, found: dict[str, Any], training: bool, name: str, settings: Any, x: Any
) -> Any:
    gamma, beta = weights
    mean, variance = found[name]
    if training:
        old, share = (mean, variance), settings["momentum"]
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        count = x.size // x.shape[-1]
        new = mean, variance * (count / (count - 1))
        found[name] = tuple((1 - share) * o + share * n for o, n in zip(old, new, strict=True))
    scale = gamma * lax.rsqrt(variance + settings["eps"])
    return x * scale + (beta - mean * scale)


def _dropout(key: Any, name: str, rate: float, x: Any) -> Any:
    own = jax.random.fold_in(key, sum(name.encode()))
    return jnp.where(jax.random.bernoulli(own, 1 - rate, x.shape), x / (1 - rate), 0)


def _build(network: Network) -> tuple[_Model, Any]:
    """Model and images."""
    os.environ["NPROC"] = str(network.threads)  # XLA reads it before its first computation
    jax.config.update("jax_enable_x64", network.dtype == "float64")
    images = network.images()
    return _Model(network), jax.device_put(images.transpose(0, 2, 3, 1))


def _predict(model: _Model) -> Any:
    """The compiled prediction; maps come in our order."""

    def scores(weights: Any, statistics: Any, x: Any) -> Any:
        y = model(weights, statistics, x, None)[0]
        return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y

    return jax.jit(scores)


def training(network: Network) -> Subject:
    """Build a training step whose weights and statistics take the place of those before it."""
    model, images = _build(network)
    labels = jnp.asarray(network.labels())
    state = [model.weights, model.statistics, jax.random.key(0)]

    def loss_of(weights: Any, statistics: Any, x: Any, t: Any, key: Any) -> Any:
        scores, found = model(weights, statistics, x, key)
        rows = jnp.arange(len(t))
        return -jax.nn.log_softmax(scores)[rows, t].mean(), found

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(weights: Any, statistics: Any, key: Any, x: Any, t: Any) -> Any:
        key, own = jax.random.split(key)
        differentiate = jax.value_and_grad(loss_of, has_aux=True)
        (loss, found), gradients = differentiate(weights, statistics, x, t, own)
        new = jax.tree.map(lambda w, g: w - LEARNING_RATE * g, weights, gradients)
        return loss, new, found, key

    def step() -> float:
        loss, *state[:] = update(*state, images, labels)
        return float(loss)

    predict = _predict(model)
    return Subject(step, lambda: np.asarray(predict(state[0], state[1], images)))


def inference(network: Network) -> Subject:
    """Build a prediction."""
    model, images = _build(network)
    predict = _predict(model)

    def run() -> Array:
        scores: Array = predict(model.weights, model.statistics, images).block_until_ready()
        return scores

    return Subject(run, lambda: np.asarray(run()))
