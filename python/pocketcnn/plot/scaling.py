"""Pictures of training in several processes: their timeline, and how speed grows with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pocketcnn.distributed.communicator import Span
from pocketcnn.plot.canvas import BLUE, GREEN, ORANGE, SKY, VERMILION, new_figure, root

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, SKY)


def timeline(spans: Sequence[Span], until: float | None = None, axes: Axes | None = None) -> Figure:
    """Draw when each rank computed, when it waited, and when gradients were summed beside.

    Parameters
    ----------
    spans : sequence of Span
        What `Communicator.recording` noted on all ranks: ``sum(comm.gather(spans), [])``.
    until : float, optional
        The end of the picture, in seconds; that of the last span when not given.
    axes : matplotlib Axes, optional
        Where to draw; a new figure when not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not spans:
        raise ValueError("spans has none: nothing was recorded")
    ranks = sorted({span.rank for span in spans})
    end = max(span.end for span in spans) if until is None else until
    ax = new_figure(9.0, 1.2 + 0.8 * len(ranks)).subplots() if axes is None else axes
    for row, rank in enumerate(ranks):
        own = [span for span in spans if span.rank == rank and span.start < end]
        ax.broken_barh([(0, end * 1e3)], (row, 0.4), color=BLUE, label="compute")
        for kind, colour, bottom in (("wait", ORANGE, row), ("sum", VERMILION, row + 0.4)):
            parts = [
                (span.start * 1e3, (min(span.end, end) - span.start) * 1e3)
                for span in own
                if span.kind == kind
            ]
            told = {"wait": "wait for other ranks", "sum": "sum of gradients"}[kind]
            ax.broken_barh(
                parts, (bottom, 0.4), facecolor=colour, edgecolor="white", linewidth=0.4, label=told
            )
    ax.set_yticks([row + 0.4 for row in range(len(ranks))], [f"rank {rank}" for rank in ranks])
    ax.set(xlabel="milliseconds", xlim=(0, end * 1e3), title="Compute and communication")
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    handles, labels = ax.get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    figure = root(ax)
    figure.legend(shown.values(), shown.keys(), frameon=False, ncols=3, loc="outside lower center")
    return figure


def scaling(
    ranks: Sequence[int], speeds: Mapping[str, Sequence[float]], axes: Axes | None = None
) -> Figure:
    """Draw how many times as fast as one rank some ranks train.

    Parameters
    ----------
    ranks : sequence of int
        Numbers of ranks, the first of which is 1.
    speeds : mapping of str to sequence of float
        By the name of a network, images per second with each number of ranks.
    axes : matplotlib Axes, optional
        Where to draw; a new figure when not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not ranks or ranks[0] != 1:
        raise ValueError(f"ranks is {list(ranks)}: wanted numbers from 1 on")
    ax = new_figure(6.0, 4.4).subplots() if axes is None else axes
    ax.plot(ranks, ranks, color="#999999", linestyle="--", linewidth=1, label="ideal")
    for place, (name, values) in enumerate(speeds.items()):
        times = [value / values[0] for value in values]
        ax.plot(ranks, times, color=_COLOURS[place % len(_COLOURS)], marker=".", label=name)
    ax.set(xlabel="ranks", ylabel="times as fast as one rank", title="Predicted speed of training")
    for axis, scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
        scale("log", base=2)
        # The usual labels of powers need fonts for formulas, which are not everywhere.
        axis.set_major_formatter("{x:g}")
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return root(ax)
