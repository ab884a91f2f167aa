"""Several steps in one native call, for :mod:`pocketcnn.network.fusion`."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    IntOrPair,
    Padding,
    Pair,
    Sides,
    array,
    compute_dtypes,
    contiguous,
    output_size,
    require_shape,
    restore,
    window,
)
from pocketcnn.functional._conv2d import check_convolution

KnownNorm: TypeAlias = tuple[Array, Array, Array, Array, float, bool]
"""gamma, beta, mean, variance, eps, and whether a ReLU follows."""
ConvGeometry: TypeAlias = tuple[Pair, Sides, Pair, int]
PoolGeometry: TypeAlias = tuple[Pair, Pair, Sides, bool]
AverageGeometry: TypeAlias = tuple[str, PoolGeometry, bool]
"""The activation, the pooling, and whether its divisor counts the padding."""


def conv_geometry(
    shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair,
    groups: int,
) -> tuple[ConvGeometry, tuple[int, ...]]:
    """The convolution's settings for images of (C, H, W), and the shape of its feature maps."""
    geometry = window((1, *shape), weight_shape[2:], stride, padding, dilation)
    maps = (weight_shape[0], *output_size(shape[1:], geometry))
    return (*geometry[1:], groups), maps


def pool_geometry(
    shape: tuple[int, ...],
    kernel_size: IntOrPair,
    stride: IntOrPair | None,
    padding: Padding,
    ceil_mode: bool,
) -> PoolGeometry:
    """The pooling's settings for feature maps of (C, H, W)."""
    step = kernel_size if stride is None else stride
    kernel, steps, sides, _ = window((1, *shape), kernel_size, step, padding, ceil_mode=ceil_mode)
    return kernel, steps, sides, ceil_mode


def _operands(
    x: Array, weight: Array, bias: Array | None, conv: ConvGeometry
) -> tuple[Array, Array, Array | None]:
    """The operands of a convolution that fit each other, in the dtype to compute in."""
    x, weight = array("x", x, 4), array("weight", weight, 4)
    check_convolution(x, weight, conv[3])
    if bias is None:
        dtype, _ = compute_dtypes(x, weight)
        return contiguous(x, dtype), contiguous(weight, dtype), None
    require_shape("bias", bias, weight.shape[:1])
    dtype, _ = compute_dtypes(x, weight, bias)
    return contiguous(x, dtype), contiguous(weight, dtype), contiguous(bias, dtype)


def conv_block(
    x: Array,
    weight: Array,
    bias: Array | None,
    conv: ConvGeometry,
    pool: PoolGeometry | None,
    norm: KnownNorm | None = None,
) -> tuple[Array, Array | None]:
    """Compute ``max_pool2d(relu(conv2d(x)))``, or without `pool` ``relu(conv2d(x))``.

    Arrays are as :class:`pocketcnn.layers.Conv2d` has them. Where `norm` is given, its batch
    normalisation takes the place of the ReLU.

    Returns
    -------
    y : ndarray (N, FN, OH, OW)
    argmax : ndarray of int32 (N, FN, OH, OW) or None
    """
    x, weight, bias = _operands(x, weight, bias, conv)
    if norm is not None:
        gamma, beta, mean, variance, eps, rectify = norm
        gamma, beta = contiguous(gamma, x.dtype), contiguous(beta, x.dtype)
        mean, variance = (contiguous(a, np.dtype(np.float64)) for a in (mean, variance))
        norm = gamma, beta, mean, variance, eps, rectify
    return _core.conv_block(x, weight, bias, conv, pool, norm)


def conv_block_backward(
    grad: Array,
    y: Array,
    argmax: Array | None,
    x: Array,
    weight: Array,
    conv: ConvGeometry,
    pool: PoolGeometry | None,
    input_grad: bool,
    *,
    dx_before_relu: bool = False,
    dy_before_relu: bool = False,
) -> tuple[Array | None, Array, Array]:
    """Gradients of :func:`conv_block` from what it took and returned.

    Parameters
    ----------
    dx_before_relu : bool
        x came out of a ReLU, and dx is to be the gradient of what went in.
    dy_before_relu : bool
        `grad` is already the gradient of what went into the block's own ReLU.

    Returns
    -------
    dx : ndarray (N, C, H, W) or None
    dweight, dbias : ndarray
    """
    dtype = y.dtype
    grad, x, weight = (contiguous(a, dtype) for a in (grad, x, weight))
    return _core.conv_block_backward(
        grad, y, argmax, x, weight, conv, pool, input_grad, dx_before_relu, dy_before_relu
    )


def averaged_conv(
    x: Array, weight: Array, bias: Array | None, conv: ConvGeometry, average: AverageGeometry
) -> tuple[Array, Array]:
    """Compute ``avg_pool2d(activation(conv2d(x)))``.

    Arrays are as :class:`pocketcnn.layers.Conv2d` has them.

    Returns
    -------
    y : ndarray (N, FN, OH, OW)
    maps : ndarray (N, FN, H, W)
        What was pooled, for :func:`averaged_conv_backward`.
    """
    x, weight, bias = _operands(x, weight, bias, conv)
    return _core.averaged_conv(x, weight, bias, conv, average)


def averaged_conv_backward(
    grad: Array,
    maps: Array,
    x: Array,
    weight: Array,
    conv: ConvGeometry,
    average: AverageGeometry,
    input_grad: bool,
) -> tuple[Array | None, Array, Array]:
    """Gradients of :func:`averaged_conv` from what it took and returned.

    Returns
    -------
    dx : ndarray (N, C, H, W) or None
    dweight, dbias : ndarray
    """
    dtype = maps.dtype
    grad, x, weight = (contiguous(a, dtype) for a in (grad, x, weight))
    return _core.averaged_conv_backward(grad, maps, x, weight, conv, average, input_grad)


def add(a: Array, b: Array, *, rectify: bool = False) -> Array:
    """Compute ``a + b``, or ``relu(a + b)``, for arrays of one shape."""
    require_shape("b", b, a.shape)
    compute, result = compute_dtypes(a, b)
    return restore(_core.add(contiguous(a, compute), contiguous(b, compute), rectify), result)
