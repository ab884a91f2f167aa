"""The filters of a convolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn.plot.canvas import new_figure, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def filters(
    weights_before: ArrayLike,
    weights_after: ArrayLike | None = None,
    *,
    titles: tuple[str, str] = ("before training", "after training"),
    channel: int = 0,
    change: bool = False,
) -> Figure:
    """Draw the filters of a convolution as a grid of tiles, or two or three side by side.

    Filters on three channels are drawn in colour, each stretched to its own range. All others
    are drawn one channel deep: blue is negative, white zero and red positive, with one scale
    for both grids.

    Parameters
    ----------
    weights_before : array_like (FN, C, KH, KW)
        The weight of a `Conv2d`.
    weights_after : array_like (FN, C, KH, KW), optional
        Drawn beside it.
    titles : (str, str), optional
        Of the two grids; with one set of weights the title is only the number of filters.
    channel : int, default 0
        Which input channel is drawn when there are neither one nor three.
    change : bool, default False
        Draw `weights_after - weights_before` as a third grid, with a scale of its own: it shows
        what was learned where the first weights were large.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Weights that are not (FN, C, KH, KW), or `channel` is not one of theirs.
    ImportError
        matplotlib is not installed.
    """
    sets = [_check_filters("weights_before", weights_before, channel)]
    if weights_after is not None:
        sets.append(_check_filters("weights_after", weights_after, channel))
        if sets[1].shape != sets[0].shape:
            raise ValueError(
                f"weights_after has shape {sets[1].shape}, but weights_before {sets[0].shape}"
            )
    count, depth, height, width = sets[0].shape
    columns = min(count, max(1, math.ceil(math.sqrt(count * height / width * 1.2))))
    rows = math.ceil(count / columns)
    panels = [(weights, title) for weights, title in zip(sets, titles, strict=False)]
    if change and len(sets) == 2:
        panels.append((sets[1] - sets[0], "change"))
    side = 3.9
    figure = new_figure(
        side * len(panels) + 0.9, side * (rows * (height + 1)) / (columns * (width + 1)) + 0.8
    )
    drawn_channel = "" if depth in (1, 3) else f", input channel {channel} of {depth}"
    figure.suptitle(f"{count} filters, {height} × {width}{drawn_channel}", fontsize=12)
    axes = figure.subplots(1, len(panels), squeeze=False, gridspec_kw={"wspace": 0.08})[0]
    plane = None if depth == 3 else channel if depth != 1 else 0
    for ax, (weights, title) in zip(axes, panels, strict=True):
        shown = sets if title != "change" else [weights]
        limit = max(float(np.abs(array).max()) for array in shown) or 1.0
        _draw_filters(ax, weights, columns, limit, plane)
        if len(panels) > 1:
            ax.set_title(title, fontsize=11)
    if plane is not None:
        _draw_scale(figure, list(axes[: len(sets)]), "weight")
        if len(panels) > len(sets):
            _draw_scale(figure, [axes[-1]], "change of the weight")
    return figure


def _draw_filters(
    ax: Axes, weights: NDArray[np.float64], columns: int, limit: float, plane: int | None
) -> None:
    """Draw one grid: of input channel `plane`, or in colour where that is None."""
    from matplotlib import colormaps

    if plane is None:
        ax.imshow(tile(_stretch(weights), columns, 1.0), interpolation="nearest")
    else:
        ax.imshow(
            tile(weights[:, plane, :, :, np.newaxis], columns, np.nan)[:, :, 0],
            cmap=colormaps["RdBu_r"].with_extremes(bad="#c8c8c8"),
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
        )
    ax.set_axis_off()


def _draw_scale(figure: Figure, axes: list[Axes], label: str) -> None:
    """Draw the colour scale of `axes`, which share it."""
    bar = figure.colorbar(axes[0].images[0], ax=axes, shrink=0.7, aspect=25, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)


def _check_filters(name: str, weights: ArrayLike, channel: int) -> NDArray[np.float64]:
    array = np.asarray(weights, dtype=np.float64)
    if array.ndim != 4 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: wanted (FN, C, KH, KW)")
    if not 0 <= channel < array.shape[1]:
        raise ValueError(f"channel is {channel}, but {name} has {array.shape[1]} channels")
    return array


def _stretch(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring each filter (C, KH, KW) to 0..1, channels last."""
    axes = (1, 2, 3)
    low = weights.min(axis=axes, keepdims=True)
    span = weights.max(axis=axes, keepdims=True) - low
    scaled: NDArray[np.float64] = (weights - low) / np.where(span > 0, span, 1.0)
    return scaled.transpose(0, 2, 3, 1)
