"""Resize and Upsample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pocketcnn import layers
from pocketcnn._arguments import Array
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, axis_of
from pocketcnn.onnx.tensors import Tensor


class Axis(NamedTuple):
    """How one axis is resized.

    Attributes
    ----------
    size, outputs : int
        Pixels before and after.
    scale : float
        Their quotient, as the file has it.
    """

    size: int
    outputs: int
    scale: float

    @property
    def factor(self) -> float:
        """The scale for which Upsample gives as many outputs."""
        if int(np.floor(self.size * self.scale)) == self.outputs:
            return self.scale
        exact = self.outputs / self.size
        short = int(np.floor(self.size * exact)) < self.outputs
        return float(np.nextafter(exact, np.inf)) if short else exact


def upsample(node: Node, net: Builder) -> Tensor:
    """An Upsample."""
    x = node.tensor()
    scales = node.reals("scales") if node.version < 9 else _numbers(node, 1)
    if scales is None or len(scales) != x.rank:
        raise ValueError(f"scales is {scales}, of an input of {x.rank} axes")
    axes = [_scaled(size, scale) for size, scale in zip((1, *x.shape), scales, strict=True)]
    return _resized(net, x, axes, node.text("mode", "nearest"), "asymmetric", "floor")


def resize(node: Node, net: Builder) -> Tensor:
    """An Upsample, where it computes the same."""
    x = node.tensor()
    old = node.version < 11
    axes = _axes(node, x, net.batch, old=old)
    shrinks = any(axis.scale < 1 for axis in axes)
    mode = node.text("mode", "nearest")
    if (node.whole("antialias") and shrinks) or (
        node.whole("exclude_outside") and mode != "nearest"
    ):
        raise ValueError("antialias and exclude_outside are not known")
    way = "asymmetric" if old else node.text("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else node.text("nearest_mode", "round_prefer_floor")
    return _resized(net, x, axes, mode, way, rounding)


def _axes(node: Node, x: Tensor, batch: int, *, old: bool) -> list[Axis]:
    """All axes, the batch axis first, as scales or sizes give them."""
    scales = _numbers(node, 1 if old else 2)
    sizes = None if old else node.whole_numbers(3)
    named = node.wholes("axes")
    places = [*range(x.rank)] if named is None else [axis_of(axis, x.rank) for axis in named]
    came = (batch, *x.shape)
    given = scales or sizes
    if given is None or len(given) != len(places) or min(given) <= 0:
        raise ValueError(f"scales or sizes are {given}, of an input of {x.rank} axes")
    axes = [Axis(size, size, 1.0) for size in came]
    policy = node.text("keep_aspect_ratio_policy", "stretch")
    if scales:
        for place, scale in zip(places, scales, strict=True):
            axes[place] = _scaled(came[place], scale)
        return axes
    assert sizes is not None
    quotients = [size / came[place] for size, place in zip(sizes, places, strict=True)]
    for place, size, scale in zip(places, sizes, quotients, strict=True):
        axes[place] = Axis(came[place], size, scale)
        if policy != "stretch":
            kept = min(quotients) if policy == "not_larger" else max(quotients)
            outputs = int(np.floor(kept * came[place] + 0.5))
            axes[place] = Axis(came[place], outputs, kept)
    return axes


def _scaled(size: int, scale: float) -> Axis:
    if not 0 < scale < 2**31:
        raise ValueError(f"a scale is {scale}")
    return Axis(size, int(np.floor(size * scale)), scale)


def _numbers(node: Node, place: int) -> list[float] | None:
    constant = node.constant(place)
    if constant is None or constant.size == 0:
        return None
    if len(constant.shape) != 1 or constant.size > 64 or constant.dtype.kind != "f":
        raise ValueError(f"input {place} must be a list of scales")
    return [float(scale) for scale in constant.read()]


def _resized(
    net: Builder, x: Tensor, axes: list[Axis], mode: str, way: str, rounding: str
) -> Tensor:
    batch, *axes = axes
    wide = [place for place, axis in enumerate(axes) if axis.scale != 1]
    if not wide and batch.scale == 1:
        return x
    order = net.common_order([x])
    if batch.scale != 1 or len(order) != 3 or order[0] in wide:
        raise ValueError("it resizes other than the pixels of an image (N, C, H, W)")
    rows, columns = (axes[place] for place in order[1:])
    layer = _layer((rows, columns), mode, way, rounding)
    entry = net.arranged(x, [[axis] for axis in order])
    return net.placed(net.add(layer, entry), order)


def _layer(axes: tuple[Axis, Axis], mode: str, way: str, rounding: str) -> layers.Upsample:
    """The Upsample that takes the same places of the input for both axes."""
    factors = (axes[0].factor, axes[1].factor)
    factor = factors[0] if factors[0] == factors[1] else factors
    if mode == "nearest":
        if all(np.array_equal(_nearest(axis, way, rounding), _own_nearest(axis)) for axis in axes):
            return layers.Upsample(factor, "nearest")
        raise ValueError(f"it takes other pixels than Upsample: {way}, {rounding}")
    if mode not in ("linear", "bilinear"):
        raise ValueError(f"mode is {mode!r}, but must be nearest or linear")
    for corners in (False, True):
        if all(
            np.allclose(_clipped(axis, way), _own_places(axis, corners), atol=1e-5, rtol=1e-6)
            for axis in axes
        ):
            return layers.Upsample(factor, "bilinear", align_corners=corners)
    raise ValueError(f"it interpolates at other places than Upsample: {way}")


def _places(axis: Axis, way: str) -> Array:
    """Where in the input each output lies, as ONNX defines it."""
    outputs = np.arange(min(axis.outputs, 2**20))
    half = (outputs + 0.5) / axis.scale - 0.5
    if way == "half_pixel":
        return half
    if way == "pytorch_half_pixel":
        return half if axis.outputs > 1 else np.zeros(1)
    if way == "half_pixel_symmetric":
        return half + axis.size / 2 * (1 - axis.outputs / (axis.scale * axis.size))
    if way == "asymmetric":
        return outputs / axis.scale
    if way == "align_corners":
        last = axis.scale * axis.size - 1
        return outputs * ((axis.size - 1) / last) if last else outputs * 0.0
    raise ValueError(f"coordinate_transformation_mode is {way!r}")


def _clipped(axis: Axis, way: str) -> Array:
    return np.clip(_places(axis, way), 0, axis.size - 1)


def _own_places(axis: Axis, corners: bool) -> Array:
    if corners:
        return _clipped(axis._replace(scale=axis.outputs / axis.size), "align_corners")
    return _clipped(axis._replace(scale=axis.factor), "half_pixel")


def _nearest(axis: Axis, way: str, rounding: str) -> Array:
    places = _places(axis, way)
    if rounding == "floor":
        rounded = np.floor(places)
    elif rounding == "ceil":
        rounded = np.ceil(places)
    elif rounding == "round_prefer_floor":
        rounded = np.ceil(places - 0.5)
    elif rounding == "round_prefer_ceil":
        rounded = np.floor(places + 0.5)
    else:
        raise ValueError(f"nearest_mode is {rounding!r}")
    return np.clip(rounded, 0, axis.size - 1)


def _own_nearest(axis: Axis) -> Array:
    outputs = np.arange(min(axis.outputs, 2**20))
    return np.minimum(np.floor(outputs / axis.factor), axis.size - 1)
