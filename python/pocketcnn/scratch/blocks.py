"""How a network of this package passes through its layers: some of them in one native call."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn import functional as F
from pocketcnn._arguments import Array, array, compute_dtypes, contiguous, restore
from pocketcnn.functional._conv_block import (
    BlockPool,
    ConvBlock,
    conv_block,
    conv_block_backward,
    make_conv_block,
)
from pocketcnn.network.fusion import BlockKinds, find_block
from pocketcnn.scratch.attributes import Later
from pocketcnn.scratch.checks import recall
from pocketcnn.scratch.convolution import Convolution, Pooling, window_of
from pocketcnn.scratch.holders import Layer, Visit, vars_of
from pocketcnn.scratch.layers import Affine, Relu


class ConvStage:
    """Convolution, Relu and, where one follows, Pooling: a few images at a time through all.

    The feature maps before a Pooling never exist as a whole. What the layers by themselves would
    have kept of them, such as ``Relu.mask``, is computed when it is read: a layer's own
    ``backward`` does.
    """

    def __init__(self, conv: Convolution, relu: Relu, pool: Pooling | None) -> None:
        self._conv, self._relu, self._pool = conv, relu, pool
        self._kept: tuple[Array, Array, ConvBlock, Array, Array | None, Array] | None = None

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the output (N, FN, OH, OW) of x (N, C, H, W)."""
        conv = self._conv
        x, W, b = conv._take(x)
        if x.shape[1] != W.shape[1]:
            raise ValueError(f"x has {x.shape[1]} channels, but W {W.shape} takes {W.shape[1]}")
        compute, result = compute_dtypes(x, W, b)
        x = contiguous(x, compute)
        # Copies, for what is computed later shall not see the next step of an optimiser.
        W, b = (np.array(a, compute, order="C") for a in (W, b))
        block = self._block(x.shape[1:], W.shape)
        y, activated, argmax = conv_block(x, W, b, block)
        out = restore(y, result)
        self._kept = x, W, block, activated, argmax, out
        if self._pool is None:
            self._relu._keep(out)
        else:
            maps = Later(_rectified_maps, x, W, b, conv.stride, conv.pad, result)
            self._relu._keep(maps)
            self._pool._keep(maps, Later(_winners, maps, *window_of(self._pool)))
        return out

    def backward(self, dout: npt.ArrayLike, input_grad: bool = True) -> Array | None:
        """Fill the convolution's dW and db; return dx, or None without `input_grad`."""
        x, W, block, activated, argmax, out = recall(self._kept)
        conv, result = self._conv, out.dtype
        dx, dW, db = conv_block_backward(
            array("dout", dout, 4), activated, argmax, x, W, block, input_grad
        )
        conv.dW, conv.db = restore(dW, result), restore(db, result)
        return None if dx is None else restore(dx, result)

    def _block(self, shape: tuple[int, ...], weight_shape: tuple[int, ...]) -> ConvBlock:
        conv, pool = self._conv, self._pool
        pooling = None
        if pool is not None:
            pooling = BlockPool("max", (pool.pool_h, pool.pool_w), pool.stride, pool.pad)
        return make_conv_block(shape, weight_shape, conv.stride, conv.pad, 1, 1, "relu", pooling)


def _rectified_maps(
    x: Array, W: Array, b: Array, stride: int, pad: int, dtype: np.dtype[Any]
) -> Array:
    return restore(F.relu(F.conv2d(x, W, b, stride, pad)), dtype)


def _winners(maps: Array, size: tuple[int, int], stride: int, pad: int) -> Array:
    """As a Pooling by itself finds them; the block's own are of the maps before the Relu."""
    return F.max_pool2d(maps, size, stride, pad)[1]


_BLOCK = BlockKinds({Convolution}, (), {Relu}, {Pooling})


def stages(layers: Iterable[Layer]) -> list[Layer]:
    """Put what a ConvStage can compute into one, and leave the other layers as they are.

    A layer that comes more than once is a `Visit` each time.
    """
    rest = list(layers)
    times = Counter(map(id, rest))
    sums: dict[int, dict[tuple[int, str], Array]] = {}
    found: list[Layer] = []

    def kind_of(layer: Layer) -> type | None:
        return _kind(layer) if times[id(layer)] == 1 else None

    while rest:
        first, length = rest[0], 1
        if block := find_block(rest, _BLOCK, kind_of):
            found.append(ConvStage(block.conv, block.activation, block.pool))
            length = block.length
        elif times[id(first)] > 1:
            found.append(Visit(first, sums.setdefault(id(first), {})))
        else:
            found.append(first)
        rest = rest[length:]
    return found


def _kind(layer: Layer) -> type | None:
    """The layer's class, unless it has a forward or backward of its own."""
    return None if {"forward", "backward"} & vars_of(layer).keys() else type(layer)


def forward(stage: Layer, x: Any, train_flg: bool) -> Any:
    """Pass x through a stage, in training or not where the stage knows a difference."""
    if isinstance(stage, Visit):
        out = forward(stage.layer, x, train_flg)
        stage.remember()
        return out
    return pass_on(stage.forward, x, train_flg)


def pass_on(function: Callable[..., Any], x: Any, train_flg: bool) -> Any:
    """Call a forward or a predict, with `train_flg` if it takes that."""
    if _takes_flag(getattr(function, "__func__", function)):
        return function(x, train_flg=train_flg)
    return function(x)


@lru_cache(maxsize=64)
def _takes_flag(function: Callable[..., Any]) -> bool:
    """Whether a function is told if it is a step of training, as Dropout's forward is."""
    try:
        return "train_flg" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable that has no signature
        return False


# A first layer need not compute the gradient of its input.
_WITHOUT_INPUT_GRAD: set[type | None] = {Affine, ConvStage, Convolution}


def backward(stages: Iterable[Layer], dout: Any) -> None:
    """Pass a gradient back through stages, from the last to the first."""
    waiting = list(stages)
    while len(waiting) > 1:
        dout = waiting.pop().backward(dout)
    for first in waiting:
        if _kind(first) in _WITHOUT_INPUT_GRAD:
            first.backward(dout, input_grad=False)
        else:
            first.backward(dout)
