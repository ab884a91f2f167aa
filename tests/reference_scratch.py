"""What ``pocketcnn.scratch`` must compute, from the definitions, over ``reference.py``.

float64 and slow: layers as functions from parameters to output, networks as their composition.
Gradients are not written here; the tests take central differences of these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import reference

Array: TypeAlias = npt.NDArray[Any]

EPSILON = 1e-7  # the book adds it to probabilities and to roots


def affine(x: Array, W: Array, b: Array) -> Array:
    out = np.zeros((len(x), W.shape[1]))
    for n, row in enumerate(x.reshape(len(x), -1)):
        out[n] = sum(value * W[i] for i, value in enumerate(row)) + b
    return out


def batch_norm(x: Array, gamma: Array, beta: Array) -> Array:
    """Each feature of x (N, ...) normalised by itself over the batch."""
    mean, variance = x.mean(axis=0), x.var(axis=0)
    shape = x.shape[1:]
    return gamma.reshape(shape) * (x - mean) / np.sqrt(variance + 1e-6) + beta.reshape(shape)


def cross_entropy_error(y: Array, labels: Array) -> float:
    return float(np.mean([-np.log(row[k] + EPSILON) for row, k in zip(y, labels, strict=True)]))


def simple_convnet_loss(params: Mapping[str, Array], x: Array, labels: Array) -> float:
    """Chapter 7's network with its convolution at stride 1 without padding."""
    maps = reference.relu(reference.conv2d(x, params["W1"], params["b1"]))
    pooled, _ = reference.max_pool2d(maps, 2)
    hidden = reference.relu(affine(pooled, params["W2"], params["b2"]))
    return cross_entropy_error(
        reference.softmax(affine(hidden, params["W3"], params["b3"])), labels
    )


def multi_layer_loss(
    params: Mapping[str, Array], x: Array, labels: Array, decay: float, normalised: bool
) -> float:
    """Chapter 6's network of two hidden layers with ReLU."""
    for number in (1, 2):
        x = affine(x, params[f"W{number}"], params[f"b{number}"])
        if normalised:
            x = batch_norm(x, params[f"gamma{number}"], params[f"beta{number}"])
        x = reference.relu(x)
    y = reference.softmax(affine(x, params["W3"], params["b3"]))
    squares = sum(float(np.sum(params[f"W{number}"] ** 2)) for number in (1, 2, 3))
    return cross_entropy_error(y, labels) + 0.5 * decay * squares


def central_differences(f: Callable[[], float], variable: Array, places: list[Any]) -> Array:
    """Differentiate f by the elements of `variable` at some places, changed in place."""
    slopes = []
    for place in places:
        kept = variable[place]
        variable[place] = kept + 1e-5
        above = f()
        variable[place] = kept - 1e-5
        below = f()
        variable[place] = kept
        slopes.append((above - below) / 2e-5)
    return np.array(slopes)


# The optimisers of chapter 6: (param, grad, state, step number) to the new param, state in place.


def momentum(p: Array, g: Array, state: dict[str, Array], step: int, lr: float) -> Array:
    state["v"] = 0.9 * state.get("v", np.zeros_like(p)) - lr * g
    return p + state["v"]


def nesterov(p: Array, g: Array, state: dict[str, Array], step: int, lr: float) -> Array:
    """The look-ahead of Bengio et al. (2013), equation 7."""
    before = state.get("v", np.zeros_like(p))
    state["v"] = 0.9 * before - lr * g
    return p + 0.9 * 0.9 * before - (1 + 0.9) * lr * g


def adagrad(p: Array, g: Array, state: dict[str, Array], step: int, lr: float) -> Array:
    state["h"] = state.get("h", np.zeros_like(p)) + g * g
    return p - lr * g / (np.sqrt(state["h"]) + EPSILON)


def rmsprop(p: Array, g: Array, state: dict[str, Array], step: int, lr: float) -> Array:
    state["h"] = 0.99 * state.get("h", np.zeros_like(p)) + 0.01 * g * g
    return p - lr * g / (np.sqrt(state["h"]) + EPSILON)


def adam(p: Array, g: Array, state: dict[str, Array], step: int, lr: float) -> Array:
    state["m"] = 0.9 * state.get("m", np.zeros_like(p)) + 0.1 * g
    state["v"] = 0.999 * state.get("v", np.zeros_like(p)) + 0.001 * g * g
    rate = lr * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return p - rate * state["m"] / (np.sqrt(state["v"]) + EPSILON)


def sgd(p: Array, g: Array, state: dict[str, Array], step: int, lr: float) -> Array:
    return p - lr * g
