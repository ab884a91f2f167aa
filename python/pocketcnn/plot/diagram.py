"""A picture of a network: a box for what each layer makes, with its shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pocketcnn._arguments import pair
from pocketcnn.inspection.receptive import branches_of
from pocketcnn.layers import Conv2d, Layer, Linear, Shape
from pocketcnn.layers.merge import Merge
from pocketcnn.plot.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, describe, new_figure, root
from pocketcnn.plot.words import drawable, literally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pocketcnn.network.net import ConvNet

# In inches: a box's place, its largest sides, the smallest side, a line of text.
_PITCH, _FACE, _THICKNESS, _LEAST, _LINE = 1.3, 1.05, 0.4, 0.06, 0.145
_OBLIQUE = 0.4  # how far the third dimension goes to the upper right, as a share of its length
_ARROW = 0.08  # how far above a box's foot the arrows run
_ROW = 9  # boxes beside each other at most
_LEVEL = 0.08  # between lines that run over boxes


@dataclass
class _Part:
    """What one box stands for: an output's shape, and the layers that made it."""

    shape: Shape
    colour: str
    text: list[str]
    skips: bool = False
    takes: list[int] = field(default_factory=list)
    """Numbers of the parts whose outputs it takes."""


@dataclass
class _Box:
    """Size of a drawn box: channels to the right, the map's height up, its width to the back."""

    thickness: float
    height: float
    depth: float = field(default=0.0)


def architecture(net: ConvNet, *, axes: Axes | None = None) -> Figure:
    """Draw a network as boxes, one for each set of maps or vector that it computes.

    A box is as high and as deep as the maps, and as thick as there are channels; the areas, not
    the lengths, are in proportion. Layers that keep the shape and have no weights, such as ReLU,
    are written below the box that they work on. A line goes around a residual layer, from the arrow
    into it to the arrow out of it. A layer that takes what others than the one before it give says
    so below its box, and lines lead to it from those in the same row.

    Parameters
    ----------
    net : ConvNet
        Of any length: long ones are drawn in several rows.
    axes : matplotlib Axes, optional
        Where to draw; by default a new figure as large as the network needs.

    Returns
    -------
    matplotlib.figure.Figure
        The figure the axes belong to.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    parts = _parts(net)
    boxes = _boxes([part.shape for part in parts])
    columns = math.ceil(len(parts) / math.ceil(len(parts) / _ROW))
    lines = [slice(start, start + columns) for start in range(0, len(parts), columns)]
    above = [
        max(box.height + box.depth for box in boxes[line])
        + 0.35
        + _LEVEL * len(_long_edges(parts[line], line.start))
        for line in lines
    ]
    below = [max(len(part.text) for part in parts[line]) * _LINE + 0.1 for line in lines]
    height = sum(above) + sum(below)
    if axes is None:
        axes = new_figure(_PITCH * columns + 0.3, height + 0.4).subplots()
    ground = 0.0
    for line, up, down in zip(lines, above, below, strict=True):
        ground -= up
        for column, (part, box) in enumerate(zip(parts[line], boxes[line], strict=True)):
            before = line.start + column - 1
            if before in part.takes:
                start, end = -0.25, column * _PITCH - 0.05
                if column:
                    start = min(_right(boxes[before], column - 1), end - 0.2)
                _draw_arrow(axes, start, end, ground)
            _draw_box(axes, column * _PITCH, ground, box, part)
        _draw_lines(axes, parts[line], boxes[line], line.start, ground)
        ground -= down
    shapes = [shape for layer in net.layers.values() for shape in layer.param_shapes.values()]
    axes.set_title(
        f"{describe(net.input_shape)} to {describe(net.output_shape)}: "
        f"{sum(map(math.prod, shapes)):,} parameters",
        fontsize=12,
    )
    axes.set(xlim=(-0.25, columns * _PITCH + 0.05), ylim=(ground, 0), aspect="equal")
    axes.set_axis_off()
    return root(axes)


def _parts(net: ConvNet) -> list[_Part]:
    """Group the layers by the boxes that they belong to."""
    graph = net.graph
    parts = [_Part(net.input_shape, GREY, ["input", describe(net.input_shape)])]
    owners = [0]  # the part of every value
    for place, (name, layer, sources) in enumerate(graph.nodes):
        before, shape = graph.shapes[sources[0]], graph.shapes[place + 1]
        flattens = len(shape) < len(before) and not layer.param_shapes
        if len(sources) == 1 and (flattens or (shape == before and not _has_weights(layer))):
            parts[owners[sources[0]]].text.append(f"+ {type(layer).__name__}")
            owners.append(owners[sources[0]])
            continue
        text = [name, describe(shape), *_about(layer)]
        takes = [owners[source] for source in sources]
        if takes != [len(parts) - 1]:
            text += [f"from {source}" for source in net.inputs[name]]
        skips = bool(branches_of(layer))
        parts.append(_Part(shape, _colour(layer), text, skips, takes))
        owners.append(len(parts) - 1)
    return parts


def _has_weights(layer: Layer) -> bool:
    """Whether the layer mixes numbers: batch normalisation only scales them."""
    return any(len(shape) > 1 for shape in layer.param_shapes.values())


def _colour(layer: Layer) -> str:
    if branches_of(layer) or isinstance(layer, Merge):
        return PURPLE
    if isinstance(layer, Conv2d):
        return BLUE
    if isinstance(layer, Linear):
        return GREEN
    return SKY if _has_weights(layer) else ORANGE


def _about(layer: Layer) -> list[str]:
    """Kind and window of a layer, or the windows of a residual layer's body, in short lines."""
    branches = branches_of(layer)
    if branches:
        windows = [_window(inner) for inner in branches[0] if hasattr(inner, "kernel_size")]
        return [type(layer).__name__, *windows]
    window = _window(layer)
    return [f"{type(layer).__name__} {window}" if window else type(layer).__name__]


def _window(layer: Layer) -> str:
    """Kernel size and stride, "3 × 3 / 2", if the layer has them."""
    size = getattr(layer, "kernel_size", None)
    if size is None:
        return ""
    stride = getattr(layer, "stride", None)
    steps = pair("stride", size if stride is None else stride)
    step = "" if steps == (1, 1) else f" / {steps[0] if steps[0] == steps[1] else steps}"
    return f"{describe(pair('kernel_size', size))}{step}"


def _boxes(shapes: Sequence[Shape]) -> list[_Box]:
    """Sizes of the boxes, the largest of each kind at its limit."""
    maps = [shape for shape in shapes if len(shape) == 3]
    side = max((max(shape[1:]) for shape in maps), default=1)
    channels = max((shape[0] for shape in maps), default=1)
    length = max((math.prod(shape) for shape in shapes if len(shape) != 3), default=1)

    def scale(value: int, largest: int, size: float) -> float:
        return max(_LEAST, size * math.sqrt(value / largest))

    return [
        _Box(
            scale(shape[0], channels, _THICKNESS),
            scale(shape[1], side, _FACE),
            _OBLIQUE * scale(shape[2], side, _FACE),
        )
        if len(shape) == 3
        else _Box(2 * _LEAST, scale(math.prod(shape), length, _FACE))
        for shape in shapes
    ]


def _draw_box(ax: Axes, left: float, bottom: float, box: _Box, part: _Part) -> None:
    """Draw the three visible faces, and the text below."""
    from matplotlib.patches import Polygon

    right, top, back = left + box.thickness, bottom + box.height, box.depth
    front = [(left, bottom), (right, bottom), (right, top), (left, top)]
    lid = [(left, top), (right, top), (right + back, top + back), (left + back, top + back)]
    flank = [
        (right, bottom),
        (right + back, bottom + back),
        (right + back, top + back),
        (right, top),
    ]
    for corners, alpha in ((front, 0.85), (lid, 0.45), (flank, 0.6)):
        face = Polygon(
            corners, facecolor=part.colour, alpha=alpha, edgecolor="white", linewidth=0.6
        )
        ax.add_patch(face)
    if part.skips:
        after = min(right + back, left + _PITCH - 0.3)
        _draw_line(ax, left - 0.16, after + 0.16, bottom, top + back + 0.1)
    for number, line in enumerate(part.text):
        ax.text(
            left,
            bottom - _LINE * (number + 0.4),
            drawable(line),
            va="top",
            fontsize=8 if number == 0 else 7.5,
            weight="bold" if number == 0 else "normal",
            color="black" if number < 2 else GREY,
            **literally(line),
        )


def _long_edges(parts: Sequence[_Part], first: int) -> list[tuple[int, int]]:
    """Pairs of columns in a row whose parts are connected, but not neighbours; short ones first."""
    edges = {
        (source - first, column)
        for column, part in enumerate(parts)
        for source in part.takes
        if first <= source < first + column - 1
    }
    return sorted(edges, key=lambda edge: (edge[1] - edge[0], edge))


def _draw_lines(
    ax: Axes, parts: Sequence[_Part], boxes: Sequence[_Box], first: int, ground: float
) -> None:
    """Draw the lines over the boxes of a row, each higher than those before it."""
    highest = max(box.height + box.depth for box in boxes)
    for level, (source, target) in enumerate(_long_edges(parts, first), start=1):
        start = _right(boxes[source], source) + 0.05
        top = ground + highest + 0.1 + _LEVEL * level
        _draw_line(ax, start, target * _PITCH - 0.12, ground, top)


def _right(box: _Box, column: int) -> float:
    """Where an arrow begins behind a box."""
    return column * _PITCH + box.thickness + box.depth + 0.05


def _draw_line(ax: Axes, start: float, end: float, bottom: float, top: float) -> None:
    """Draw a line that leaves the level of the arrows, runs at the height `top`, and comes back."""
    from matplotlib.patches import FancyArrowPatch

    height = top - (bottom + _ARROW)
    ax.add_patch(
        FancyArrowPatch(
            (start, bottom + _ARROW),
            (end, bottom + _ARROW),
            connectionstyle=f"bar,fraction={-height / (end - start)}",
            arrowstyle="-|>",
            mutation_scale=7,
            color=PURPLE,
            linewidth=1,
            shrinkA=0,
            shrinkB=0,
        )
    )


def _draw_arrow(ax: Axes, start: float, end: float, bottom: float) -> None:
    """An arrow to the next box, at the height where every box has something."""
    ax.annotate(
        "",
        (end, bottom + _ARROW),
        (start, bottom + _ARROW),
        arrowprops={
            **{"arrowstyle": "-|>", "color": GREY, "linewidth": 0.8, "mutation_scale": 8},
            **{"shrinkA": 0, "shrinkB": 0},
        },
    )
