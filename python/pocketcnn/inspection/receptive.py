"""Receptive fields: which pixels of the image one number of a layer can depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pocketcnn._arguments import Pair, integer
from pocketcnn.functional._window2d import window2d
from pocketcnn.inspection.probe import check_image_net, check_layer
from pocketcnn.layers import Layer, Shape
from pocketcnn.layers.merge import Merge
from pocketcnn.network.net import ConvNet


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that the numbers of a layer's maps see, each pair vertical and horizontal.

    Attributes
    ----------
    size : (int, int)
        Height and width of a field.
    stride : (int, int)
        Distance between the fields of neighbours; 0 if all see the same.
    start : (int, int)
        Where the field of the number at (0, 0) begins; negative in the padding.
    """

    size: Pair
    stride: Pair
    start: Pair

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Edges (top, left, bottom, right) of the field at a place; the last two exclusive.

        With padding, the field may begin before the image and end after it.

        Examples
        --------
        >>> ReceptiveField(size=(3, 3), stride=(2, 2), start=(-1, -1)).box(0, 4)
        (-1, 7, 2, 10)
        """
        top = self.start[0] + integer("row", row) * self.stride[0]
        left = self.start[1] + integer("column", column) * self.stride[1]
        return top, left, top + self.size[0], left + self.size[1]


def receptive_field(net: ConvNet, layer: str) -> ReceptiveField:
    """Find the pixels that each number of a layer's output can depend on.

    From layer to layer a window of k taps, d apart, makes a field grow by ``(k - 1) * d`` strides,
    padding moves its start, and a stride multiplies the distance of neighbours (Araujo, Norris,
    Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019). If
    branches are merged, a field spans all. A layer without a window sees single pixels if it keeps
    height and width (ReLU, batch normalisation), otherwise the whole image (Linear).

    Parameters
    ----------
    net : ConvNet
    layer : str
        Its name.

    Raises
    ------
    TypeError, ValueError
        There is no such layer; or the network does not take images (C, H, W).

    Examples
    --------
    >>> import pocketcnn as pc
    >>> receptive_field(pc.models.vgg16(seed=None), "relu5_3").size
    (196, 196)
    """
    check_image_net(net)
    check_layer(net, layer)
    fields = [ReceptiveField(size=(1, 1), stride=(1, 1), start=(0, 0))]
    for name, its_layer, sources in net.graph.nodes:
        seen = _span([fields[source] for source in sources])
        shape = net.graph.shapes[sources[0]]
        passes = isinstance(its_layer, Merge)
        fields.append(seen if passes else _through(seen, its_layer, shape, net.input_shape))
        if name == layer:
            break
    return fields[-1]


def _through_chain(
    field: ReceptiveField, chain: Iterable[Layer], shape: Shape, image: Shape
) -> ReceptiveField:
    for layer in chain:
        field = _through(field, layer, shape, image)
        shape = layer.output_shape(shape)
    return field


def _through(field: ReceptiveField, layer: Layer, shape: Shape, image: Shape) -> ReceptiveField:
    """The field after a layer that takes maps of `shape`, whose numbers see `field`."""
    branches = branches_of(layer)
    if branches:
        ends = [_through_chain(field, branch, shape, image) for branch in branches]
        return _span(ends)
    if hasattr(layer, "kernel_size"):
        return _through_window(field, layer, shape)
    if len(shape) == 3 and layer.output_shape(shape)[1:] == shape[1:]:
        return field
    return ReceptiveField(size=(image[1], image[2]), stride=(0, 0), start=(0, 0))


def _through_window(field: ReceptiveField, layer: Any, shape: Shape) -> ReceptiveField:
    """Follow a convolution or a pooling, or any layer with the same window attributes."""
    stride = getattr(layer, "stride", None)
    window = window2d(
        shape[1:],
        layer.kernel_size,
        layer.kernel_size if stride is None else stride,
        getattr(layer, "padding", 0),
        getattr(layer, "dilation", 1),
        ceil_mode=getattr(layer, "ceil_mode", False),
    )
    before = window.padding[0], window.padding[2]

    def grow(axis: int) -> int:
        reach = (window.kernel_size[axis] - 1) * window.dilation[axis]
        return field.size[axis] + reach * field.stride[axis]

    def begin(axis: int) -> int:
        return field.start[axis] - before[axis] * field.stride[axis]

    return ReceptiveField(
        size=(grow(0), grow(1)),
        stride=(field.stride[0] * window.stride[0], field.stride[1] * window.stride[1]),
        start=(begin(0), begin(1)),
    )


def _span(fields: list[ReceptiveField]) -> ReceptiveField:
    """The smallest field that contains those of all branches, whose outputs are added."""

    def stride(axis: int) -> int:
        return max(field.stride[axis] for field in fields)

    def start(axis: int) -> int:
        return min(field.start[axis] for field in fields)

    def size(axis: int) -> int:
        return max(field.start[axis] + field.size[axis] for field in fields) - start(axis)

    return ReceptiveField((size(0), size(1)), (stride(0), stride(1)), (start(0), start(1)))


def branches_of(layer: Layer) -> list[list[Layer]]:
    """The chains whose outputs a residual layer adds, its body first; none for other layers."""
    branches = [getattr(layer, name, None) for name in ("body", "shortcut")]
    return [list(branch.values()) for branch in branches if isinstance(branch, Mapping)]
