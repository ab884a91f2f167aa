"""A convolution and the steps behind it in one native call, for the networks' fused stages."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

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
)
from pocketcnn.functional._conv2d import convolution
from pocketcnn.functional._pool2d import pooling

ConvBlock: TypeAlias = _core.ConvBlock

_FLOAT64 = np.dtype(np.float64)


class KnownNorm(NamedTuple):
    """Batch normalisation by statistics that are known."""

    gamma: Array
    beta: Array
    mean: Array
    variance: Array
    eps: float


class BlockPool(NamedTuple):
    """Max or average pooling, with the settings that the layers have."""

    kind: Literal["max", "average"]
    kernel_size: IntOrPair
    stride: IntOrPair | None
    padding: Padding
    ceil_mode: bool = False
    count_include_pad: bool = True


def make_conv_block(
    shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair,
    groups: int,
    activation: str | None,
    pool: BlockPool | None,
    parameter: float = 0.0,
) -> ConvBlock:
    """Describe a convolution of images (C, H, W) and the steps behind it.

    `activation` is a function by its name in the core, and `parameter` what it has.
    """
    images = (1, *shape)
    conv = convolution(images, weight_shape, stride, padding, dilation, groups)
    block_pool = None
    if pool is not None:
        settings = pool.kernel_size, pool.stride, pool.padding
        pool2d = pooling(conv.output_shape(images), *settings, ceil_mode=pool.ceil_mode)
        block_pool = _core.BlockPool(pool2d, _core.PoolKind[pool.kind], pool.count_include_pad)
    function = None if activation is None else _core.Activation[activation]
    return _core.ConvBlock(conv, function, block_pool, parameter)


def share_relu(before: ConvBlock, after: ConvBlock) -> tuple[ConvBlock, ConvBlock]:
    """Let the gradient of the block `after` do the part of the ReLU that `before` ends in."""
    first = before.conv, before.activation, before.pool, before.parameter
    second = after.conv, after.activation, after.pool, after.parameter
    return (
        _core.ConvBlock(*first, before.dx_before_relu, True),
        _core.ConvBlock(*second, True, after.dy_before_relu),
    )


def conv_block(
    x: Array,
    weight: Array,
    bias: Array | None,
    block: ConvBlock,
    norm: KnownNorm | None = None,
    units: KnownNorm | None = None,
) -> tuple[Array, Array, Array | None]:
    """Compute ``pool(activation(norm(conv2d(units(x)))))``, each step where there is one.

    Arrays are as :class:`pocketcnn.layers.Conv2d` has them. `units` is done while x is read.

    Returns
    -------
    y : ndarray (N, FN, OH, OW)
    activated : ndarray
        What the activation gave, where `y` does not tell enough of it for the gradient; else `y`.
    argmax : ndarray of int32 (N, FN, OH, OW) or None
        Of max pooling.
    """
    x = array("x", x, 4)
    if bias is None:
        dtype, _ = compute_dtypes(x, weight)
    else:
        dtype, _ = compute_dtypes(x, weight, bias)
        bias = contiguous(bias, dtype)
    return _core.conv_block(
        contiguous(x, dtype),
        contiguous(weight, dtype),
        bias,
        block,
        _as_contiguous(norm, dtype),
        _as_contiguous(units, dtype),
    )


def _as_contiguous(norm: KnownNorm | None, dtype: np.dtype[Any]) -> KnownNorm | None:
    if norm is None:
        return None
    gamma, beta, mean, variance, eps = norm
    return KnownNorm(
        contiguous(gamma, dtype),
        contiguous(beta, dtype),
        contiguous(mean, _FLOAT64),
        contiguous(variance, _FLOAT64),
        eps,
    )


def conv_block_backward(
    grad: Array,
    activated: Array,
    argmax: Array | None,
    x: Array,
    weight: Array,
    block: ConvBlock,
    input_grad: bool,
) -> tuple[Array | None, Array, Array]:
    """Gradients of :func:`conv_block` without `norm` from what it took and returned.

    Where ``block.dx_before_relu`` is set, x came out of a ReLU, and dx is the gradient of what went
    in. Where ``block.dy_before_relu`` is, `grad` is already the gradient of what went into the
    block's own ReLU, with which it ends.

    Returns
    -------
    dx : ndarray (N, C, H, W) or None
    dweight, dbias : ndarray
    """
    dtype = activated.dtype
    return _core.conv_block_backward(
        contiguous(grad, dtype),
        activated,
        argmax,
        contiguous(x, dtype),
        contiguous(weight, dtype),
        block,
        input_grad,
    )


def add(a: Array, b: Array, *, rectify: bool = False) -> Array:
    """Compute ``a + b``, or ``relu(a + b)``, for arrays of one shape."""
    require_shape("b", b, a.shape)
    compute, result = compute_dtypes(a, b)
    return restore(_core.add(contiguous(a, compute), contiguous(b, compute), rectify), result)


def add_to(x: Array, y: Array) -> Array:
    """Compute ``x + y``, in y's place if both are of its type."""
    require_shape("y", y, x.shape)
    if x.dtype != y.dtype:
        return add(x, y)
    return _core.add_to(contiguous(x, y.dtype), contiguous(y, y.dtype))
