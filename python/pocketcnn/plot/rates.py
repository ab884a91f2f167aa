"""The picture of a learning-rate range test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketcnn.plot.canvas import BLUE, SKY, VERMILION, new_figure, root
from pocketcnn.training.rate_finder import RateSearch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def rate_finder(search: RateSearch, axes: Axes | None = None) -> Figure:
    """Draw the loss over the learning rate, and the rate that is suggested.

    Parameters
    ----------
    search : RateSearch
        As `Trainer.find_rate` returns.
    axes : matplotlib Axes, optional
        Where to draw; a new figure when not given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    if not isinstance(search, RateSearch):
        raise TypeError(f"search is a {type(search).__name__}: wanted what find_rate returns")
    ax = new_figure(6.0, 3.8).subplots() if axes is None else axes
    ax.plot(search.rates, search.losses, color=SKY, linewidth=0.8, label="loss of the batch")
    ax.plot(search.rates, search.smoothed, color=BLUE, label="smoothed")
    at = f"suggestion: {search.suggestion:.2g}"
    ax.axvline(search.suggestion, color=VERMILION, linestyle="--", linewidth=1, label=at)
    ax.set(xscale="log", xlabel="learning rate", ylabel="mean loss", title="Learning-rate test")
    # The usual labels of powers need fonts for formulas, which are not everywhere.
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    top = float(search.smoothed.max())
    bottom = float(min(search.losses.min(), search.smoothed.min()))
    ax.set_ylim(min(bottom, 0.0), 1.1 * top)
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return root(ax)
