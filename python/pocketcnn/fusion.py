"""Layers of a network that run as one: decided once, when the network is built.

Fusion changes how a chain is computed, not what: a Conv2d, the ReLU after it and, where one
follows, the MaxPool2d pass a few images at a time through all their steps, so that the feature
maps between them stay in cache. The layers keep their parameters and gradients, and used alone
they are what they always were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol

from pocketcnn.functional.block import (
    conv_block,
    conv_block_backward,
    conv_geometry,
    pool_geometry,
)
from pocketcnn.layers import Array, Conv2d, Layer, MaxPool2d, ReLU, Shape


class Stage(Protocol):
    """One step of a network's computation: a layer, or several that are fused."""

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the output and remember what `backward` needs."""

    def backward(self, grad: Array) -> Array | None:
        """Fill the layers' gradients and return that of the input."""

    def clear(self) -> None:
        """Let go of what `forward` remembered."""


class FusedConv:
    """Conv2d, ReLU and, where given, MaxPool2d as one stage.

    Parameters
    ----------
    conv, pool : Conv2d, MaxPool2d or None
        The layers that the stage stands for, besides the ReLU.
    input_shape : (C, H, W)
    """

    def __init__(self, conv: Conv2d, pool: MaxPool2d | None, input_shape: Shape) -> None:
        self._conv = conv
        self._conv_geometry, maps = conv_geometry(
            input_shape,
            conv.param_shapes["weight"],
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
        )
        self._pool_geometry = (
            None
            if pool is None
            else pool_geometry(maps, pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
        )
        self._saved: tuple[Array, Array, Array | None] | None = None
        self._dx_before_relu = self._dy_before_relu = False

    def follow(self, block: FusedConv) -> None:
        """Do in `backward` the part of the ReLU of the block before this one.

        It then costs no pass over memory: dx is still in cache, and so is x, its ReLU's result.
        """
        self._dx_before_relu = block._dy_before_relu = True

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the block's output for x (N, C, H, W)."""
        params = self._conv.params
        y, argmax = conv_block(
            x, params["weight"], params.get("bias"), self._conv_geometry, self._pool_geometry
        )
        self._saved = x, y, argmax
        return y

    def backward(self, grad: Array) -> Array | None:
        """Fill the convolution's gradients; return dx, or None where nobody needs it."""
        if self._saved is None:
            raise RuntimeError("backward needs a forward before it")
        x, y, argmax = self._saved
        conv = self._conv
        dx, dweight, dbias = conv_block_backward(
            grad,
            y,
            argmax,
            x,
            conv.params["weight"],
            self._conv_geometry,
            self._pool_geometry,
            conv.needs_input_grad,
            dx_before_relu=self._dx_before_relu,
            dy_before_relu=self._dy_before_relu,
        )
        conv.store_grads(dweight, dbias)
        return dx

    def clear(self) -> None:
        """Let go of the input and the output."""
        self._saved = None


def fuse(
    layers: Mapping[str, Layer], shapes: Sequence[Shape]
) -> tuple[tuple[Stage, ...], dict[str, str]]:
    """Turn a chain into stages.

    Parameters
    ----------
    layers : dict of str to Layer
    shapes : sequence of tuple of int
        The input's shape of each layer, without the batch axis.

    Returns
    -------
    stages : tuple of Stage
    notes : dict of str to str
        For the name of each layer that is fused into an earlier one, what it is fused with.
    """
    names, chain = list(layers), list(layers.values())
    stages: list[Stage] = []
    notes: dict[str, str] = {}
    at = 0
    while at < len(chain):
        length = _fused_length(chain[at : at + 3])
        conv = chain[at]
        if length > 1 and isinstance(conv, Conv2d):
            pool = chain[at + 2] if length == 3 else None
            assert pool is None or isinstance(pool, MaxPool2d)
            stages.append(FusedConv(conv, pool, shapes[at]))
            notes.update(dict.fromkeys(names[at + 1 : at + length], f"fused with {names[at]}"))
        else:
            stages.append(conv)
        at += length
    for before, stage in pairwise(stages):
        if isinstance(before, FusedConv) and isinstance(stage, FusedConv):
            stage.follow(before)
    return tuple(stages), notes


def _fused_length(chain: Sequence[Layer]) -> int:
    """How many of these layers, from the first on, make one stage."""
    kinds = [type(layer) for layer in chain]
    if kinds == [Conv2d, ReLU, MaxPool2d]:
        return 3
    return 2 if kinds[:2] == [Conv2d, ReLU] else 1
