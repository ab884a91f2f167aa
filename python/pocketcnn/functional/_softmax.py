"""Softmax and its logarithm along an axis, and their gradients in terms of the output."""

from __future__ import annotations

import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import Array, array, integer
from pocketcnn.functional._activation import backward, forward


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
    return forward(_core.softmax, x, _axis(x, axis))


def softmax_backward(grad: npt.ArrayLike, out: npt.ArrayLike, axis: int = 1) -> Array:
    """Gradient of :func:`softmax`: out * (grad - sum(grad * out))."""
    return backward(_core.softmax_backward, grad, out, _axis(out, axis, "out"))


def log_softmax(x: npt.ArrayLike, axis: int = 1) -> Array:
    """Return x - log(sum(exp(x))) along `axis`, accurate where :func:`softmax` underflows."""
    return forward(_core.log_softmax, x, _axis(x, axis))


def log_softmax_backward(grad: npt.ArrayLike, out: npt.ArrayLike, axis: int = 1) -> Array:
    """Gradient of :func:`log_softmax`: grad - exp(out) * sum(grad)."""
    return backward(_core.log_softmax_backward, grad, out, _axis(out, axis, "out"))
