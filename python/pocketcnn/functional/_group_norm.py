"""Group normalisation and its gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    array,
    check_cache,
    compute_dtypes,
    contiguous,
    non_negative,
    require_shape,
    restore,
)
from pocketcnn.functional._channel_shuffle import require_groups


class GroupNormCache(NamedTuple):
    """What :func:`group_norm_backward` needs of the forward pass: `x` itself, no copy of it."""

    x: Array
    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    groups: int
    eps: float
    dtype: np.dtype[Any]


def group_norm(
    x: npt.ArrayLike,
    groups: int,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    eps: float = 1e-5,
) -> tuple[Array, GroupNormCache]:
    """``(x - mean) / sqrt(var + eps) * gamma + beta``, with the statistics of groups of channels.

    Mean and (biased) variance are those of each group of each image, in training and in inference
    alike. As many groups as channels are instance normalisation, one group is layer normalisation
    over channels and pixels. Wu, He, "Group Normalization", ECCV 2018.

    Parameters
    ----------
    x : array_like (N, C, ...)
    groups : int
        Of as many consecutive channels each; must divide C.
    gamma, beta : array_like (C,)
    eps : float
        Added to the variance, at least 0.

    Returns
    -------
    out : ndarray, of x's shape
    cache : GroupNormCache
        For :func:`group_norm_backward`. It refers to x, which must not change before.

    Examples
    --------
    >>> x = np.array([[1.0, 3.0, 10.0, 30.0]])
    >>> out, cache = group_norm(x, 2, np.ones(4), np.zeros(4), eps=0)
    >>> out
    array([[-1.,  1., -1.,  1.]])
    """
    x = array("x", x)
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}, but must have the axes (N, C, ...)")
    groups = require_groups(x.shape[1], groups)
    gamma, beta = array("gamma", gamma), array("beta", beta)
    for name, a in (("gamma", gamma), ("beta", beta)):
        require_shape(name, a, x.shape[1:2])
    eps = non_negative("eps", eps)
    compute, result = compute_dtypes(x, gamma, beta)
    xc, gamma, beta = (contiguous(a, compute) for a in (x, gamma, beta))
    out, mean, variance = _core.group_norm(xc, gamma, beta, groups, eps)
    cache = GroupNormCache(xc, gamma, beta, mean, variance, groups, eps, result)
    return restore(out, result), cache


def group_norm_backward(grad: npt.ArrayLike, cache: GroupNormCache) -> tuple[Array, Array, Array]:
    """Gradients of :func:`group_norm` from that of its output.

    Parameters
    ----------
    grad : array_like (N, C, ...)
    cache : GroupNormCache
        As group_norm returned it.

    Returns
    -------
    dx : ndarray, of x's shape
    dgamma, dbeta : ndarray (C,)
    """
    grad = array("grad", grad)
    check_cache(cache, GroupNormCache)
    require_shape("grad", grad, cache.x.shape)
    compute, result = compute_dtypes(grad, np.empty(0, cache.dtype))
    x, gamma, beta = (contiguous(a, compute) for a in (cache.x, cache.gamma, cache.beta))
    gradients = _core.group_norm_backward(
        contiguous(grad, compute),
        x,
        gamma,
        beta,
        cache.mean,
        cache.variance,
        cache.groups,
        cache.eps,
    )
    dx, dgamma, dbeta = (restore(a, result) for a in gradients)
    return dx, dgamma, dbeta
