"""Transposed convolution and its gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    IntOrPair,
    Padding,
    Pair,
    array,
    compute_dtypes,
    contiguous,
    integer,
    padding_sides,
    pair,
    require_memory,
    require_shape,
    restore,
)
from pocketcnn._core import ConvAlgorithm
from pocketcnn.functional._window2d import remembered
from pocketcnn.functional._zero_pad2d import zero_pad2d


class Transposed(NamedTuple):
    """A transposed convolution of images of one size.

    Attributes
    ----------
    conv : Conv2d
        The convolution whose gradient of its input it is: of images of `out_size`.
    out_size : (int, int)
    missing : (int, int)
        Rows and columns that `conv` gives beyond those of the images, which are zero.
    """

    conv: _core.Conv2d
    out_size: Pair
    missing: Pair


def transposed(
    image_size: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: IntOrPair,
    padding: Padding,
    output_padding: IntOrPair,
    dilation: IntOrPair,
    groups: int,
) -> Transposed:
    """The transposed convolution of images (H, W), checked to fit its settings.

    Raises
    ------
    TypeError, ValueError
        If a setting is invalid, or no pixel is left of the output.
    """
    settings = stride, padding, output_padding, dilation, groups
    return _transposed(settings, image_size, weight_shape)


@remembered
def _transposed(
    settings: tuple[Any, ...], image_size: tuple[int, ...], weight_shape: tuple[int, ...]
) -> Transposed:
    stride, padding, output_padding, dilation, groups = settings
    strides, dilations = pair("stride", stride), pair("dilation", dilation)
    added = checked_output_padding(output_padding, strides, dilations)
    kernel = pair("kernel_size", weight_shape[2:])
    sides = padding_sides(padding)
    axes = [
        _axis(
            size,
            dilations[axis] * (kernel[axis] - 1) + 1,
            strides[axis],
            None if sides is None else sides[2 * axis : 2 * axis + 2],
            added[axis],
        )
        for axis, size in enumerate(image_size)
    ]
    (height, rows, missing_rows), (width, columns, missing_columns) = axes
    if min(height, width) < 1:
        raise ValueError(
            f"padding is {padding!r}, which leaves {(height, width)} of the output for images "
            f"{image_size} and kernel_size {kernel}"
        )
    window = _core.Window2d(kernel, strides, (*rows, *columns), dilations)
    conv = _core.Conv2d(window, weight_shape[0], groups, ConvAlgorithm.auto)
    return Transposed(conv, (height, width), (missing_rows, missing_columns))


def _axis(
    size: int, span: int, stride: int, sides: tuple[int, ...] | None, added: int
) -> tuple[int, Pair, int]:
    """Size of the output, padding of the convolution, and outputs of it beyond `size`.

    Pixels that `added` appends are some that padding cut off, and zeros after those.
    """
    if sides is None:  # "same": stride pixels for each
        over = max(0, span - stride)
        sides, added = (over // 2, over - over // 2), added + max(0, stride - span)
    before, after = sides
    zeros = max(0, added - after)
    out = (size - 1) * stride + span - before - after + added
    return out, (before, max(0, after - added)), zeros // stride


def checked_output_padding(output_padding: IntOrPair, stride: Pair, dilation: Pair) -> Pair:
    """Return it as a pair; ValueError unless it is smaller than the stride or the dilation."""
    added = pair("output_padding", output_padding, 0)
    for axis in (0, 1):
        if added[axis] >= max(stride[axis], dilation[axis]):
            raise ValueError(
                f"output_padding is {output_padding!r}, but must be smaller than the stride "
                f"{stride} or the dilation {dilation} along each axis"
            )
    return added


def conv_transpose2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    output_padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Array:
    """Convolve in the other direction: the gradient of a convolution with respect to its input.

    Each pixel multiplies the kernel, which is added to the output `stride` pixels after that of the
    pixel before. Dumoulin, Visin, "A guide to convolution arithmetic for deep learning",
    arXiv:1603.07285, chapter 4.

    Parameters
    ----------
    x : array_like (N, C, H, W)
        Images.
    weight : array_like (C, FN / groups, KH, KW)
        Filters of the convolution from (N, FN, OH, OW) to (N, C, H, W).
    bias : array_like (FN,), optional
        Added to each feature map.
    stride, dilation
        The window; see the module's introduction.
    padding : int, (h, w), ((top, bottom), (left, right)), "same" or "valid"
        Pixels that are cut off the output. "same" leaves ``H * stride``.
    output_padding : int or (h, w)
        Pixels added to the output at the bottom and on the right; smaller than the stride or the
        dilation.
    groups : int
        Each of as many equal parts of the channels meets its own part of the filters.

    Returns
    -------
    ndarray (N, FN, OH, OW)
        ``OH = (H - 1) * stride - top - bottom + dilation * (KH - 1) + output_padding + 1``

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[[[1.0, 2.0]]]])
    >>> conv_transpose2d(x, np.ones((1, 1, 1, 3)), stride=2).ravel()
    array([1., 1., 3., 2., 2.])
    """
    x, weight = array("x", x, 4), array("weight", weight, 4)
    how = _fitting(x, weight, stride, padding, output_padding, dilation, groups)
    filters = weight.shape[1] * groups
    if bias is None:
        compute, result = compute_dtypes(x, weight)
    else:
        bias = array("bias", bias, 1)
        require_shape("bias", bias, (filters,))
        compute, result = compute_dtypes(x, weight, bias)
        bias = contiguous(bias, compute)
    shape = (len(x), filters, *how.out_size)
    require_memory("the output's shape", shape)
    xc = contiguous(_completed(x, how), compute)
    y = _core.conv_transpose2d(xc, contiguous(weight, compute), bias, shape, how.conv)
    return restore(y, result)


def conv_transpose2d_backward(
    grad: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    output_padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    input_grad: bool = True,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a transposed convolution.

    Parameters
    ----------
    grad : array_like (N, FN, OH, OW)
        Gradient of the loss with respect to the output.
    x, weight, stride, padding, output_padding, dilation, groups
        As :func:`conv_transpose2d` took them.
    input_grad : bool
        False leaves out dx, which a first layer does not need.

    Returns
    -------
    dx : ndarray (N, C, H, W) or None
    dweight : ndarray (C, FN / groups, KH, KW)
    dbias : ndarray (FN,)
    """
    grad, x, weight = array("grad", grad, 4), array("x", x, 4), array("weight", weight, 4)
    how = _fitting(x, weight, stride, padding, output_padding, dilation, groups)
    require_shape("grad", grad, (len(x), weight.shape[1] * groups, *how.out_size))
    compute, result = compute_dtypes(grad, x, weight)
    grad = contiguous(grad, compute)
    dx = None
    if input_grad:
        dx = restore(_input_grad(grad, contiguous(weight, compute), x.shape, how), result)
    xc = contiguous(_completed(x, how), compute)
    dweight, dbias = _core.conv_transpose2d_backward_weight(grad, xc, how.conv)
    return dx, restore(dweight, result), restore(dbias, result)


def conv_transpose2d_input_grad(
    grad: Array,
    weight: Array,
    x_shape: tuple[int, ...],
    stride: IntOrPair,
    padding: Padding,
    output_padding: IntOrPair,
    dilation: IntOrPair,
    groups: int,
) -> Array:
    """The dx of :func:`conv_transpose2d_backward` alone, for images of a shape."""
    how = transposed(x_shape[2:], weight.shape, stride, padding, output_padding, dilation, groups)
    require_shape("grad", grad, (x_shape[0], weight.shape[1] * groups, *how.out_size))
    compute, result = compute_dtypes(grad, weight)
    grad, weight = contiguous(grad, compute), contiguous(weight, compute)
    return restore(_input_grad(grad, weight, x_shape, how), result)


def _input_grad(grad: Array, weight: Array, x_shape: tuple[int, ...], how: Transposed) -> Array:
    dx = _core.conv2d(grad, weight, None, how.conv)
    return contiguous(dx[:, :, : x_shape[2], : x_shape[3]], grad.dtype)


def _fitting(
    x: Array,
    weight: Array,
    stride: IntOrPair,
    padding: Padding,
    output_padding: IntOrPair,
    dilation: IntOrPair,
    groups: int,
) -> Transposed:
    groups = integer("groups", groups, 1)
    if 0 in weight.shape:
        raise ValueError(f"weight has shape {weight.shape}, but none of its sizes may be 0")
    if x.shape[1] != weight.shape[0]:
        raise ValueError(
            f"x has {x.shape[1]} channels, but weight {weight.shape} takes {weight.shape[0]}"
        )
    if weight.shape[0] % groups:
        raise ValueError(f"groups is {groups}, but must divide the {x.shape[1]} channels of x")
    if 0 in x.shape[2:]:
        raise ValueError(f"x has shape {x.shape}, but its images must have pixels")
    settings = stride, padding, output_padding, dilation, groups
    return transposed(x.shape[2:], weight.shape, *settings)


def _completed(x: Array, how: Transposed) -> Array:
    """Images with the rows and columns that their convolution has and they have not."""
    rows, columns = how.missing
    return zero_pad2d(x, ((0, rows), (0, columns))) if rows or columns else x
