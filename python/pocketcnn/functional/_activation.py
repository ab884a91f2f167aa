"""Elementwise activations and their gradients.

A gradient is computed from the output where that tells the slope, which is then all that has to be
kept; that of silu, gelu, hard_swish, which fall before they rise, and of prelu, whose slope may
become negative, from the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    array,
    compute_dtypes,
    contiguous,
    non_negative,
    require_shape,
    restore,
)


def forward(function: Callable[..., Array], x: npt.ArrayLike, *options: Any) -> Array:
    """Call a native function of one array of any shape."""
    x = array("x", x)
    compute, result = compute_dtypes(x)
    return restore(function(contiguous(x, compute), *options), result)


def backward(
    function: Callable[..., Array],
    grad: npt.ArrayLike,
    kept: npt.ArrayLike,
    *options: Any,
    name: str = "out",
) -> Array:
    """Call a native gradient that is written in terms of one array, the output or "x"."""
    grad, kept = array("grad", grad), array(name, kept)
    require_shape("grad", grad, kept.shape)
    compute, result = compute_dtypes(grad, kept)
    return restore(function(contiguous(grad, compute), contiguous(kept, compute), *options), result)


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


def leaky_relu(x: npt.ArrayLike, negative_slope: float = 0.01) -> Array:
    """Multiply the negative numbers of x, an array of any shape, by `negative_slope` >= 0."""
    return forward(_core.leaky_relu, x, non_negative("negative_slope", negative_slope))


def leaky_relu_backward(
    grad: npt.ArrayLike, out: npt.ArrayLike, negative_slope: float = 0.01
) -> Array:
    """Gradient of :func:`leaky_relu`: grad * negative_slope where out <= 0, else grad."""
    slope = non_negative("negative_slope", negative_slope)
    return backward(_core.leaky_relu_backward, grad, out, slope)


def elu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """Alpha * (exp(x) - 1) where x <= 0, else x, elementwise, for alpha >= 0.

    Clevert, Unterthiner, Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear
    Units (ELUs)", ICLR 2016.
    """
    return forward(_core.elu, x, non_negative("alpha", alpha))


def elu_backward(grad: npt.ArrayLike, out: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """Gradient of :func:`elu`: grad * (out + alpha) where out <= 0, else grad."""
    return backward(_core.elu_backward, grad, out, non_negative("alpha", alpha))


def relu6(x: npt.ArrayLike) -> Array:
    """min(max(x, 0), 6), elementwise. NaN stays NaN."""
    return forward(_core.relu6, x)


def relu6_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`relu6`: 0 where out <= 0 or out >= 6, else grad, also for NaN."""
    return backward(_core.relu6_backward, grad, out)


def silu(x: npt.ArrayLike) -> Array:
    """X / (1 + exp(-x)), elementwise, without overflow.

    Also called swish: Ramachandran, Zoph, Le, "Searching for Activation Functions", 2017.
    """
    return forward(_core.silu, x)


def silu_backward(grad: npt.ArrayLike, x: npt.ArrayLike) -> Array:
    """Gradient of :func:`silu` from its input: grad * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    return backward(_core.silu_backward, grad, x, name="x")


def gelu(x: npt.ArrayLike, approximate: Literal["none", "tanh"] = "none") -> Array:
    """X * (1 + erf(x / sqrt(2))) / 2, elementwise: x by the normal distribution at x.

    With ``approximate="tanh"`` it is x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))) / 2.
    Hendrycks, Gimpel, "Gaussian Error Linear Units (GELUs)", 2016, section 2.
    """
    return forward(_core.gelu_tanh if by_tanh(approximate) else _core.gelu, x)


def gelu_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, approximate: Literal["none", "tanh"] = "none"
) -> Array:
    """Gradient of :func:`gelu` from its input."""
    function = _core.gelu_tanh_backward if by_tanh(approximate) else _core.gelu_backward
    return backward(function, grad, x, name="x")


def by_tanh(approximate: str) -> bool:
    """Whether gelu is to be approximated; raise ValueError for a name that it does not have."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f'approximate is {approximate!r}, but must be "none" or "tanh"')
    return approximate == "tanh"


def hard_sigmoid(x: npt.ArrayLike) -> Array:
    """relu6(x + 3) / 6, elementwise.

    Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2.
    """
    return forward(_core.hard_sigmoid, x)


def hard_sigmoid_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`hard_sigmoid`: 0 where out <= 0 or out >= 1, else grad / 6."""
    return backward(_core.hard_sigmoid_backward, grad, out)


def hard_swish(x: npt.ArrayLike) -> Array:
    """X * relu6(x + 3) / 6, elementwise.

    Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2.
    """
    return forward(_core.hard_swish, x)


def hard_swish_backward(grad: npt.ArrayLike, x: npt.ArrayLike) -> Array:
    """Gradient of :func:`hard_swish`: grad * (x / 3 + 1 / 2) for -3 < x < 3, else 0 or grad."""
    return backward(_core.hard_swish_backward, grad, x, name="x")


def prelu(x: npt.ArrayLike, weight: npt.ArrayLike) -> Array:
    """Multiply the negative numbers of x by a slope: one for all, or one for each index of axis 1.

    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, section 2.1.

    Parameters
    ----------
    x : array, of any shape
    weight : array, (1,) or (x.shape[1],)
        The slopes.

    Returns
    -------
    ndarray
        Of x's shape.

    Raises
    ------
    ValueError
        If `weight` has neither one element nor as many as x has along axis 1.
    """
    x, weight = _prelu_arrays(x, weight)
    compute, result = compute_dtypes(x, weight)
    planes, slopes = _planes(contiguous(x, compute), weight), contiguous(weight, compute)
    return restore(_core.prelu(planes, slopes).reshape(x.shape), result)


def prelu_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike
) -> tuple[Array, Array]:
    """Gradients of :func:`prelu`: of x, and of `weight`, summed over all that a slope multiplied.

    At x = 0 the derivative is the slope.

    Returns
    -------
    dx : ndarray, of x's shape
    dweight : ndarray, of weight's shape
    """
    x, weight = _prelu_arrays(x, weight)
    grad = array("grad", grad)
    require_shape("grad", grad, x.shape)
    compute, result = compute_dtypes(grad, x, weight)
    grads, planes = (_planes(contiguous(a, compute), weight) for a in (grad, x))
    dx, dweight = _core.prelu_backward(grads, planes, contiguous(weight, compute))
    return restore(dx.reshape(x.shape), result), restore(dweight, result)


def _prelu_arrays(x: npt.ArrayLike, weight: npt.ArrayLike) -> tuple[Array, Array]:
    x, weight = array("x", x), array("weight", weight, 1)
    if len(weight) != 1 and (x.ndim < 2 or len(weight) != x.shape[1]):
        raise ValueError(
            f"weight has shape {weight.shape}, but x of shape {x.shape} needs one slope for all, "
            "or one for each channel, axis 1"
        )
    return x, weight


def _planes(a: Array, weight: Array) -> Array:
    """View the array so that axis 1 has as many indices as there are slopes."""
    return a.reshape(1, 1, -1) if len(weight) == 1 else a
