"""Elementwise activations, softmax, and their gradients in terms of the output."""

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
    integer,
    require_shape,
    restore,
)


def _forward(function: Callable[..., Array], x: npt.ArrayLike, *options: Any) -> Array:
    x = array("x", x)
    compute, result = compute_dtypes(x)
    return restore(function(contiguous(x, compute), *options), result)


def _backward(
    function: Callable[..., Array], grad: npt.ArrayLike, out: npt.ArrayLike, *options: Any
) -> Array:
    grad, out = array("grad", grad), array("out", out)
    require_shape("grad", grad, out.shape)
    compute, result = compute_dtypes(grad, out)
    return restore(function(contiguous(grad, compute), contiguous(out, compute), *options), result)


def relu(x: npt.ArrayLike) -> Array:
    """max(x, 0), elementwise, for an array of any shape. NaN stays NaN."""
    return _forward(_core.relu, x)


def relu_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`relu` from its output `out`: 0 where out <= 0, else grad, also for NaN."""
    return _backward(_core.relu_backward, grad, out)


def sigmoid(x: npt.ArrayLike) -> Array:
    """1 / (1 + exp(-x)), elementwise, without overflow."""
    return _forward(_core.sigmoid, x)


def sigmoid_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`sigmoid`: grad * out * (1 - out)."""
    return _backward(_core.sigmoid_backward, grad, out)


def tanh(x: npt.ArrayLike) -> Array:
    """Hyperbolic tangent, elementwise."""
    return _forward(_core.tanh, x)


def tanh_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`tanh`: grad * (1 - out ** 2)."""
    return _backward(_core.tanh_backward, grad, out)


def _axis(a: npt.ArrayLike, axis: int, name: str = "x") -> int:
    ndim = array(name, a).ndim
    axis = integer("axis", axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis is {axis}, but {name} has {ndim} axes")
    return axis % ndim


def softmax(x: npt.ArrayLike, axis: int = 1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`, taken relative to the largest entry.

    Examples
    --------
    >>> softmax([[1000.0, 1000.0]])
    array([[0.5, 0.5]])
    """
    return _forward(_core.softmax, x, _axis(x, axis))


def softmax_backward(grad: npt.ArrayLike, out: npt.ArrayLike, axis: int = 1) -> Array:
    """Gradient of :func:`softmax`: out * (grad - sum(grad * out))."""
    return _backward(_core.softmax_backward, grad, out, _axis(out, axis, "out"))


def log_softmax(x: npt.ArrayLike, axis: int = 1) -> Array:
    """Return x - log(sum(exp(x))) along `axis`, accurate where :func:`softmax` underflows."""
    return _forward(_core.log_softmax, x, _axis(x, axis))


def log_softmax_backward(grad: npt.ArrayLike, out: npt.ArrayLike, axis: int = 1) -> Array:
    """Gradient of :func:`log_softmax`: grad - exp(out) * sum(grad)."""
    return _backward(_core.log_softmax_backward, grad, out, _axis(out, axis, "out"))
