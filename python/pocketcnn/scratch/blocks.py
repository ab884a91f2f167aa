"""How a network of this package passes through its layers: some of them in one native call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy.typing as npt

from pocketcnn.arguments import Array, array, compute_dtypes, contiguous, restore
from pocketcnn.functional.block import (
    ConvGeometry,
    PoolGeometry,
    conv_block,
    conv_block_backward,
    conv_geometry,
    pool_geometry,
)
from pocketcnn.scratch.checks import recall
from pocketcnn.scratch.convolution import Convolution, Pooling
from pocketcnn.scratch.layers import Relu

Layer: TypeAlias = Any
"""Whatever has ``forward(x)`` and ``backward(dout)``: a layer of ours or of the user."""


class ConvBlock:
    """Convolution, Relu and, where one follows, Pooling: a few images at a time through all.

    The feature maps before a Pooling never exist as a whole. `Relu.out` and `Pooling.x` are
    therefore None after a pass; all else is as the layers by themselves would leave it.
    """

    def __init__(self, conv: Convolution, relu: Relu, pool: Pooling | None) -> None:
        self._conv, self._relu, self._pool = conv, relu, pool
        self._kept: tuple[Array, Array, Array | None, Array, Array] | None = None

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the output (N, FN, OH, OW) of x (N, C, H, W)."""
        conv, relu, pool = self._conv, self._relu, self._pool
        conv.x = array("x", x, 4)
        if conv.x.shape[1] != conv.W.shape[1]:
            raise ValueError(
                f"x has {conv.x.shape[1]} channels, but W {conv.W.shape} takes {conv.W.shape[1]}"
            )
        compute, result = compute_dtypes(conv.x, conv.W, conv.bias)
        x, W, b = (contiguous(a, compute) for a in (conv.x, conv.W, conv.bias))
        y, argmax = conv_block(x, W, b, *self._geometry())
        self._kept = x, W, argmax, y, restore(y, result)
        if pool is None:
            relu.out = self._kept[-1]
        else:
            relu.out, pool.x, pool.winners = None, None, argmax
        return self._kept[-1]

    def backward(self, dout: npt.ArrayLike, input_grad: bool = True) -> Array | None:
        """Fill the convolution's dW and db; return dx, or None without `input_grad`."""
        x, W, argmax, y, out = recall(self._kept)
        conv, result = self._conv, out.dtype
        dx, dW, db = conv_block_backward(
            array("dout", dout, 4), y, argmax, x, W, *self._geometry(), input_grad
        )
        conv.dW, conv.db = restore(dW, result), restore(db, result)
        return None if dx is None else restore(dx, result)

    def _geometry(self) -> tuple[ConvGeometry, PoolGeometry | None]:
        conv, pool = self._conv, self._pool
        shape = recall(conv.x).shape[1:]
        geometry, maps = conv_geometry(shape, conv.W.shape, conv.stride, conv.pad, 1, 1)
        if pool is None:
            return geometry, None
        window = (pool.pool_h, pool.pool_w)
        return geometry, pool_geometry(maps, window, pool.stride, pool.pad, False)


def stages(layers: Iterable[Layer]) -> list[Layer]:
    """Put what a ConvBlock can compute into one, and leave the other layers as they are."""
    found: list[Layer] = []
    rest = list(layers)
    while rest:
        kinds = [type(layer) for layer in rest[:3]]
        if kinds[:2] == [Convolution, Relu]:
            length = 3 if kinds[2:] == [Pooling] else 2
            found.append(ConvBlock(rest[0], rest[1], rest[2] if length == 3 else None))
        else:
            length = 1
            found.append(rest[0])
        rest = rest[length:]
    return found
