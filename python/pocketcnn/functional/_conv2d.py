"""Convolution and its gradients."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    IntOrPair,
    Padding,
    array,
    compute_dtypes,
    contiguous,
    integer,
    require_shape,
    restore,
)
from pocketcnn._core import ConvAlgorithm, ConvPass
from pocketcnn.functional._window2d import remembered, window2d

PASSES = tuple(ConvPass)
_FORWARD, _BACKWARD, _BACKWARD_WEIGHT = PASSES[:1], PASSES[1:], PASSES[2:]


def convolution(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair,
    groups: int,
    algorithm: str = "auto",
    passes: tuple[ConvPass, ...] = PASSES,
) -> _core.Conv2d:
    """The convolution of images (N, C, H, W) by filters, checked to fit them.

    Raises
    ------
    TypeError, ValueError
        If the shapes and `groups` do not fit each other, if :func:`window2d` refuses the window, or
        if `algorithm` names no algorithm of the passes.
    """
    settings = stride, padding, dilation, groups, algorithm
    return _convolution(settings, x_shape[1:], weight_shape, passes)


@remembered
def _convolution(
    settings: tuple[Any, ...],
    image: tuple[int, ...],
    weight_shape: tuple[int, ...],
    passes: tuple[ConvPass, ...],
) -> _core.Conv2d:
    stride, padding, dilation, groups, algorithm = settings
    groups = _fitting_groups(image[0], weight_shape, groups)
    named = _algorithms(passes)
    if not isinstance(algorithm, str) or algorithm not in named:
        raise ValueError(
            f"algorithm is {algorithm!r}, but must be one of {tuple(named)}: "
            f"the ways of {' and '.join(one.name for one in passes)}"
        )
    window = window2d(image[1:], weight_shape[2:], stride, padding, dilation)
    return _core.Conv2d(window, weight_shape[0], groups, named[algorithm])


def _fitting_groups(channels: int, weight_shape: tuple[int, ...], groups: int) -> int:
    """Return `groups`; raise ValueError unless channels, weight and groups fit each other."""
    groups = integer("groups", groups, 1)
    filters, per_group = weight_shape[:2]
    if 0 in weight_shape:
        raise ValueError(f"weight has shape {weight_shape}, but none of its sizes may be 0")
    if channels != per_group * groups:
        takes = f"{per_group}" if groups == 1 else f"{per_group} in {groups} groups"
        raise ValueError(f"x has {channels} channels, but weight {weight_shape} takes {takes}")
    if filters % groups:
        raise ValueError(f"groups {groups} must divide the {filters} filters of weight")
    return groups


@cache
def _algorithms(passes: tuple[ConvPass, ...]) -> dict[str, ConvAlgorithm]:
    """The names that the passes know: of their algorithms, and of families of them."""
    rows = [row for one in passes for row in _core.conv2d_ways(one)]
    asked = [ConvAlgorithm.auto, *(a for row in rows for a in (row.algorithm, row.family))]
    return {algorithm.name: algorithm for algorithm in asked}


def conv2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Array:
    """Convolve images with filters (cross-correlation, as every deep-learning library has it).

    Parameters
    ----------
    x : array_like (N, C, H, W)
        Images.
    weight : array_like (FN, C / groups, KH, KW)
        Filters.
    bias : array_like (FN,), optional
        Added to each feature map.
    stride, padding, dilation
        The window; see the module's introduction.
    groups : int
        Each of as many equal parts of the channels meets its own part of the filters.
    algorithm : {"auto", "im2col", "winograd"} or the name of a way
        How it is computed. "im2col" is a matrix product of whichever kind, for every convolution,
        and rounds least. "winograd" needs fewer multiplications: for a stride or a dilation but not
        both, and kernels two to five strides long, or with stride 1 up to twelve; its errors are a
        few times larger, and relative to the largest of the 6 x 6 pixels of a tile, by about ten
        epsilons times the largest weight: in float32 a pixel of 10**6 moves results up to five
        pixels away, whose windows do not see it, by up to that weight. What is not finite, or so
        large that it overflows on the way, reaches the windows that see it and no others, whichever
        the algorithm. "auto" takes the first way that fits and pays; :func:`conv2d_plan` tells
        which, and any name that it gives can be asked for. A ValueError says why one does not fit.

    Returns
    -------
    ndarray (N, FN, OH, OW)
        Feature maps.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> conv2d(x, np.ones((1, 1, 3, 3)))[0, 0]
    array([[45., 54.],
           [81., 90.]])
    """
    x, weight = array("x", x, 4), array("weight", weight, 4)
    conv = convolution(
        x.shape, weight.shape, stride, padding, dilation, groups, algorithm, _FORWARD
    )
    if bias is None:
        compute, result = compute_dtypes(x, weight)
    else:
        bias = array("bias", bias, 1)
        require_shape("bias", bias, (weight.shape[0],))
        compute, result = compute_dtypes(x, weight, bias)
        bias = contiguous(bias, compute)
    y = _core.conv2d(contiguous(x, compute), contiguous(weight, compute), bias, conv)
    return restore(y, result)


def conv2d_backward(
    grad: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    input_grad: bool = True,
    algorithm: str = "auto",
) -> tuple[Array | None, Array, Array]:
    """Gradients of a convolution.

    Parameters
    ----------
    grad : array_like (N, FN, OH, OW)
        Gradient of the loss with respect to the convolution's output.
    x, weight, stride, padding, dilation, groups
        As :func:`conv2d` took them.
    input_grad : bool
        False leaves out dx, which a first layer does not need.
    algorithm : {"auto", "im2col", "winograd"} or the name of a way
        As :func:`conv2d` takes it, but of the ways of these two passes. Where one of them has no
        way of this name, it takes the first that fits and pays.

    Returns
    -------
    dx : ndarray (N, C, H, W) or None
    dweight : ndarray (FN, C / groups, KH, KW)
    dbias : ndarray (FN,)
    """
    window = stride, padding, dilation, groups
    dx, dweight, dbias = conv2d_gradients(grad, x, weight, *window, input_grad, algorithm)
    return dx, dweight, cast(Array, dbias)


def conv2d_gradients(
    grad: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair,
    groups: int,
    input_grad: bool,
    algorithm: str = "auto",
    bias_grad: bool = True,
) -> tuple[Array | None, Array, Array | None]:
    """Do as :func:`conv2d_backward`, which reads `grad` once more for a gradient of the bias."""
    grad, x, weight = array("grad", grad, 4), array("x", x, 4), array("weight", weight, 4)
    passes = _BACKWARD if input_grad else _BACKWARD_WEIGHT
    conv = convolution(x.shape, weight.shape, stride, padding, dilation, groups, algorithm, passes)
    require_shape("grad", grad, conv.output_shape(x.shape))
    compute, result = compute_dtypes(grad, x, weight)
    grad, x, weight = (contiguous(a, compute) for a in (grad, x, weight))
    dx, dweight, dbias = _core.conv2d_backward(grad, x, weight, conv, input_grad, bias_grad)
    return (
        None if dx is None else restore(dx, result),
        restore(dweight, result),
        None if dbias is None else restore(dbias, result),
    )


def conv2d_input_grad(
    grad: Array,
    weight: Array,
    x_shape: tuple[int, ...],
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair,
    groups: int,
) -> Array:
    """The dx of :func:`conv2d_backward` alone, for images of a shape."""
    conv = convolution(x_shape, weight.shape, stride, padding, dilation, groups)
    require_shape("grad", grad, conv.output_shape(x_shape))
    compute, result = compute_dtypes(grad, weight)
    grad, weight = contiguous(grad, compute), contiguous(weight, compute)
    return restore(_core.conv2d_backward_input(grad, weight, x_shape, conv), result)
