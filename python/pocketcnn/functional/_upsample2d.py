"""Resizing of feature maps and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, inf
from typing import cast

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    array,
    compute_dtypes,
    contiguous,
    number,
    require_memory,
    require_shape,
    restore,
    shape4,
)
from pocketcnn._core import UpsampleMode

ScaleFactor = float | Sequence[float]
_MODES = {mode.name: mode for mode in UpsampleMode}


def scale_pair(scale_factor: ScaleFactor) -> tuple[float, float]:
    """(vertical, horizontal) of one number or of two, each finite and greater than 0."""
    value = scale_factor
    if isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim):
        if len(value) != 2:
            raise ValueError(f"scale_factor is {value!r}, but must be a number or (h, w)")
        scales = tuple(number("scale_factor", one, -inf, inf) for one in value)
    else:
        scales = (number("scale_factor", cast(float, value), -inf, inf),) * 2
    if not all(0 < scale < inf for scale in scales):
        raise ValueError(f"scale_factor is {value!r}, but must be finite and greater than 0")
    return scales[0], scales[1]


def upsampling(scale_factor: ScaleFactor, mode: str, align_corners: bool) -> _core.Upsample2d:
    """The settings of a resizing, checked.

    Raises
    ------
    TypeError, ValueError
        If one is invalid.
    """
    if not isinstance(mode, str) or mode not in _MODES:
        raise ValueError(f"mode is {mode!r}, but must be one of {tuple(_MODES)}")
    if align_corners and mode == "nearest":
        raise ValueError('align_corners is True, but mode is "nearest", which has no corners')
    return _core.Upsample2d(scale_pair(scale_factor), _MODES[mode], bool(align_corners))


def upsampled_shape(
    shape: tuple[int, ...], upsample: _core.Upsample2d, name: str = "x"
) -> tuple[int, ...]:
    """Shape of the result for images (N, C, H, W), which an error calls `name`."""
    h, w = shape[2:]
    if 0 in (h, w):
        raise ValueError(f"{name} has shape {shape}, but its images must have pixels")
    scales = upsample.scale
    size = floor(h * scales[0]), floor(w * scales[1])
    if min(size) < 1:
        raise ValueError(f"scale_factor is {scales}, which leaves {size} of images {(h, w)}")
    require_memory("the output's shape", (*shape[:2], *size))
    return upsample.output_shape(cast(tuple[int, int, int, int], shape))


def upsample2d(
    x: npt.ArrayLike,
    scale_factor: ScaleFactor,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Array:
    """Make feature maps larger, or smaller.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    scale_factor : float or (float, float)
        Size of the output over that of the input, for both axes or (h, w).
    mode : {"nearest", "bilinear"}
        "nearest" takes pixel ``floor(i / scale)``. "bilinear" interpolates at
        ``(i + 1 / 2) / scale - 1 / 2``, within the image. As PyTorch has it, "nearest" divides in
        single precision where the scale is not whole, and where the output is as large as the
        input, or twice as large, takes each pixel once, or twice, whatever the scale.
    align_corners : bool
        Whether "bilinear" interpolates at ``i * (in - 1) / (out - 1)`` instead, so that the corners
        keep their values.

    Returns
    -------
    ndarray (N, C, floor(H * scale), floor(W * scale))

    Examples
    --------
    >>> x = np.array([[[[0.0, 4.0]]]])
    >>> upsample2d(x, (1, 2)).ravel(), upsample2d(x, (1, 2), "bilinear").ravel()
    (array([0., 0., 4., 4.]), array([0., 1., 3., 4.]))
    """
    x = array("x", x, 4)
    upsample = upsampling(scale_factor, mode, align_corners)
    upsampled_shape(x.shape, upsample)
    compute, result = compute_dtypes(x)
    return restore(_core.upsample2d(contiguous(x, compute), upsample), result)


def upsample2d_backward(
    grad: npt.ArrayLike,
    input_shape: Sequence[int],
    scale_factor: ScaleFactor,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Array:
    """Gradient of :func:`upsample2d`: each pixel gets its shares of the outputs' gradients.

    Parameters
    ----------
    grad : array_like (N, C, OH, OW)
    input_shape : (N, C, H, W)
    scale_factor, mode, align_corners
        As upsample2d took them.

    Returns
    -------
    ndarray (N, C, H, W)
    """
    grad = array("grad", grad, 4)
    shape = shape4("input_shape", input_shape)
    upsample = upsampling(scale_factor, mode, align_corners)
    require_shape("grad", grad, upsampled_shape(shape, upsample, "input_shape"))
    compute, result = compute_dtypes(grad)
    dx = _core.upsample2d_backward(contiguous(grad, compute), shape, upsample)
    return restore(dx, result)
