"""The column matrix of images and its adjoint."""

from __future__ import annotations

from collections.abc import Sequence

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
from pocketcnn.functional._window2d import window2d


def im2col(
    x: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Array:
    """Unfold images into the matrix whose rows are the windows over them.

    Parameters
    ----------
    x : array_like (N, C, H, W)
        Images.
    kernel_size, stride, padding, dilation
        The window; see the module's introduction.

    Returns
    -------
    ndarray (N * OH * OW, C * KH * KW)
        Row (n, oh, ow), column (c, kh, kw). Padding reads as zero.

    Examples
    --------
    >>> import numpy as np
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    x = array("x", x, 4)
    window = window2d(x.shape[2:], kernel_size, stride, padding, dilation)
    compute, result = compute_dtypes(x)
    return restore(_core.im2col(contiguous(x, compute), window), result)


def col2im(
    col: npt.ArrayLike,
    input_shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Array:
    """Add the rows of a column matrix back into images: the adjoint of :func:`im2col`.

    Parameters
    ----------
    col : array_like (N * OH * OW, C * KH * KW)
        Rows as im2col makes them.
    input_shape : (N, C, H, W)
        Shape of the images.
    kernel_size, stride, padding, dilation
        The window; see the module's introduction.

    Returns
    -------
    ndarray (N, C, H, W)
        Where windows overlap, their values are added.

    Examples
    --------
    >>> import numpy as np
    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    col = array("col", col, 2)
    n, c, h, w = shape4("input_shape", input_shape)
    window = window2d((h, w), kernel_size, stride, padding, dilation, "input_shape")
    oh, ow = window.output_size(h, w)
    kernel_h, kernel_w = window.kernel_size
    require_shape("col", col, (n * oh * ow, c * kernel_h * kernel_w))
    compute, result = compute_dtypes(col)
    return restore(_core.col2im(contiguous(col, compute), (n, c, h, w), window), result)
