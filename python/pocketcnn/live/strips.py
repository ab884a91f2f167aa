"""What layers give, as bytes that a page can draw: a number a pixel, on a scale of the layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketcnn import functional as F
from pocketcnn._arguments import Array

# Larger maps are drawn smaller than they are; the page shows a single one in full.
LARGEST_SIDE = 64
MOST_MAPS = 512
MOST_NUMBERS = 4096

_ZERO, _WHITE = 128, 255


def strip(out: Array, count: int) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Make a layer's maps or numbers ready to be drawn.

    Parameters
    ----------
    out : ndarray (C, H, W) or (N,)
        For one image.
    count : int
        How many maps, from the first on.

    Returns
    -------
    about : dict
        `signed`: whether bytes go from -`high` (1) over 0 (128) to `high` (255), and not from 0 to
        `high`; `low` and `high` of all numbers of the layer; `finite`, whether all numbers are.
    bytes : ndarray of uint8 (count, h, w), or (N, 1, 1)
    """
    maps = out[:count] if out.ndim == 3 else out.reshape(-1)[:MOST_NUMBERS, np.newaxis, np.newaxis]
    finite = bool(np.isfinite(out).all())
    if not finite:
        out, maps = (np.nan_to_num(array, posinf=0, neginf=0) for array in (out, maps))
    low, high = (float(out.min()), float(out.max())) if out.size else (0.0, 0.0)
    about = {"signed": low < 0, "low": low, "high": high, "finite": finite}
    return about, to_bytes(_smaller(maps), low, high)


def to_bytes(values: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Scale numbers between `low` and `high` as `strip` says."""
    largest = max(abs(low), abs(high)) or 1.0
    if low < 0:
        scaled = np.rint(values * ((_WHITE - _ZERO) / largest)) + _ZERO
    else:
        scaled = np.rint(values * (_WHITE / largest))
    shades: NDArray[np.uint8] = np.clip(scaled, 0, _WHITE).astype(np.uint8)
    return shades


def _smaller(maps: Array) -> Array:
    """Average squares of pixels if a map has more than `LARGEST_SIDE` along a side."""
    step = -(-max(maps.shape[1:]) // LARGEST_SIDE)
    if step <= 1:
        return maps
    pooled = F.avg_pool2d(maps[np.newaxis], step, ceil_mode=True, count_include_pad=False)
    small: Array = pooled[0]
    return small
