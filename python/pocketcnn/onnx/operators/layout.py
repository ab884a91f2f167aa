"""Operators that move no numbers, or only move them: shapes, orders, parts and joins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pocketcnn import layers
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, axis_of, sample_axes
from pocketcnn.onnx.package import import_onnx
from pocketcnn.onnx.tensors import Constant, Tensor
from pocketcnn.onnx.views import View


def identity(node: Node, _: Builder) -> Tensor:
    """The input itself."""
    return node.tensor()


def cast(node: Node, net: Builder) -> Tensor:
    """The input itself, as a network computes in one dtype; what would cut numbers is refused."""
    x = node.tensor()
    if node.op == "CastLike":
        name = node.weight(1).dtype.name
    else:
        name = import_onnx().TensorProto.DataType.Name(node.whole("to")).lower()
    if name not in ("float", "double", "float16", "bfloat16", "float32", "float64"):
        raise ValueError(f"it casts to {name}, but a network computes in {net.dtype}")
    return x


def shape(node: Node, net: Builder) -> Constant:
    """The shape, a constant whose batch size is a mark."""
    x = node.tensor()
    sizes = np.array((net.batch, *x.shape), np.int64)
    start, end = node.whole("start", 0), node.whole("end", x.rank)
    return Constant.of(sizes[slice(start, end)])


def size(node: Node, net: Builder) -> Constant:
    """How many numbers there are."""
    return Constant.of(np.array(net.batch * node.tensor().view.size, np.int64))


def flatten(node: Node, net: Builder) -> Tensor:
    """A row of numbers per sample."""
    x = node.tensor()
    axis = node.whole("axis", 1)
    if axis not in (1, 1 - x.rank):
        raise ValueError(f"axis is {axis}, which merges the batch axis with others")
    return reshaped(net, x, (x.view.size,))


def reshape(node: Node, net: Builder) -> Tensor:
    """The same numbers in another shape, with as many samples."""
    x = node.tensor()
    target = node.settings("shape", 1)
    if target is None:
        raise ValueError("the shape is missing")
    came = (net.batch, *x.shape)
    if not node.whole("allowzero"):
        if any(size == 0 and axis >= len(came) for axis, size in enumerate(target)):
            raise ValueError(f"shape is {target}, of an input of {len(came)} axes")
        target = [came[axis] if size == 0 else size for axis, size in enumerate(target)]
    first, rest = (target[0] if target else 1), list(target[1:])
    known = math.prod(size for size in rest if size != -1)
    if rest.count(-1) == 1 and known > 0 and x.view.size % known == 0 and first in (1, net.batch):
        rest[rest.index(-1)] = x.view.size // known
    # A file for one image may say 1 although its batch axis is free.
    if first not in (-1, 1, net.batch) or -1 in rest or math.prod(rest) != x.view.size:
        raise ValueError(
            f"it makes {_shown(came, net)} into {_shown(target, net)}, which does not keep the "
            "batch axis"
        )
    return reshaped(net, x, tuple(rest))


def _shown(sizes: Sequence[int], net: Builder) -> str:
    return (
        f"({', '.join('N' if s == net.batch and not i else str(s) for i, s in enumerate(sizes))})"
    )


def reshaped(net: Builder, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor in another shape; its numbers are put in its order first if they must be."""
    view = x.view.reshaped(shape)
    if view is None:
        x = Tensor(net.arranged(x, [[axis] for axis in range(len(x.shape))]), View.of(x.shape))
        view = x.view.reshaped(shape)
        assert view is not None
    return Tensor(x.entry, view)


def transpose(node: Node, _: Builder) -> Tensor:
    """The axes in another order; the batch axis stays the first."""
    x = node.tensor()
    order = node.wholes("perm") or [*range(x.rank)][::-1]
    if sorted(order) != [*range(x.rank)] or order[0] != 0:
        raise ValueError(f"perm is {order}, but must keep the batch axis the first")
    return Tensor(x.entry, x.view.transposed([axis - 1 for axis in order[1:]]))


def squeeze(node: Node, net: Builder) -> Tensor:
    """Without axes of size 1."""
    x = node.tensor()
    axes = node.settings("axes", 1)
    if axes is None:
        if net.batch == 1:
            raise ValueError("axes is missing, so that it removes the batch axis")
        axes = [axis for axis, size in enumerate(x.shape, start=1) if size == 1]
    gone = sample_axes(axes, x.rank)
    if any(x.shape[axis] != 1 for axis in gone):
        raise ValueError(f"axes {axes} of {x.shape} are not of size 1")
    return reshaped(net, x, tuple(s for axis, s in enumerate(x.shape) if axis not in gone))


def unsqueeze(node: Node, net: Builder) -> Tensor:
    """With more axes of size 1."""
    x = node.tensor()
    axes = node.settings("axes", 1)
    if axes is None:
        raise ValueError("axes is missing")
    rank = x.rank + len(axes)
    new = sample_axes(axes, rank)
    sizes = iter(x.shape)
    return reshaped(net, x, tuple(1 if axis in new else next(sizes) for axis in range(rank - 1)))


def expand(node: Node, net: Builder) -> Tensor:
    """The input itself, or an Upsample if an axis of size 1 is repeated that follows pixels."""
    x = node.tensor()
    target = node.whole_numbers(1) or []
    came = (net.batch, *x.shape)
    if len(target) > x.rank:
        raise ValueError(f"it repeats {_shown(came, net)} to {_shown(target, net)}")
    sizes = (1,) * (len(came) - len(target)) + tuple(target)
    wide = [axis for axis, size in enumerate(sizes) if size not in (1, came[axis])]
    if len(wide) > 1 or any(came[axis] != 1 for axis in wide):
        raise ValueError(f"it repeats {_shown(came, net)} to {_shown(target, net)}")
    if not wide:
        return x
    axis, times = wide[0] - 1, sizes[wide[0]]
    place = x.view.axis_in(x.entry.shape, axis - 1) if axis > 0 else None
    if len(x.entry.shape) != 3 or place not in (1, 2):
        raise ValueError("it repeats other than the pixels of an image")
    factors = (float(times), 1.0) if place == 1 else (1.0, float(times))
    entry = net.add(layers.Upsample(factors, "nearest"), x.entry)
    # The axis of pixels, now of H * times, is read as H and times.
    (pixels,) = x.view.axes[axis - 1]
    atoms = [*x.view.atoms[: pixels + 1], times, *x.view.atoms[pixels + 1 :]]
    axes = [[atom + (atom > pixels) for atom in one] for one in x.view.axes]
    axes[axis] = [pixels + 1]
    return Tensor(entry, View.made(atoms, axes))


def concat(node: Node, net: Builder) -> Tensor:
    """A Concat; of other axes than channels, with the axes put in another order for it."""
    tensors = [node.tensor(place) for place in range(len(node.inputs))]
    if len({tensor.rank for tensor in tensors}) > 1:
        raise ValueError("its inputs have different numbers of axes")
    (axis,) = sample_axes([node.whole("axis", 1)], tensors[0].rank)
    if len(tensors) == 1:
        return tensors[0]
    order = net.common_order(tensors, axis)
    entries = [net.arranged(tensor, [[one] for one in order]) for tensor in tensors]
    return net.placed(net.add(layers.Concat(), entries), order)


def split(node: Node, net: Builder) -> list[Tensor]:
    """A Slice for each output that is used."""
    x = node.tensor()
    (axis,) = sample_axes([node.whole("axis", 0)], x.rank)
    count = len(node.output_names)
    sizes = node.settings("split", 1)
    if sizes is None:
        step = -(-x.shape[axis] // count)
        sizes = [min(step, x.shape[axis] - step * part) for part in range(count)]
    if len(sizes) != count or min(sizes) < 1 or sum(sizes) != x.shape[axis]:
        raise ValueError(f"parts of {sizes} do not make an axis of {x.shape[axis]}")
    parts, start = [], 0
    for name, length in zip(node.output_names, sizes, strict=True):
        used = name in node.read_outputs
        parts.append(sliced(net, x, axis, start, start + length) if used else x)
        start += length
    return parts


def slice_(node: Node, net: Builder) -> Tensor:
    """A Slice for each axis that is cut."""
    x = node.tensor()
    starts, ends = node.settings("starts", 1), node.settings("ends", 2)
    if starts is None or ends is None:
        raise ValueError("starts and ends are missing")
    axes = node.settings("axes", 3)
    axes = [*range(len(starts))] if axes is None else axes
    steps = node.whole_numbers(4) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError("starts, ends, axes and steps differ in length")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        place = axis_of(axis, x.rank)
        if place == 0 and start == 0 and end >= net.batch and step == 1:
            continue
        (place,) = sample_axes([axis], x.rank)
        if step < 1:
            raise ValueError(f"step is {step}, but must be at least 1")
        start, stop, _ = slice(start, end).indices(x.shape[place])
        x = sliced(net, x, place, start, stop, step)
    return x


def sliced(net: Builder, x: Tensor, axis: int, start: int, stop: int, step: int = 1) -> Tensor:
    """A part of one axis."""
    if start >= stop:
        raise ValueError(f"it takes nothing of an axis of {x.shape[axis]}")
    if (start, step) == (0, 1) and stop >= x.shape[axis]:
        return x
    order = net.common_order([x])
    entry = net.arranged(x, [[one] for one in order])
    layer = layers.Slice(start, stop, axis=order.index(axis) + 1, step=step)
    return net.placed(net.add(layer, entry), order)


def gather(node: Node, net: Builder) -> Tensor:
    """A Slice of one place of an axis."""
    x, index = node.tensor(), node.weight(1)
    (axis,) = sample_axes([node.whole("axis", 0)], x.rank)
    place = node.number(1)
    length = x.shape[axis]
    if len(index.shape) > 1 or not -length <= place < length:
        raise ValueError("it takes other than one place of an axis")
    x = sliced(net, x, axis, place % length, place % length + 1)
    if index.shape:
        return x
    return reshaped(net, x, tuple(s for one, s in enumerate(x.shape) if one != axis))


def depth_to_space(node: Node, net: Builder) -> Tensor:
    """Channels that become pixels."""
    x, block = node.tensor(), node.whole("blocksize")
    if x.rank != 4 or block < 1 or x.shape[0] % block**2:
        raise ValueError(f"blocks of {block} in an input of shape {x.shape}")
    c, h, w = x.shape
    c //= block**2
    if node.text("mode", "DCR") == "DCR":
        cut, order = (block, block, c, h, w), (2, 3, 0, 4, 1)
    else:
        cut, order = (c, block, block, h, w), (0, 3, 1, 4, 2)
    x = reshaped(net, x, cut)
    x = Tensor(x.entry, x.view.transposed(order))
    return reshaped(net, x, (c, h * block, w * block))
