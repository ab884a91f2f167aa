"""Images in units of a known mean and standard deviation per channel."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import Array, array, compute_dtypes, contiguous, restore


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
    scale, known = 1 / np.array(std, np.float64), np.array(mean, np.float64)
    out = _core.batch_norm_infer(
        contiguous(x, compute),
        scale.astype(compute),
        np.zeros(len(known), compute),
        known,
        np.ones(len(known)),
        0.0,
        False,
        inf,
    )
    return restore(out, result)


def normalize_backward(grad: npt.ArrayLike, std: Sequence[float]) -> Array:
    """Gradient of :func:`normalize`: ``grad / std``."""
    return normalize(array("grad", grad, 4), (0.0,) * len(std), std)
