"""Batch normalisation and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple, TypeAlias

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
    number,
    require_shape,
    restore,
)

Total: TypeAlias = Callable[[Array], Array]
"""Adds up an array of float64 over all processes that normalise together."""


class BatchNormCache(NamedTuple):
    """What :func:`batch_norm_backward` needs of the forward pass: `x` itself, no copy of it."""

    x: Array
    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    eps: float
    rectify: bool
    ceiling: float
    training: bool
    dtype: np.dtype[Any]
    total: Total | None = None
    values: float = 0.0  # a channel, of all processes


def batch_norm(
    x: npt.ArrayLike,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    rectify: bool = False,
    ceiling: float = inf,
    total: Total | None = None,
) -> tuple[Array, BatchNormCache]:
    """``(x - mean) / sqrt(var + eps) * gamma + beta``, channel by channel.

    Ioffe, Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2, with PyTorch's
    definitions.

    Parameters
    ----------
    x : array_like (N, C, ...)
    gamma, beta : array_like (C,)
    running_mean, running_var : ndarray of floats (C,) or None
        In training they are changed in place to ``(1 - momentum) * running + momentum * batch``,
        where the batch's variance is the unbiased one, divided by its count minus one. None
        keeps no such means; then only training is possible.
    training : bool
        Whether to normalise by the batch's own mean and (biased) variance or by the running ones.
    momentum : float
        Weight of the batch in the running means, 0 to 1.
    eps : float
        Added to the variance, at least 0.
    rectify : bool
        Whether a ReLU follows: one pass less over the memory.
    ceiling : float
        The largest result where there is a ReLU, above 0: 6 makes it a ReLU6.
    total : callable, optional
        Adds up an array over processes that each have a part of the batch: in training they
        normalise by the mean and variance of the whole, and must call this, and
        `batch_norm_backward`, all together.

    Returns
    -------
    out : ndarray, of x's shape
    cache : BatchNormCache
        For :func:`batch_norm_backward`. It refers to x, which must not change before.

    Raises
    ------
    ValueError
        For sizes that do not fit, and for training with a single element per channel, which has
        no variance.

    Examples
    --------
    >>> x = np.array([[1.0], [3.0]])
    >>> mean, var = np.zeros(1), np.ones(1)
    >>> out, cache = batch_norm(x, [1.0], [0.0], mean, var, training=True, eps=0)
    >>> out.ravel(), mean, var
    (array([-1.,  1.]), array([0.2]), array([1.1]))
    """
    x = array("x", x)
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}, but must have the axes (N, C, ...)")
    gamma, beta = (_of_channels(n, array(n, a), x) for n, a in (("gamma", gamma), ("beta", beta)))
    momentum, eps = number("momentum", momentum, 0, 1), non_negative("eps", eps)
    ceiling = _ceiling(ceiling)
    compute, result = compute_dtypes(x, gamma, beta)
    xc, gamma, beta = (contiguous(a, compute) for a in (x, gamma, beta))
    running = _running("running_mean", running_mean, x), _running("running_var", running_var, x)
    count: float = x.size // x.shape[1] if x.size else 0
    if training:
        if total is None:
            require_two(x, count)
            out, mean, variance = _core.batch_norm_train(xc, gamma, beta, eps, rectify, ceiling)
        else:
            count, mean, variance = _moments(xc, gamma, beta, running[0], total)
            require_two(x, count)
            out = _core.batch_norm_infer(xc, gamma, beta, mean, variance, eps, rectify, ceiling)
        move_running(running_mean, running_var, mean, variance, count, momentum)
    else:
        mean, variance = _known("running_mean", running[0]), _known("running_var", running[1])
        out = _core.batch_norm_infer(xc, gamma, beta, mean, variance, eps, rectify, ceiling)
    together = total if training else None
    cache = BatchNormCache(
        *(xc, gamma, beta, mean, variance, eps, rectify, ceiling),
        *(bool(training), result, together, count),
    )
    return restore(out, result), cache


def batch_norm_again(cache: BatchNormCache) -> Array:
    """Compute the output of :func:`batch_norm` once more, to the same bits."""
    compute, result = compute_dtypes(np.empty(0, cache.dtype))
    x, gamma, beta = (contiguous(a, compute) for a in (cache.x, cache.gamma, cache.beta))
    norm = gamma, beta, cache.mean, cache.variance, cache.eps, cache.rectify, cache.ceiling
    return restore(_core.batch_norm_infer(x, *norm), result)


def batch_norm_backward(grad: npt.ArrayLike, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    """Gradients of :func:`batch_norm` from that of its output.

    Parameters
    ----------
    grad : array_like (N, C, ...)
    cache : BatchNormCache
        As batch_norm returned it.

    Returns
    -------
    dx : ndarray, of x's shape
    dgamma, dbeta : ndarray (C,)
    """
    return _gradients(grad, cache, over_x=False)


def batch_norm_backward_over(grad: Array, cache: BatchNormCache) -> tuple[Array, Array, Array]:
    """Do as :func:`batch_norm_backward`, with dx in the place of x, which nobody needs any more."""
    return _gradients(grad, cache, over_x=True)


def _gradients(
    grad: npt.ArrayLike, cache: BatchNormCache, *, over_x: bool
) -> tuple[Array, Array, Array]:
    grad = array("grad", grad)
    check_cache(cache, BatchNormCache)
    require_shape("grad", grad, cache.x.shape)
    compute, result = compute_dtypes(grad, np.empty(0, cache.dtype))
    x, gamma, beta = (contiguous(a, compute) for a in (cache.x, cache.gamma, cache.beta))
    gradients = _core.batch_norm_backward(
        contiguous(grad, compute),
        x,
        gamma,
        beta,
        cache.mean,
        cache.variance,
        cache.eps,
        cache.rectify,
        cache.ceiling,
        cache.training and cache.total is None,
        over_x and cache.total is None,
    )
    if cache.total is not None:
        _keep_moments(cache, cache.total, *gradients)
    dx, dgamma, dbeta = (restore(a, result) for a in gradients)
    return dx, dgamma, dbeta


def require_two(x: Array, count: float) -> None:
    """Raise ValueError for a batch of a single value a channel, which has no variance."""
    if count == 1:
        raise ValueError(f"x has shape {x.shape}, but training needs two values a channel")


def move_running(
    running_mean: Array | None,
    running_var: Array | None,
    mean: Array,
    variance: Array,
    count: float,
    momentum: float,
) -> None:
    """Move running means towards a batch's, of `count` values a channel; none of an empty one."""
    if count:
        _move(running_mean, mean, momentum)
        _move(running_var, variance * (count / (count - 1)), momentum)


def _ceiling(ceiling: float) -> float:
    value = number("ceiling", ceiling, 0, inf)
    if value == 0:
        raise ValueError(f"ceiling is {ceiling!r}, but must be above 0")
    return value


def _moments(
    x: Array, gamma: Array, beta: Array, about: Array | None, total: Total
) -> tuple[float, Array, Array]:
    """Return the count of values a channel, their mean and their variance, of all processes.

    Moments are taken about the running mean, which all have and which lies near the mean.
    """
    channels = x.shape[1]
    origin = np.zeros(channels) if about is None else about.astype(np.float64)
    mean, variance, count = origin, np.zeros(channels), x.size // channels
    if count:
        _, mean, variance = _core.batch_norm_train(x, gamma, beta, 1.0, False, inf)
    away = mean - origin
    sums = total(np.concatenate([[count], count * away, count * (variance + away**2)]))
    count = sums[0]
    away, squares = sums[1:].reshape(2, channels) / max(count, 1)
    return float(count), origin + away, np.maximum(squares - away**2, 0)


def _keep_moments(
    cache: BatchNormCache, total: Total, dx: Array, dgamma: Array, dbeta: Array
) -> None:
    """Remove from dx the parts that would change the mean and variance of all processes."""
    sums = total(np.concatenate([dgamma, dbeta]).astype(np.float64))
    along, mean = sums.reshape(2, -1) / max(cache.values, 1)
    scale = 1 / np.sqrt(cache.variance + cache.eps)
    shape = (-1, *[1] * (dx.ndim - 2))

    def over(values: Array) -> Array:
        return values.astype(dx.dtype).reshape(shape)

    change = cache.x - over(cache.mean)
    change *= over(along * scale)
    change += over(mean)
    change *= over(scale * cache.gamma)
    dx -= change


def _of_channels(name: str, a: Array, x: Array) -> Array:
    if a.shape != x.shape[1:2]:
        raise ValueError(f"{name} has shape {a.shape}, but x {x.shape} takes {x.shape[1:2]}")
    return a


def _running(name: str, a: Array | None, x: Array) -> Array | None:
    """Check running means: they are changed in place, so they must be an array of floats."""
    if a is None:
        return None
    if not isinstance(a, np.ndarray) or a.dtype.kind != "f":
        raise TypeError(f"{name} is {a!r}, but must be None or an array of floats")
    return _of_channels(name, a, x)


def _known(name: str, running: Array | None) -> Array:
    if running is None:
        raise ValueError(f"{name} is None, but inference needs it")
    return contiguous(running, np.dtype(np.float64))


def _move(running: Array | None, batch: Array, momentum: float) -> None:
    if running is not None:
        running[...] = (1 - momentum) * running + momentum * batch
