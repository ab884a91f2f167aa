"""What operations that move, resize or normalise feature maps must compute, as `reference.py` does.

Plain NumPy in float64: one loop per definition, no code of the package, arguments assumed valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from reference import Array, pair


def _double(x: npt.ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)) of an int, of (h, w), or of itself."""
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    rows, cols = padding
    return pair(rows), pair(cols)


def zero_pad2d(x: npt.ArrayLike, padding: Any) -> Array:
    x = _double(x)
    (top, bottom), (left, right) = sides(padding)
    n, c, h, w = x.shape
    out = np.zeros((n, c, h + top + bottom, w + left + right))
    for i in range(h):
        for j in range(w):
            if 0 <= i + top < out.shape[2] and 0 <= j + left < out.shape[3]:
                out[:, :, i + top, j + left] = x[:, :, i, j]
    return out


def zero_pad2d_backward(grad: npt.ArrayLike, padding: Any) -> Array:
    grad = _double(grad)
    (top, bottom), (left, right) = sides(padding)
    n, c, h, w = grad.shape
    dx = np.zeros((n, c, h - top - bottom, w - left - right))
    for i in range(dx.shape[2]):
        for j in range(dx.shape[3]):
            if 0 <= i + top < h and 0 <= j + left < w:
                dx[:, :, i, j] = grad[:, :, i + top, j + left]
    return dx


def _shuffled(channels: int, groups: int) -> list[int]:
    """Which channel of the input each channel of the output is."""
    per = channels // groups
    return [k % groups * per + k // groups for k in range(channels)]


def channel_shuffle(x: npt.ArrayLike, groups: int) -> Array:
    x = _double(x)
    return x[:, _shuffled(x.shape[1], groups)]


def channel_shuffle_backward(grad: npt.ArrayLike, groups: int) -> Array:
    grad = _double(grad)
    dx = np.zeros_like(grad)
    dx[:, _shuffled(grad.shape[1], groups)] = grad
    return dx


def normalize(x: npt.ArrayLike, mean: Sequence[float], std: Sequence[float]) -> Array:
    x = _double(x)
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        out[:, c] = (x[:, c] - mean[c]) / std[c]
    return out
