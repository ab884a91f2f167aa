"""The stage of a depthwise convolution between two normalisations."""

from __future__ import annotations

from math import inf
from typing import cast

from pocketcnn._arguments import Array
from pocketcnn.functional._conv2d import convolution
from pocketcnn.functional._depthwise_block import (
    BatchNorm,
    DepthwiseBlock,
    depthwise_block,
    depthwise_block_backward,
)
from pocketcnn.layers import BatchNorm2d, Layer
from pocketcnn.network.stages import ConvStage, Update


class DepthwiseStage:
    """Two stages, the second of a depthwise convolution, that share an operation in training.

    Both end in a normalisation, with or without an activation that it does. In training the first
    one's convolution runs by itself, and everything behind it as one operation: channels do not
    meet there, so each passes through all of it while it is in cache. Processes that normalise
    together, and inference, run the two stages one after the other.
    """

    def __init__(self, first: ConvStage, second: ConvStage) -> None:
        self._first, self._second = first, second
        self._conv = second.conv
        self._norms = cast(BatchNorm2d, first.norm), cast(BatchNorm2d, second.norm)
        self.trained: tuple[Layer, ...] = (*first.trained, *second.trained)
        self._saved: tuple[Array, DepthwiseBlock, Array] | None = None

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the output for x (N, C, H, W)."""
        self.clear()
        if not training or any(norm.total is not None for norm in self._norms):
            return self._second.forward(self._first.forward(x, training), training)
        maps = self._first.convolve(x, training)
        block = self._block(maps)
        y, statistics = depthwise_block(maps, block)
        before, behind = self._norms
        before.follow(statistics[0], statistics[1], maps.size // maps.shape[1])
        behind.follow(statistics[2], statistics[3], y.size // y.shape[1])
        self._saved = maps, block, statistics
        return y

    def backward(self, grad: Array, update: Update | None = None) -> Array | None:
        """Fill the layers' gradients; return dx, or None if it is not needed."""
        if self._saved is None:
            return self._first.backward(cast(Array, self._second.backward(grad, update)), update)
        maps, block, statistics = self._saved
        self._saved = None
        dx, *made = depthwise_block_backward(grad, maps, block, statistics)
        del maps
        before, behind = self._norms
        before.grads["weight"], before.grads["bias"] = made[:2]
        self._conv.store_grads(*made[2:4])
        behind.grads["weight"], behind.grads["bias"] = made[4:]
        return self._first.convolve_back(dx)

    def clear(self) -> None:
        """Let go of everything that the stages keep."""
        self._saved = None
        self._first.clear()
        self._second.clear()

    def _block(self, maps: Array) -> DepthwiseBlock:
        conv = self._conv
        weight = conv.params["weight"]
        window = conv.stride, conv.padding, conv.dilation
        return DepthwiseBlock(
            _norm_of(self._first),
            weight,
            conv.params.get("bias"),
            _norm_of(self._second),
            convolution(maps.shape, weight.shape, *window, conv.groups),
        )


def join(first: ConvStage, second: ConvStage) -> DepthwiseStage | None:
    """Make one stage of two, or return None where they do not share an operation."""
    conv = second.conv
    if not conv.groups == conv.in_channels == conv.out_channels:
        return None
    for stage in (first, second):
        if stage.norm is None or stage.behind or any(layer.frozen for layer in stage.trained):
            return None
    return DepthwiseStage(first, second)


def _norm_of(stage: ConvStage) -> BatchNorm:
    """The normalisation that a stage ends in."""
    norm, ceiling = cast(BatchNorm2d, stage.norm), stage.ceiling
    params = norm.params
    return BatchNorm(
        params["weight"], params["bias"], norm.eps, ceiling is not None, ceiling or inf
    )
