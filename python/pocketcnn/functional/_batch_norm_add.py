"""Batch normalisation in training, the addition behind it and a ReLU: how residual blocks end."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import numpy as np

from pocketcnn import _core
from pocketcnn._arguments import Array, compute_dtypes, contiguous, require_shape, restore
from pocketcnn.functional._batch_norm import require_two


class BatchNormAddCache(NamedTuple):
    """What :func:`batch_norm_add_backward` needs of the forward pass; `y` where there is a ReLU."""

    x: Array
    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    eps: float
    y: Array | None
    dtype: np.dtype[Any]


def batch_norm_add(
    x: Array, added: Array, gamma: Array, beta: Array, eps: float, *, rectify: bool
) -> tuple[Array, BatchNormAddCache]:
    """Compute ``norm(x) + added`` by the batch's statistics, and the ReLU of it if `rectify`."""
    require_shape("added", added, x.shape)
    compute, result = compute_dtypes(x, added, gamma, beta)
    x, added, gamma, beta = (contiguous(a, compute) for a in (x, added, gamma, beta))
    require_two(x, x.size // x.shape[1])
    y, mean, variance = _core.batch_norm_add_train(x, added, gamma, beta, eps, rectify)
    kept = y if rectify else None
    return restore(y, result), BatchNormAddCache(x, gamma, beta, mean, variance, eps, kept, result)


def batch_norm_add_backward(
    grad: Array, cache: BatchNormAddCache, more: Array | None = None
) -> tuple[Array, Array, Array, Array]:
    """Gradients of :func:`batch_norm_add` from that of its output; dx takes the place of x.

    With `more`, which dadded may take the place of, the output's gradient is ``grad + more``.

    Returns
    -------
    dadded, dx : ndarray, of x's shape
    dgamma, dbeta : ndarray (C,)
    """
    x, gamma, beta, mean, variance, eps, y, result = cache
    grad = contiguous(grad, x.dtype)
    if more is not None:
        more = contiguous(more, x.dtype)
    if y is None:
        grad = grad if more is None else _core.add_to(grad, more)
        norm = gamma, beta, mean, variance, eps, False, inf
        gradients = (grad, *_core.batch_norm_backward(grad, x, *norm, True, True))
    else:
        gradients = _core.batch_norm_add_backward(
            *(grad, y, x, gamma, beta, mean, variance, eps, more)
        )
    dadded, dx, dgamma, dbeta = (restore(a, result) for a in gradients)
    return dadded, dx, dgamma, dbeta
