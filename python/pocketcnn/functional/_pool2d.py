"""Max and average pooling and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    IntOrPair,
    Padding,
    array,
    compute_dtypes,
    contiguous,
    require_shape,
    restore,
    shape4,
)
from pocketcnn.functional._window2d import remembered, window2d


def pooling(
    shape: tuple[int, ...],
    kernel_size: IntOrPair,
    stride: IntOrPair | None,
    padding: Padding,
    dilation: IntOrPair = 1,
    name: str = "x",
    *,
    ceil_mode: bool,
) -> _core.Pool2d:
    """The pooling of an image batch of the shape (N, C, H, W), checked to fit it.

    Raises
    ------
    TypeError, ValueError
        As :func:`window2d` does, and if the padding is not smaller than the dilated kernel.

    Examples
    --------
    >>> pooling((1, 1, 5, 5), 2, None, 0, ceil_mode=True).output_shape((1, 1, 5, 5))
    (1, 1, 3, 3)
    """
    step = kernel_size if stride is None else stride
    return _pooling((kernel_size, step, padding, dilation), shape[2:], name, bool(ceil_mode))


@remembered
def _pooling(
    settings: tuple[Any, ...], image_size: tuple[int, ...], name: str, ceil_mode: bool
) -> _core.Pool2d:
    kernel_size, stride, padding, dilation = settings
    window = window2d(image_size, kernel_size, stride, padding, dilation, name, ceil_mode=ceil_mode)
    sides, dilation = window.padding, window.dilation
    for axis, kernel in enumerate(window.kernel_size):
        span = dilation[axis] * (kernel - 1) + 1
        if max(sides[2 * axis : 2 * axis + 2]) >= span:
            raise ValueError(
                f"padding (top, bottom, left, right) is {sides}, but must be smaller than the "
                f"dilated kernel, which spans {span} along axis {axis + 2}"
            )
    return _core.Pool2d(window, ceil_mode)


def max_pool2d(
    x: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Take the largest element of each window, and where it stands.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    kernel_size, stride, padding, dilation
        The window; stride None steps by one whole kernel. Padding must be smaller than the
        dilated kernel.
    ceil_mode : bool
        Let a last window hang over the lower and right edge, if it starts inside of them; where
        one does not fit even once, it may be the only one. There are
        ``ceil((size + padding - span) / stride) + 1`` of them, as PyTorch counts.

    Returns
    -------
    out : ndarray (N, C, OH, OW)
    argmax : ndarray of int64 (N, C, OH, OW)
        Index into the H * W input plane. The first maximum in row-major order wins; padding
        never wins; NaN wins over every number.

    Examples
    --------
    >>> out, argmax = max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    >>> out[0, 0].tolist(), argmax[0, 0].tolist()
    ([[5.0, 7.0], [13.0, 15.0]], [[5, 7], [13, 15]])
    """
    x = array("x", x, 4)
    pool = pooling(x.shape, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)
    compute, result = compute_dtypes(x)
    out, argmax = _core.max_pool2d(contiguous(x, compute), pool)
    return restore(out, result), argmax


def max_pool2d_backward(
    grad: npt.ArrayLike, argmax: npt.ArrayLike, input_shape: Sequence[int]
) -> Array:
    """Send the gradient of :func:`max_pool2d` to the elements that won.

    Parameters
    ----------
    grad : array_like (N, C, OH, OW)
    argmax : array_like of integers (N, C, OH, OW)
        As max_pool2d returned it.
    input_shape : (N, C, H, W)

    Returns
    -------
    ndarray (N, C, H, W)
        Where windows overlap, their gradients are added.
    """
    grad = array("grad", grad, 4)
    argmax = array("argmax", argmax, 4)
    if argmax.dtype.kind not in "iu":
        raise TypeError(f"argmax has dtype {argmax.dtype}, but must be integers")
    require_shape("argmax", argmax, grad.shape)
    shape = shape4("input_shape", input_shape)
    if shape[:2] != grad.shape[:2]:
        raise ValueError(f"input_shape is {shape}, but grad {grad.shape} has another N or C")
    compute, result = compute_dtypes(grad)
    places = contiguous(argmax, np.dtype(np.int64))
    return restore(_core.max_pool2d_backward(contiguous(grad, compute), places, shape), result)


def avg_pool2d(
    x: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Take the mean of each window.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    kernel_size, stride, padding, ceil_mode
        As in :func:`max_pool2d`.
    count_include_pad : bool
        Whether padding counts in the divisor. What hangs over the padding, in ceil mode, never
        does.

    Returns
    -------
    ndarray (N, C, OH, OW)

    Examples
    --------
    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    x = array("x", x, 4)
    pool = pooling(x.shape, kernel_size, stride, padding, ceil_mode=ceil_mode)
    compute, result = compute_dtypes(x)
    out = _core.avg_pool2d(contiguous(x, compute), pool, bool(count_include_pad))
    return restore(out, result)


def avg_pool2d_backward(
    grad: npt.ArrayLike,
    input_shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Spread the gradient of :func:`avg_pool2d` evenly over its windows.

    Parameters
    ----------
    grad : array_like (N, C, OH, OW)
    input_shape : (N, C, H, W)
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As avg_pool2d took them.

    Returns
    -------
    ndarray (N, C, H, W)
    """
    grad = array("grad", grad, 4)
    shape = shape4("input_shape", input_shape)
    pool = pooling(shape, kernel_size, stride, padding, name="input_shape", ceil_mode=ceil_mode)
    require_shape("grad", grad, pool.output_shape(shape))
    compute, result = compute_dtypes(grad)
    dx = _core.avg_pool2d_backward(contiguous(grad, compute), shape, pool, bool(count_include_pad))
    return restore(dx, result)
