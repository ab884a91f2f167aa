"""Dropout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    array,
    compute_dtypes,
    contiguous,
    number,
    restore,
)


def dropout(x: npt.ArrayLike, p: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Set each element to zero with probability p and scale the others by 1 / (1 - p).

    Parameters
    ----------
    x : array_like
        Any shape.
    p : float
        Probability in 0..1 of dropping an element.
    rng : numpy.random.Generator
        Where the choice comes from.

    Returns
    -------
    out : ndarray
        ``x * mask``; zero, not NaN, where an infinite element was dropped.
    mask : ndarray
        0 or 1 / (1 - p); the gradient is ``grad * mask`` (inverted dropout; Srivastava et al.,
        2014, section 10).
    """
    x = array("x", x)
    p = number("p", p, 0, 1)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}, but must be a numpy.random.Generator")
    compute, result = compute_dtypes(x)
    scale = 1 / (1 - p) if p < 1 else 0.0
    draws = np.asarray(rng.random(x.shape, np.float32))
    out, mask = _core.dropout(contiguous(x, compute), draws, p, scale)
    return restore(out, result), restore(mask, result)
