"""Pad."""

from __future__ import annotations

import numpy as np

from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.node import Node, axis_of
from pocketcnn.onnx.steps import Padding
from pocketcnn.onnx.tensors import Tensor
from pocketcnn.onnx.views import View


def pad(node: Node, net: Builder) -> Tensor:
    """Padding, which becomes a part of the next layer, or a ZeroPad2d."""
    x = node.tensor()
    if (mode := node.text("mode", "constant")) not in ("constant", "edge"):
        raise ValueError(f"mode is {mode!r}, but must be constant, or edge before a MaxPool")
    if node.version < 2:
        pads, value = node.wholes("paddings"), node.real("value", 0.0)
    elif node.version < 11:
        pads, value = node.wholes("pads"), node.real("value", 0.0)
    else:
        pads, value = node.whole_numbers(1), node.number(2)
    fill = None if mode == "edge" else float(value or 0.0)
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
    return _padded(net, x, {axis - 1: ends[axis] for axis in wide}, fill)


def _padded(
    net: Builder, x: Tensor, ends: dict[int, tuple[int, int]], value: float | None
) -> Tensor:
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
