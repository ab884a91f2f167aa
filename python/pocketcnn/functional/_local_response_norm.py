"""Local response normalisation and its gradient."""

from __future__ import annotations

from typing import Any, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    array,
    check_cache,
    compute_dtypes,
    contiguous,
    extent,
    non_negative,
    require_shape,
    restore,
)


class ResponseNormCache(NamedTuple):
    """What :func:`local_response_norm_backward` needs: `x` itself, and the settings."""

    x: Array
    size: int
    alpha: float
    beta: float
    k: float
    dtype: np.dtype[Any]


def local_response_norm(
    x: npt.ArrayLike,
    size: SupportsIndex,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> tuple[Array, ResponseNormCache]:
    """``x / s ** beta`` with ``s = k + alpha / size * (sum of x**2 over nearby channels)``.

    Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 3.3, with PyTorch's definition: there alpha is divided by the
    size, in the paper it is not.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    size : int
        Channels of the sum: from ``c - size // 2`` to ``c + (size - 1) // 2``, as far as there
        are any.
    alpha, beta, k : float
        Finite and at least 0.

    Returns
    -------
    out : ndarray (N, C, H, W)
    cache : ResponseNormCache
        For :func:`local_response_norm_backward`. It refers to x, which must not change before.

    Examples
    --------
    >>> out, cache = local_response_norm(np.full((1, 3, 1, 1), 2.0), size=3, alpha=3, beta=1)
    >>> out.ravel().round(4)
    array([0.2222, 0.1538, 0.2222])
    """
    x = array("x", x, 4)
    size = extent("size", size)
    alpha, beta, k = (non_negative(n, v) for n, v in (("alpha", alpha), ("beta", beta), ("k", k)))
    compute, result = compute_dtypes(x)
    xc = contiguous(x, compute)
    out = _core.local_response_norm(xc, size, alpha, beta, k)
    return restore(out, result), ResponseNormCache(xc, size, alpha, beta, k, result)


def local_response_norm_backward(grad: npt.ArrayLike, cache: ResponseNormCache) -> Array:
    """Gradient of :func:`local_response_norm` from that of its output.

    Parameters
    ----------
    grad : array_like (N, C, H, W)
    cache : ResponseNormCache
        As local_response_norm returned it.

    Returns
    -------
    ndarray (N, C, H, W)
    """
    grad = array("grad", grad, 4)
    check_cache(cache, ResponseNormCache)
    require_shape("grad", grad, cache.x.shape)
    compute, result = compute_dtypes(grad, np.empty(0, cache.dtype))
    dx = _core.local_response_norm_backward(
        contiguous(grad, compute),
        contiguous(cache.x, compute),
        cache.size,
        cache.alpha,
        cache.beta,
        cache.k,
    )
    return restore(dx, result)
