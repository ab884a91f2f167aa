"""How one number of a layer came about: the numbers that it was made of, and the sum of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketcnn import functional as F
from pocketcnn._arguments import Array
from pocketcnn.functional._window2d import window2d
from pocketcnn.inspection import receptive_field
from pocketcnn.layers import (
    ELU,
    GELU,
    AvgPool2d,
    BatchNorm2d,
    Clip,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    HardSigmoid,
    HardSwish,
    LeakyReLU,
    Linear,
    MaxPool2d,
    Normalize,
    PReLU,
    ReLU,
    ReLU6,
    ScaleShift,
    Sigmoid,
    SiLU,
    Tanh,
)
from pocketcnn.layers.merge import Merge
from pocketcnn.live.anatomy import find_layer, shape_before_flattening
from pocketcnn.network.net import ConvNet

# Layers of which a number is a function of the one in its place.
POINTWISE = (
    *(BatchNorm2d, Clip, Dropout, ELU, GELU, HardSigmoid, HardSwish, LeakyReLU, Normalize, PReLU),
    *(ReLU, ReLU6, ScaleShift, Sigmoid, SiLU, Tanh),
)

Values = Mapping[str, Array]
"""What every layer gives for one image, without the batch axis; "input" is the image."""


class Explanation(NamedTuple):
    """One number, and where it comes from.

    Attributes
    ----------
    about : dict
        `value`; `kind`: "product" (of `patch` and `weight`, plus `bias`), "largest" or "mean" (of
        `patch`), "point" (a function of the number `before`), "merge" (of the numbers `parts`, by
        the names of layers) or "other"; `field`, the box (top, left, bottom, right) of the image
        that it depends on; for a "product" `source`, the layer that the patch is cut from, and
        `first`, the first of its channels, and `corner`, where it begins.
    arrays : dict of ndarray
        For those kinds `patch` and `weight` (C, h, w), and `inside` (h, w), 0 in the padding.
    """

    about: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def explain(net: ConvNet, values: Values, layer: str, place: Sequence[int]) -> Explanation:
    """Explain a number of a layer.

    Parameters
    ----------
    net : ConvNet
    values : mapping of str to ndarray
        What every layer gives for the image.
    layer : str
    place : sequence of int
        Channel, row and column, or the index of a layer without maps.

    Raises
    ------
    LookupError
        There is no such layer or place.
    """
    its = find_layer(net, layer)
    at = _checked_place(values[layer], place)
    sources = net.graph.inputs[layer]
    before = values[sources[0]]
    about: dict[str, Any] = {"value": values[layer][at], "source": sources[0]}
    arrays: dict[str, NDArray[Any]] = {}
    if isinstance(its, Conv2d):
        found, arrays = _convolution(its, before, at)
    elif isinstance(its, Linear):
        found, arrays = _row_of_weights(its, before, at, shape_before_flattening(net, sources[0]))
    elif isinstance(its, (MaxPool2d, AvgPool2d)):
        found, arrays = _pooling(its, before, at)
    elif isinstance(its, (GlobalMaxPool2d, GlobalAvgPool2d)):
        found, arrays = _whole_map(its, before, at)
    elif isinstance(its, Merge):
        found = {"kind": "merge", "parts": _parts(its, sources, values, at)}
    elif isinstance(its, POINTWISE):
        found = {"kind": "point", "before": before[at]}
    else:
        found = {"kind": "other"}
    row, column = at[1:] if len(at) == 3 else (0, 0)
    about["field"] = receptive_field(net, layer).box(row, column)
    return Explanation({**about, **found}, arrays)


def _checked_place(values: Array, place: Sequence[int]) -> tuple[int, ...]:
    at = tuple(place)
    if len(at) != values.ndim or any(
        not 0 <= index < size for index, size in zip(at, values.shape, strict=True)
    ):
        raise LookupError(f"place is {at}, but the layer gives {values.shape}")
    return at


def _convolution(
    layer: Conv2d, before: Array, at: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The row of the column matrix for this output, and the filter."""
    channel, row, column = at
    weight = layer.params["weight"][channel]
    taken = len(weight)
    first = channel // (layer.out_channels // layer.groups) * taken
    padding, dilation = layer.padding, layer.dilation
    window = window2d(before.shape[1:], layer.kernel_size, layer.stride, padding, dilation)
    patch, inside, corner = _cut(before[first : first + taken], window, row, column)
    bias = layer.params.get("bias")
    about = {
        "kind": "product",
        "bias": 0.0 if bias is None else bias[channel],
        "first": first,
        "corner": corner,
    }
    return about, {"patch": patch, "weight": weight, "inside": inside}


def _cut(maps: Array, window: Any, row: int, column: int) -> tuple[Array, Array, tuple[int, int]]:
    """Cut out what a window sees at a place: (C, KH, KW), where it is inside, its corner."""
    kernel, stride, dilation = window.kernel_size, window.stride, window.dilation
    top, bottom, left, right = window.padding
    sides = ((top, bottom + kernel[0] * dilation[0]), (left, right + kernel[1] * dilation[1]))
    spans = [dilation[axis] * (kernel[axis] - 1) + 1 for axis in (0, 1)]
    corner = row * stride[0], column * stride[1]
    rows, columns = (slice(corner[axis], corner[axis] + spans[axis]) for axis in (0, 1))
    padded = np.pad(maps, ((0, 0), *sides))[:, rows, columns]
    inside = np.pad(np.ones(maps.shape[1:], np.uint8), sides)[rows, columns]
    # The cut is as large as the window, so that its column matrix has one row.
    patch = F.im2col(padded[np.newaxis], kernel, dilation=dilation).reshape(len(maps), *kernel)
    seen = inside[:: dilation[0], :: dilation[1]]
    return patch, seen, (corner[0] - top, corner[1] - left)


def _row_of_weights(
    layer: Linear, before: Array, at: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    maps = shape if len(shape) == 3 else (before.size, 1, 1)
    bias = layer.params.get("bias")
    about = {
        "kind": "product",
        "bias": 0.0 if bias is None else bias[at[0]],
        "first": 0,
        "corner": (0, 0),
    }
    weight = layer.params["weight"][at[0]].reshape(maps)
    inside = np.ones(maps[1:], np.uint8)
    return about, {"patch": before.reshape(maps), "weight": weight, "inside": inside}


def _pooling(
    layer: MaxPool2d | AvgPool2d, before: Array, at: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    channel, row, column = at
    stride = layer.kernel_size if layer.stride is None else layer.stride
    window = window2d(
        before.shape[1:], layer.kernel_size, stride, layer.padding, ceil_mode=layer.ceil_mode
    )
    patch, inside, corner = _cut(before[channel : channel + 1], window, row, column)
    kind = "largest" if isinstance(layer, MaxPool2d) else "mean"
    about = {"kind": kind, "first": channel, "corner": corner}
    return about, {"patch": patch, "inside": inside}


def _whole_map(
    layer: GlobalMaxPool2d | GlobalAvgPool2d, before: Array, at: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    kind = "largest" if isinstance(layer, GlobalMaxPool2d) else "mean"
    patch = before[at[0] : at[0] + 1]
    about = {"kind": kind, "first": at[0], "corner": (0, 0)}
    return about, {"patch": patch, "inside": np.ones(patch.shape[1:], np.uint8)}


def _parts(
    layer: Merge, sources: Sequence[str], values: Values, at: tuple[int, ...]
) -> list[dict[str, Any]]:
    """The numbers that are added or multiplied; of layers that are joined, the one that it is."""
    if not isinstance(layer, Concat):
        # A number for each channel counts for its whole map.
        shape = np.broadcast_shapes(*(values[name].shape for name in sources))
        taken = {name: np.broadcast_to(values[name], shape)[at] for name in sources}
        return [{"name": name, "value": value} for name, value in taken.items()]
    ends = np.cumsum([len(values[name]) for name in sources])
    part = int(np.searchsorted(ends, at[0], side="right"))
    name = sources[part]
    channel = at[0] - int(ends[part]) + len(values[name])
    return [{"name": name, "value": values[name][(channel, *at[1:])]}]
