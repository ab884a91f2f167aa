"""Central differences: the book's ``common.gradient``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pocketcnn._arguments import Array

# The scripts expect to get np from "from common.gradient import *".
__all__ = ["np", "numerical_gradient", "numerical_gradient_2d"]

_STEP = 1e-4


def numerical_gradient(f: Callable[[Array], Any], x: Array) -> Array:
    """Differentiate f by each element of x, by central differences with a step of 1e-4.

    Parameters
    ----------
    f : callable
        Takes x and returns a number. It sees x itself, changed in one element.
    x : ndarray of floats
        Any shape. It is changed while this runs, and has its old values at the end.

    Returns
    -------
    ndarray
        Of x's shape and dtype.

    Raises
    ------
    TypeError
        If x is not an array of floats: in integers the step would be lost.

    Examples
    --------
    >>> numerical_gradient(lambda x: np.sum(x**2), np.array([3.0, 4.0])).round(6)
    array([6., 8.])
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"x is of {kind}, but must be an array of floats")
    grad = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        value = x[at]
        try:
            x[at] = value + _STEP
            above = f(x)
            x[at] = value - _STEP
            below = f(x)
        finally:
            x[at] = value
        grad[at] = (above - below) / (2 * _STEP)
    return grad


def numerical_gradient_2d(f: Callable[[Array], Any], X: Array) -> Array:
    """Differentiate f at each row of X by itself; a vector counts as one row."""
    if X.ndim == 1:
        return numerical_gradient(f, X)
    return np.stack([numerical_gradient(f, row) for row in X])
