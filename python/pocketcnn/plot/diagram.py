"""A picture of a network: a box for what each layer makes, with its shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pocketcnn._arguments import pair
from pocketcnn.inspection.receptive import branches_of
from pocketcnn.layers import Conv2d, Layer, Linear, Shape
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


@dataclass
class _Part:
    """What one box stands for: an output's shape, and the layers that made it."""

    shape: Shape
    colour: str
    text: list[str]
    skips: bool = False


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
    into it to the arrow out of it.

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
    above = [max(box.height + box.depth for box in boxes[line]) + 0.35 for line in lines]
    below = [max(len(part.text) for part in parts[line]) * _LINE + 0.1 for line in lines]
    height = sum(above) + sum(below)
    if axes is None:
        axes = new_figure(_PITCH * columns + 0.3, height + 0.4).subplots()
    ground = 0.0
    for line, up, down in zip(lines, above, below, strict=True):
        ground -= up
        for column, (part, box) in enumerate(zip(parts[line], boxes[line], strict=True)):
            _draw_box(axes, column * _PITCH, ground, box, part)
            if column == 0 and part is not parts[0]:
                _draw_arrow(axes, -0.25, -0.05, ground)
            if part is not parts[-1]:
                end = (column + 1) * _PITCH - 0.05
                start = column * _PITCH + box.thickness + box.depth + 0.05
                _draw_arrow(axes, min(start, end - 0.2), end, ground)
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
    parts = [_Part(net.input_shape, GREY, ["input", describe(net.input_shape)])]
    shape = net.input_shape
    for name, layer in net.layers.items():
        before, shape = shape, layer.output_shape(shape)
        flattens = len(shape) < len(before) and not layer.param_shapes
        if flattens or (shape == before and not _has_weights(layer)):
            parts[-1].text.append(f"+ {type(layer).__name__}")
            continue
        text = [name, describe(shape), *_about(layer)]
        parts.append(_Part(shape, _colour(layer), text, skips=bool(branches_of(layer))))
    return parts


def _has_weights(layer: Layer) -> bool:
    """Whether the layer mixes numbers: batch normalisation only scales them."""
    return any(len(shape) > 1 for shape in layer.param_shapes.values())


def _colour(layer: Layer) -> str:
    if branches_of(layer):
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
        _draw_skip(ax, left, min(right + back, left + _PITCH - 0.3), bottom, top + back)
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


def _draw_skip(ax: Axes, left: float, right: float, bottom: float, top: float) -> None:
    """Draw the line around a box, from the arrow before it to the arrow after it."""
    from matplotlib.patches import FancyArrowPatch

    start, end, height = left - 0.16, right + 0.16, top + 0.1 - (bottom + _ARROW)
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
