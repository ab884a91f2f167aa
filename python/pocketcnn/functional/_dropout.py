"""Dropout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
        ``x * mask``.
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
    draws = np.asarray(rng.random(x.shape, dtype=np.float32))
    keep = draws >= p
    # Between the layers of a network every new array is far from the caches.
    reused = draws if compute == np.float32 else None
    mask = np.asarray(np.multiply(keep, compute.type(scale), out=reused))
    with np.errstate(invalid="ignore", over="ignore"):
        out = np.asarray(contiguous(x, compute) * mask)
        finite = np.isfinite(out.sum())
    if not finite:
        out[~keep] = 0  # infinity times zero is not a number
    return restore(out, result), restore(mask, result)
