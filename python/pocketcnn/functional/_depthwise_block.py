"""A depthwise convolution between two batch normalisations, in training, as one operation."""

from __future__ import annotations

from typing import Any, NamedTuple

from pocketcnn import _core
from pocketcnn._arguments import Array, array, compute_dtypes, contiguous
from pocketcnn.functional._batch_norm import require_two


class BatchNorm(NamedTuple):
    """Normalisation by the batch's own statistics, and a ReLU up to a ceiling if `rectify`."""

    gamma: Array
    beta: Array
    eps: float
    rectify: bool
    ceiling: float


class DepthwiseBlock(NamedTuple):
    """``behind(conv2d(before(x)))``; the convolution has a filter for each channel."""

    before: BatchNorm
    weight: Array
    bias: Array | None
    behind: BatchNorm
    conv: _core.Conv2d


def depthwise_block(x: Array, block: DepthwiseBlock) -> tuple[Array, Array]:
    """Compute the block's output.

    Returns
    -------
    y : ndarray (N, C, OH, OW)
    statistics : ndarray of float64 (4, C)
        Mean and variance of what `before` took, and of what `behind` took.
    """
    x = array("x", x, 4)
    require_two(x, x.size // x.shape[1])
    n, _, height, width = block.conv.output_shape(x.shape)
    if n * height * width == 1:
        raise ValueError(f"x has shape {x.shape}, but training needs two results a channel")
    dtype, _ = compute_dtypes(x, block.weight)
    return _core.depthwise_block(contiguous(x, dtype), *_of_type(block, dtype))


def depthwise_block_backward(
    grad: Array, x: Array, block: DepthwiseBlock, statistics: Array
) -> tuple[Array, ...]:
    """Gradients of :func:`depthwise_block` from what it took and returned; dx takes x's place.

    Returns
    -------
    dx : ndarray, of x's shape
    dgamma, dbeta : ndarray (C,)
        Of `before`.
    dweight : ndarray, of the weight's shape
    dbias : ndarray (C,)
    dgamma, dbeta : ndarray (C,)
        Of `behind`.
    """
    dtype, _ = compute_dtypes(x, block.weight)
    grad, x = contiguous(grad, dtype), contiguous(x, dtype)
    before, weight, bias, behind, conv = _of_type(block, dtype)
    return _core.depthwise_block_backward(grad, x, before, weight, bias, behind, conv, statistics)


def _of_type(block: DepthwiseBlock, dtype: Any) -> DepthwiseBlock:
    """The block with its arrays as the core takes them."""
    before, weight, bias, behind, conv = block
    return DepthwiseBlock(
        _norm_of_type(before, dtype),
        contiguous(weight, dtype),
        None if bias is None else contiguous(bias, dtype),
        _norm_of_type(behind, dtype),
        conv,
    )


def _norm_of_type(norm: BatchNorm, dtype: Any) -> BatchNorm:
    gamma, beta = contiguous(norm.gamma, dtype), contiguous(norm.beta, dtype)
    return norm._replace(gamma=gamma, beta=beta)
