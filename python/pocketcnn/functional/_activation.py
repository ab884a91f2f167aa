"""Elementwise activations and their gradients in terms of the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    array,
    compute_dtypes,
    contiguous,
    require_shape,
    restore,
)


def forward(function: Callable[..., Array], x: npt.ArrayLike, *options: Any) -> Array:
    """Call a native function of one array of any shape."""
    x = array("x", x)
    compute, result = compute_dtypes(x)
    return restore(function(contiguous(x, compute), *options), result)


def backward(
    function: Callable[..., Array], grad: npt.ArrayLike, out: npt.ArrayLike, *options: Any
) -> Array:
    """Call a native gradient that is written in terms of the output."""
    grad, out = array("grad", grad), array("out", out)
    require_shape("grad", grad, out.shape)
    compute, result = compute_dtypes(grad, out)
    return restore(function(contiguous(grad, compute), contiguous(out, compute), *options), result)


def relu(x: npt.ArrayLike) -> Array:
    """max(x, 0), elementwise, for an array of any shape. NaN stays NaN."""
    return forward(_core.relu, x)


def relu_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`relu` from its output `out`: 0 where out <= 0, else grad, also for NaN."""
    return backward(_core.relu_backward, grad, out)


def sigmoid(x: npt.ArrayLike) -> Array:
    """1 / (1 + exp(-x)), elementwise, without overflow."""
    return forward(_core.sigmoid, x)


def sigmoid_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`sigmoid`: grad * out * (1 - out)."""
    return backward(_core.sigmoid_backward, grad, out)


def tanh(x: npt.ArrayLike) -> Array:
    """Hyperbolic tangent, elementwise."""
    return forward(_core.tanh, x)


def tanh_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`tanh`: grad * (1 - out ** 2)."""
    return backward(_core.tanh_backward, grad, out)
