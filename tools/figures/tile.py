"""The tile of six points: how an image is cut, and how many multiplications a window costs."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from . import paper

# A tile has as many results as its points leave beside the taps.
POINTS = 6


def multiplications(taps: int) -> tuple[int, int]:
    """Products per tile as a plain sum, and by points."""
    results = POINTS - taps + 1
    return taps**2 * results**2, POINTS**2


def draw() -> Figure:
    """Draw overlapping tiles, and the products that windows of 2 to 5 taps cost."""
    figure, (left, right) = paper.new_figure(9.5, 3.4, 2)
    _tiles(left)
    _bars(right)
    return figure


def _tiles(axes: Axes) -> None:
    for i in range(6):
        for j in range(10):
            colour = "#cfe6f5" if j < 5 else "#fbe3b0"
            if i in (0, 5) or j in (0, 9):
                colour = paper.PALE
            square = Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8)
            axes.add_patch(square)
    paper.frame(axes, (0.08, 0.08), (5.84, 5.84), paper.BLUE)
    paper.frame(axes, (4.08, 0.08), (5.84, 5.84), paper.RED)
    axes.text(3, -0.35, "6 × 6 pixels in", color=paper.BLUE, ha="center", fontsize=10)
    axes.text(8, -0.35, "the next tile", color=paper.RED, ha="center", fontsize=10)
    axes.text(3, 3, "4 × 4\nresults out", ha="center", va="center", fontsize=10)
    axes.text(7, 3, "4 × 4\nresults out", ha="center", va="center", fontsize=10)
    axes.set_xlim(-0.2, 10.2)
    axes.set_ylim(-0.9, 6.2)
    paper.hide_frame(axes)


def _bars(axes: Axes) -> None:
    taps = [2, 3, 4, 5]
    plain, points = zip(*(multiplications(k) for k in taps), strict=True)
    places = range(len(taps))
    axes.bar([p - 0.2 for p in places], plain, 0.38, color=paper.GREY, label="plain sum")
    axes.bar([p + 0.2 for p in places], points, 0.38, color=paper.BLUE, label="by six points")
    for place, a, b in zip(places, plain, points, strict=True):
        axes.text(place - 0.2, a + 2, a, ha="center", fontsize=9)
        axes.text(place + 0.2, b + 2, b, ha="center", fontsize=9)
    axes.set_xticks(places, [f"{k} × {k} window\n{7 - k} × {7 - k} results" for k in taps])
    axes.set_ylabel("multiplications a tile")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right", ncols=2)
    axes.set_ylim(0, 175)
