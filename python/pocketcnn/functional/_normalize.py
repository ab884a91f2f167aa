"""Images in units of a known mean and standard deviation per channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import Array, array, compute_dtypes, contiguous, restore
from pocketcnn.functional._conv_block import KnownNorm


@lru_cache(maxsize=64)
def units_of(mean: tuple[float, ...], std: tuple[float, ...]) -> KnownNorm:
    """What :func:`normalize` does, as a batch normalisation."""
    known = np.array(mean, np.float64)
    scale = 1 / np.array(std, np.float64)
    return KnownNorm(scale, np.zeros(len(mean)), known, np.ones(len(mean)), 0.0)


def normalize(x: npt.ArrayLike, mean: Sequence[float], std: Sequence[float]) -> Array:
    """``(x - mean) / std``, channel by channel.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    mean, std : sequence of float
        A number per channel; std must not be zero.

    Returns
    -------
    ndarray (N, C, H, W)
    """
    x = array("x", x, 4)
    if x.shape[1] != len(mean):
        raise ValueError(f"x has {x.shape[1]} channels, but mean has {len(mean)} numbers")
    compute, result = compute_dtypes(x)
    gamma, beta, known, variance, eps = units_of(tuple(mean), tuple(std))
    scale, shift = contiguous(gamma, compute), contiguous(beta, compute)
    out = _core.batch_norm_infer(
        contiguous(x, compute), scale, shift, known, variance, eps, False, inf
    )
    return restore(out, result)


def normalize_backward(grad: npt.ArrayLike, std: Sequence[float]) -> Array:
    """Gradient of :func:`normalize`: ``grad / std``."""
    return normalize(array("grad", grad, 4), (0.0,) * len(std), std)
