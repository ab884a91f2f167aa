"""What all figures share: colours that colour-blind readers can tell apart, and grids of cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

# Okabe and Ito (https://jfly.uni-koeln.de/color/), and greys.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, INK, GREY, PALE = "#56B4E9", "#222222", "#8a8a8a", "#e9e9e9"


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a figure in inches with empty axes side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def hide_frame(axes: Axes) -> None:
    """Leave nothing of the axes but what is drawn, with equal units and rows that go down."""
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.axis("off")


def cells(
    axes: Axes,
    values: Sequence[Sequence[object]],
    corner: tuple[float, float] = (0, 0),
    colours: Sequence[Sequence[str]] | None = None,
    fontsize: float = 9,
) -> None:
    """Draw a table of numbers as squares, its upper left corner at (x, y)."""
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            place = (corner[0] + j, corner[1] + i)
            colour = colours[i][j] if colours else "white"
            axes.add_patch(Rectangle(place, 1, 1, facecolor=colour, edgecolor=GREY, linewidth=0.6))
            middle = (place[0] + 0.5, place[1] + 0.5)
            axes.text(*middle, str(value), ha="center", va="center", fontsize=fontsize, color=INK)


def frame(axes: Axes, corner: tuple[float, float], size: tuple[float, float], colour: str) -> None:
    """Draw a thick outline."""
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=2.4, zorder=3))


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow between two points."""
    style = {"arrowstyle": "-|>", "mutation_scale": 12, "color": INK, "linewidth": 1.2}
    axes.add_patch(FancyArrowPatch(start, end, **style))


def write(figure: Figure, path: Path) -> None:
    """Write an SVG file that is the same every time."""
    with mpl.rc_context({"svg.hashsalt": path.name}):
        figure.savefig(path, metadata={"Date": None})
