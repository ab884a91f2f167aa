"""Pad, Resize and Upsample."""

from __future__ import annotations

import numpy as np

from pocketcnn import layers
from pocketcnn._arguments import Array
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, axis_of
from pocketcnn.onnx.steps import Padding
from pocketcnn.onnx.tensors import Tensor
from pocketcnn.onnx.views import View


def pad(node: Node, net: Builder) -> Tensor:
    """Padding, which becomes a part of the next layer, or a ZeroPad2d."""
    x = node.tensor()
    if (mode := node.text("mode", "constant")) != "constant":
        raise ValueError(f"mode is {mode!r}, but only constant padding is known")
    if node.version < 2:
        pads, value = node.ints("paddings"), node.float("value", 0.0)
    elif node.version < 11:
        pads, value = node.ints("pads"), node.float("value", 0.0)
    else:
        pads, value = node.whole_numbers(1), node.number(2)
    axes = node.whole_numbers(3)
    axes = [*range(x.rank)] if axes is None else [axis_of(axis, x.rank) for axis in axes]
    if pads is None or len(pads) != 2 * len(axes) or len(set(axes)) < len(axes):
        raise ValueError(f"pads is {pads}, but must be two numbers per axis")
    ends = {axis: (pads[k], pads[k + len(axes)]) for k, axis in enumerate(axes)}
    wide = [axis for axis, pair in ends.items() if pair != (0, 0)]
    if not wide:
        return x
    if 0 in wide or len(wide) > 2 or any(abs(end) >= 2**31 for end in pads):
        raise ValueError(f"pads is {pads}, but at most two axes can be padded, not the batch axis")
    return _padded(net, x, {axis - 1: ends[axis] for axis in wide}, float(value or 0.0))


def _padded(net: Builder, x: Tensor, ends: dict[int, tuple[int, int]], value: float) -> Tensor:
    """Pad one or two axes, as the last two of an image where they are not."""
    rank = len(x.shape)
    wide = sorted(ends)
    order = net.common_order([x])
    places = [order.index(axis) for axis in wide]
    if rank != 3 or 0 in places:
        rest = [axis for axis in range(rank) if axis not in wide]
        groups = [rest, wide[:-1], wide[-1:]]
        order = [*rest, *wide]
    else:
        groups = [[axis] for axis in order]
    entry = net.arranged(x, groups)
    rows = ends.get(groups[1][0], (0, 0)) if groups[1] else (0, 0)
    columns = ends.get(groups[2][0], (0, 0))
    shape = (entry.shape[0], entry.shape[1] + sum(rows), entry.shape[2] + sum(columns))
    padded = net.add(Padding((*rows, *columns), value), entry, shape=shape)
    sizes = [x.shape[axis] + sum(ends.get(axis, (0, 0))) for axis in order]

    view = View.of(padded.shape).reshaped(sizes)
    assert view is not None
    return Tensor(padded, view.transposed(np.argsort(order).tolist()))


def upsample(node: Node, net: Builder) -> Tensor:
    """An Upsample."""
    x = node.tensor()
    if node.version < 9:
        attribute = node.proto.attribute
        scales = [float(s) for item in attribute if item.name == "scales" for s in item.floats]
    else:
        scales = _numbers(node, 1) or []
    mode = node.text("mode", "nearest")
    return _resized(net, x, scales, mode, "asymmetric", "floor")


def resize(node: Node, net: Builder) -> Tensor:
    """An Upsample, where it computes the same."""
    x = node.tensor()
    old = node.version < 11
    scales = _numbers(node, 1 if old else 2) or None
    sizes = None if old else node.whole_numbers(3)
    axes = node.ints("axes")
    places = [*range(x.rank)] if axes is None else [axis_of(axis, x.rank) for axis in axes]
    came = (net.batch, *x.shape)
    if node.int("antialias") or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ValueError("antialias and keep_aspect_ratio_policy are not known")
    if not scales:
        if sizes is None or len(sizes) != len(places):
            raise ValueError("scales and sizes are missing")
        scales = [size / came[axis] for size, axis in zip(sizes, places, strict=True)]
    if len(scales) != len(places):
        raise ValueError(f"scales is {scales}, of an input of {x.rank} axes")
    full = [1.0] * x.rank
    for axis, scale in zip(places, scales, strict=True):
        full[axis] = scale
    way = "asymmetric" if old else node.text("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else node.text("nearest_mode", "round_prefer_floor")
    return _resized(net, x, full, node.text("mode", "nearest"), way, rounding)


def _numbers(node: Node, place: int) -> list[float] | None:
    constant = node.constant(place)
    if constant is None:
        return None
    if len(constant.shape) != 1 or constant.size > 64 or constant.dtype.kind != "f":
        raise ValueError(f"input {place} must be a list of scales")
    return [float(scale) for scale in constant.read()]


def _resized(
    net: Builder, x: Tensor, scales: list[float], mode: str, way: str, rounding: str
) -> Tensor:
    wide = [axis for axis, scale in enumerate(scales) if scale != 1]
    if len(scales) != x.rank or (wide and wide[0] == 0):
        raise ValueError(f"scales is {scales}, of an input of {x.rank} axes")
    if not wide:
        return x
    order = net.common_order([x])
    if len(order) != 3 or (order.index(0) != 0 and 0 in [axis - 1 for axis in wide]):
        raise ValueError("it resizes other than the pixels of an image (N, C, H, W)")
    by = [scales[axis + 1] for axis in order]
    if by[0] != 1 or any(scale != int(scale) or scale < 1 for scale in by):
        raise ValueError(f"scales is {scales}, but Upsample repeats pixels a whole number of times")
    factors = (int(by[1]), int(by[2]))
    sizes = tuple(x.shape[axis] for axis in order)[1:]
    if mode == "nearest":
        for size, factor in zip(sizes, factors, strict=True):
            _require_repeats(size, factor, way, rounding)
    elif mode in ("linear", "bilinear"):
        # Equal to half_pixel where an axis has more than one pixel in the output.
        if way not in ("half_pixel", "pytorch_half_pixel"):
            raise ValueError(f"coordinate_transformation_mode is {way!r}, but must be half_pixel")
    else:
        raise ValueError(f"mode is {mode!r}, but must be nearest or linear")
    kind = "nearest" if mode == "nearest" else "bilinear"
    factor = factors[0] if factors[0] == factors[1] else factors
    entry = net.arranged(x, [[axis] for axis in order])
    return net.placed(net.add(layers.Upsample(factor, kind), entry), order)


def _require_repeats(size: int, factor: int, way: str, rounding: str) -> None:
    """Raise ValueError unless output pixel i is input pixel i // factor, by all the formulas."""
    outputs = np.arange(min(size * factor, 2**20))
    if not np.array_equal(_nearest(outputs, size, factor, way, rounding), outputs // factor):
        raise ValueError(f"it does not repeat each pixel {factor} times: {way}, {rounding}")


def _nearest(outputs: Array, size: int, factor: int, way: str, rounding: str) -> Array:
    if way in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"):
        places = (outputs + 0.5) / factor - 0.5
    elif way == "asymmetric":
        places = outputs / factor
    elif way == "align_corners":
        places = outputs * ((size - 1) / max(size * factor - 1, 1))
    else:
        raise ValueError(f"coordinate_transformation_mode is {way!r}")
    rounded = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda at: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    }.get(rounding)
    if rounded is None:
        raise ValueError(f"nearest_mode is {rounding!r}")
    return np.clip(rounded(places), 0, size - 1)
