"""im2col, col2im and what else the book keeps in ``common.util``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketcnn import functional as F
from pocketcnn._arguments import Array
from pocketcnn.scratch.checks import as_float

# The scripts count on np coming along with "from common.util import *".
__all__ = ["col2im", "conv_output_size", "im2col", "np", "shuffle_dataset", "smooth_curve"]

_SMOOTHING = np.kaiser(11, 2)


def smooth_curve(x: npt.ArrayLike) -> Array:
    """Average a curve over 11 points around each, weighted by a Kaiser window (beta = 2).

    Parameters
    ----------
    x : array_like (N,)
        At the ends it is continued by its mirror image.

    Returns
    -------
    ndarray of float64 (N,)

    Examples
    --------
    >>> smooth_curve(np.ones(20)).round(12).tolist() == [1.0] * 20
    True
    """
    side = len(_SMOOTHING) // 2
    x = as_float("x", x)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"x has shape {x.shape}, but must be (N,) with at least one point")
    # The first point is the mirror's axis; the last one is repeated. So the book has it.
    mirrored = np.pad(np.pad(x, (side, 0), "reflect"), (0, side), "symmetric")
    return np.convolve(_SMOOTHING / _SMOOTHING.sum(), mirrored, mode="valid")


def shuffle_dataset(x: Array, t: Array) -> tuple[Array, Array]:
    """Reorder examples and labels alike, by ``np.random.permutation``."""
    order = np.random.permutation(len(x))
    return x[order], t[order]


def conv_output_size(input_size: int, filter_size: int, stride: int = 1, pad: int = 0) -> float:
    """``(input_size + 2 * pad - filter_size) / stride + 1``, not rounded.

    Examples
    --------
    >>> conv_output_size(28, 5)
    24.0
    """
    if stride <= 0:
        raise ValueError(f"stride is {stride!r}, but must be above 0")
    return (input_size + 2 * pad - filter_size) / stride + 1


def im2col(
    input_data: npt.ArrayLike, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0
) -> Array:
    """Lay each window over the images out as a row.

    Parameters
    ----------
    input_data : array_like (N, C, H, W)
    filter_h, filter_w, stride, pad : int

    Returns
    -------
    ndarray (N * OH * OW, C * filter_h * filter_w)
        float32 and float16 stay what they are; integers become float64.

    Examples
    --------
    >>> im2col(np.zeros((10, 3, 7, 7)), 5, 5, stride=1, pad=0).shape
    (90, 75)
    """
    return F.im2col(as_float("input_data", input_data), (filter_h, filter_w), stride, pad)


def col2im(
    col: npt.ArrayLike,
    input_shape: tuple[int, int, int, int],
    filter_h: int,
    filter_w: int,
    stride: int = 1,
    pad: int = 0,
) -> Array:
    """Add the rows of a column matrix back to images: the adjoint of :func:`im2col`.

    Parameters
    ----------
    col : array_like (N * OH * OW, C * filter_h * filter_w)
    input_shape : (N, C, H, W)
    filter_h, filter_w, stride, pad : int

    Returns
    -------
    ndarray (N, C, H, W)
    """
    return F.col2im(as_float("col", col), input_shape, (filter_h, filter_w), stride, pad)
