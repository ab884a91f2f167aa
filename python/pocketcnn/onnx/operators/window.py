"""Settings of sliding windows, which ONNX's convolutions and pools share."""

from __future__ import annotations

from typing import NamedTuple

from pocketcnn._arguments import Pair, Sides
from pocketcnn.onnx.node import Node
from pocketcnn.onnx.tensors import Tensor


class Window(NamedTuple):
    """A window over an image; a row has a window of height 1."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    sides: Sides

    @property
    def padding(self) -> int | Pair | tuple[Pair, Pair]:
        """The sides as a layer takes them, in the shortest form."""
        top, bottom, left, right = self.sides
        if top != bottom or left != right:
            return (top, bottom), (left, right)
        return top if top == left else (top, left)


def short(sizes: Pair) -> int | Pair:
    """A pair as a layer takes it, in the shortest form."""
    return sizes[0] if sizes[0] == sizes[1] else sizes


def read_window(node: Node, x: Tensor, kernel: list[int] | None = None) -> Window:
    """The window of a node.

    Parameters
    ----------
    node : Node
    x : Tensor
        The input, of one or two axes of pixels.
    kernel : list of int, optional
        Size of the window where the weight has it.

    Raises
    ------
    ValueError
        Numbers are missing, or are too small or too many.
    """
    axes = x.rank - 2
    given = node.wholes("kernel_shape")
    if kernel is not None and given is not None and given != kernel:
        raise ValueError(f"kernel_shape is {given}, but the weight has {kernel}")
    kernel = kernel if kernel is not None else given
    if kernel is None:
        raise ValueError("kernel_shape is missing")
    strides = node.wholes("strides") or [1] * axes
    dilations = node.wholes("dilations") or [1] * axes
    for key, sizes in (("kernel_shape", kernel), ("strides", strides), ("dilations", dilations)):
        if len(sizes) != axes or not all(1 <= size < 2**31 for size in sizes):
            raise ValueError(f"{key} is {sizes}, but its input has {axes} axes of pixels")
    spans = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    pads = _pads(node, list(x.shape[1:]), spans, strides)
    return Window(_pair(kernel), _pair(strides), _pair(dilations), sides_of(pads))


def sides_of(pads: list[int]) -> Sides:
    """ONNX's padding, first all beginnings and then all ends, as (top, bottom, left, right)."""
    if len(pads) == 2:
        return 0, 0, pads[0], pads[1]
    return pads[0], pads[2], pads[1], pads[3]


def read_pads(node: Node, axes: int) -> list[int]:
    """The attribute `pads`, zeros if it is left out."""
    pads = node.wholes("pads") or [0] * (2 * axes)
    if len(pads) != 2 * axes or not all(0 <= pad < 2**31 for pad in pads):
        raise ValueError(f"pads is {pads}, but must be {2 * axes} numbers of at least 0")
    return pads


def split_padding(total: int, *, at_begin: bool) -> Pair:
    """Padding at both ends; the larger half is at the beginning if `at_begin`."""
    less = total // 2
    return (total - less, less) if at_begin else (less, total - less)


def _pads(node: Node, sizes: list[int], spans: list[int], strides: list[int]) -> list[int]:
    mode = node.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return read_pads(node, len(sizes))
    if mode == "VALID":
        return [0] * (2 * len(sizes))
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad is {mode!r}")
    ends = []
    for size, span, stride in zip(sizes, spans, strides, strict=True):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + span - size, 0)
        ends.append(split_padding(total, at_begin=mode == "SAME_LOWER"))
    return [begin for begin, _ in ends] + [end for _, end in ends]


def _pair(sizes: list[int]) -> Pair:
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
