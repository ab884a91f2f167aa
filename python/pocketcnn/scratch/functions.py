"""Activations and losses as plain functions: the book's ``common.functions``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn import functional as F
from pocketcnn._arguments import Array
from pocketcnn.scratch.checks import as_float, class_indices

# The scripts expect to get np from "from common.functions import *".
__all__ = [
    "cross_entropy_error",
    "identity_function",
    "mean_squared_error",
    "np",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
]


def identity_function(x: Any) -> Any:
    """Return x, the output of a regression."""
    return x


def step_function(x: npt.ArrayLike) -> Any:
    """1 where x > 0, else 0, as integers."""
    return (np.asarray(x) > 0).astype(int)


def sigmoid(x: npt.ArrayLike) -> Any:
    """1 / (1 + exp(-x)), elementwise, without overflow.

    Examples
    --------
    >>> sigmoid(np.array([0.0, -1000.0]))
    array([0.5, 0. ])
    """
    return F.sigmoid(as_float("x", x))[()]


def sigmoid_grad(x: npt.ArrayLike) -> Any:
    """Derivative of :func:`sigmoid` at x."""
    y = sigmoid(x)
    return (1 - y) * y


def relu(x: npt.ArrayLike) -> Any:
    """max(x, 0), elementwise, in x's own dtype."""
    return np.maximum(0, x)


def relu_grad(x: npt.ArrayLike) -> Any:
    """1 where x >= 0, else 0: derivative of :func:`relu`, taken as 1 at 0, as in the book."""
    x = np.asarray(x)
    return (x >= 0).astype(x.dtype)


def softmax(x: npt.ArrayLike) -> Array:
    """exp(x) / sum(exp(x)) along the last axis.

    Parameters
    ----------
    x : array_like (K,) or (N, K)

    Examples
    --------
    >>> softmax([1000, 1000])
    array([0.5, 0.5])
    """
    return F.softmax(as_float("x", x), axis=-1)


def sum_squared_error(y: Array, t: Array) -> Any:
    """Half the sum of the squared differences."""
    return 0.5 * np.sum((y - t) ** 2)


# The name in the book's first printing and in its Korean edition.
mean_squared_error = sum_squared_error


def cross_entropy_error(y: npt.ArrayLike, t: npt.ArrayLike) -> Any:
    """Mean of -log(y + 1e-7) over the rows, y taken at each row's right class.

    Parameters
    ----------
    y : array_like (N, K) or (K,)
        Probabilities, as :func:`softmax` returns them.
    t : array_like of integers (N,), or one-hot (N, K)

    Returns
    -------
    float of y's dtype

    Raises
    ------
    ValueError, TypeError
        If `t` does not fit y.

    Examples
    --------
    >>> bool(cross_entropy_error([0.5, 0.5], 1) == -np.log(0.5 + 1e-7))
    True
    """
    y = np.atleast_2d(as_float("y", y))
    if y.ndim != 2 or 0 in y.shape:
        raise ValueError(f"y has shape {y.shape}, but must be (N, K) or (K,)")
    right = y[np.arange(len(y)), class_indices(t, y.shape)]
    return -np.sum(np.log(right + 1e-7)) / len(y)


def softmax_loss(X: npt.ArrayLike, t: npt.ArrayLike) -> Any:
    """Cross-entropy of softmax(X); see :func:`cross_entropy_error`."""
    return cross_entropy_error(softmax(X), t)
