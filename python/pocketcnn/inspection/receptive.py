"""Receptive fields: which pixels of the image one number of a layer can depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor
from typing import Any, TypeAlias

from pocketcnn._arguments import Pair, integer
from pocketcnn.functional._window2d import window2d
from pocketcnn.inspection.probe import check_image_net, check_layer
from pocketcnn.layers import Layer, Shape
from pocketcnn.layers.merge import Merge
from pocketcnn.layers.sight import Number, Sight
from pocketcnn.network.net import ConvNet

Sights: TypeAlias = tuple[Sight, Sight]


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels that the numbers of a layer's maps see, each pair vertical and horizontal.

    Behind a layer that enlarges maps, fields move by parts of a pixel: then the numbers may be
    fractions, and a field is the whole pixels within.

    Attributes
    ----------
    size : (int, int)
        Height and width of a field.
    stride : (int, int)
        Distance between the fields of neighbours; 0 if all see the same.
    start : (int, int)
        Where the field of the number at (0, 0) begins; negative in the padding.
    """

    size: tuple[Number, Number]
    stride: tuple[Number, Number]
    start: tuple[Number, Number]

    @property
    def pixels(self) -> Pair:
        """Height and width of the largest field, in whole pixels."""
        return floor(self.size[0]), floor(self.size[1])

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
        return ceil(top), ceil(left), floor(top + self.size[0]), floor(left + self.size[1])


def receptive_field(net: ConvNet, layer: str) -> ReceptiveField:
    """Find the pixels that each number of a layer's output can depend on.

    From layer to layer a window of k taps, d apart, makes a field grow by ``(k - 1) * d`` strides,
    padding moves its start, and a stride multiplies the distance of neighbours (Araujo, Norris,
    Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019). If
    branches are merged, a field spans all. A layer without a window sees single pixels if it keeps
    height and width (ReLU, batch normalisation), otherwise the whole image (Linear). Layers that
    enlarge maps divide the distance of neighbours; what else a layer sees is its `sight`.

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
    fields: list[Sights] = [(Sight(0, 0, 1), Sight(0, 0, 1))]
    for name, its_layer, sources in net.graph.nodes:
        seen = _span([fields[source] for source in sources], net.input_shape)
        shape = net.graph.shapes[sources[0]]
        passes = isinstance(its_layer, Merge)
        fields.append(seen if passes else _through(seen, its_layer, shape, net.input_shape))
        if name == layer:
            break
    vertical, horizontal = fields[-1]
    return ReceptiveField(
        size=(
            _plain(vertical.last - vertical.first + 1),
            _plain(horizontal.last - horizontal.first + 1),
        ),
        stride=(_plain(vertical.step), _plain(horizontal.step)),
        start=(_plain(vertical.first), _plain(horizontal.first)),
    )


def _plain(number: Number) -> Number:
    return int(number) if number == int(number) else number


def _whole(image: Shape) -> Sights:
    return Sight(0, image[1] - 1, 0), Sight(0, image[2] - 1, 0)


def _through_chain(field: Sights, chain: Iterable[Layer], shape: Shape, image: Shape) -> Sights:
    for layer in chain:
        field = _through(field, layer, shape, image)
        shape = layer.output_shape(shape)
    return field


def _through(field: Sights, layer: Layer, shape: Shape, image: Shape) -> Sights:
    """What the outputs of a layer that takes maps of `shape`, whose numbers see `field`, see."""
    branches = branches_of(layer)
    if branches:
        return _span([_through_chain(field, branch, shape, image) for branch in branches], image)
    own = layer.sight(shape) if len(shape) == 3 else None
    if own is None and hasattr(layer, "kernel_size"):
        own = _window_sight(layer, shape)
    if own is not None:
        return _seen_through(field[0], own[0]), _seen_through(field[1], own[1])
    if len(shape) == 3 and layer.output_shape(shape)[1:] == shape[1:]:
        return field
    return _whole(image)


def _seen_through(field: Sight, layer: Sight) -> Sight:
    """What an output sees by way of the inputs that it sees."""
    return Sight(
        field.first + layer.first * field.step,
        field.last + layer.last * field.step,
        layer.step * field.step,
    )


def _window_sight(layer: Any, shape: Shape) -> Sights:
    """Of a convolution or a pooling, or any layer with the same window attributes."""
    stride = getattr(layer, "stride", None)
    window = window2d(
        shape[1:],
        layer.kernel_size,
        layer.kernel_size if stride is None else stride,
        getattr(layer, "padding", 0),
        getattr(layer, "dilation", 1),
        ceil_mode=getattr(layer, "ceil_mode", False),
    )

    def along(axis: int) -> Sight:
        before = window.padding[2 * axis]
        reach = (window.kernel_size[axis] - 1) * window.dilation[axis]
        return Sight(-before, reach - before, window.stride[axis])

    return along(0), along(1)


def _span(fields: list[Sights], image: Shape) -> Sights:
    """The smallest field that contains those of all branches, which are merged.

    Where the branches' fields move by different steps, as those of a map and of a gate that all
    pixels make, no field but the whole image contains them everywhere.
    """

    def along(axis: int) -> Sight:
        sights = [field[axis] for field in fields]
        if len({sight.step for sight in sights}) > 1:
            return _whole(image)[axis]
        first, last = min(s.first for s in sights), max(s.last for s in sights)
        return Sight(first, last, sights[0].step)

    return along(0), along(1)


def branches_of(layer: Layer) -> list[list[Layer]]:
    """The chains whose outputs a residual layer adds, its body first; none for other layers."""
    branches = [getattr(layer, name, None) for name in ("body", "shortcut")]
    return [list(branch.values()) for branch in branches if isinstance(branch, Mapping)]
