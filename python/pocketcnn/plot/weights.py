"""The filters of a convolution."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn._arguments import Array, array, integer
from pocketcnn.plot.canvas import new_figure, tile
from pocketcnn.plot.words import drawable, literally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def filters(
    weights_before: Any,
    weights_after: Any = None,
    *,
    titles: tuple[str, str] = ("before training", "after training"),
    channel: int = 0,
    change: bool = False,
) -> Figure:
    """Draw the filters of a convolution as a grid of tiles, or two or three grids side by side.

    Filters on three channels are drawn in colour, each stretched to its own range; the titles say
    how large the weights are. Of all others one channel is drawn: blue is negative, white zero and
    red positive, with one scale for both grids. Values that are not finite are grey, or black in
    colour pictures.

    Parameters
    ----------
    weights_before : array_like (FN, C, KH, KW), or a layer or network
        The weight of a `Conv2d`, or a layer or network that has one: of a network the first
        convolution is drawn. Layers and networks of `pocketcnn.scratch` work too.
    weights_after : array_like (FN, C, KH, KW), or a layer or network, optional
        Drawn beside it.
    titles : (str, str), optional
        Titles of the two grids; with one set of weights the title is only the number of filters.
    channel : int, default 0
        Which input channel is drawn when there are neither one nor three.
    change : bool, default False
        Draw `weights_after - weights_before` as a third grid with its own scale: it shows what was
        learned if the first weights were large. In colour that scale goes from black over grey (no
        change) to white, and the title says how far.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        Weights that are not (FN, C, KH, KW), a network or layer without a convolution, or
        `channel` is not one of theirs.
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
    plane = None if depth == 3 else channel if depth != 1 else 0
    panels = [
        (weights, _title(title, weights, plane))
        for weights, title in zip(sets, titles, strict=False)
    ]
    if change and len(sets) == 2:
        # For the difference of two infinities, or of very large numbers.
        with np.errstate(invalid="ignore", over="ignore"):
            difference = sets[1] - sets[0]
            panels.append((difference, _title("change", difference, plane)))
    side = 3.9
    figure = new_figure(
        side * len(panels) + 0.9, side * (rows * (height + 1)) / (columns * (width + 1)) + 0.8
    )
    drawn_channel = "" if depth in (1, 3) else f", input channel {channel} of {depth}"
    figure.suptitle(f"{count} filters, {height} × {width}{drawn_channel}", fontsize=12)
    axes = figure.subplots(1, len(panels), squeeze=False, gridspec_kw={"wspace": 0.08})[0]
    for number, (ax, (weights, title)) in enumerate(zip(axes, panels, strict=True)):
        is_change = number == len(sets)
        if plane is None:
            _draw_in_colour(ax, weights, columns, about_grey=is_change)
        else:
            _draw_plane(ax, weights, columns, plane, [weights] if is_change else sets)
        if len(panels) > 1:
            ax.set_title(title, fontsize=11, **literally(title))
    if plane is not None:
        _draw_scale(figure, list(axes[: len(sets)]), "weight")
        if len(panels) > len(sets):
            _draw_scale(figure, [axes[-1]], "change of the weight")
    return figure


def _title(title: str, weights: Array, plane: int | None) -> str:
    """A panel's title; in colour, which has no scale beside it, with the largest weight."""
    title = drawable(title)
    return f"{title}: up to ±{_largest([weights]):.2g}" if plane is None else title


def _largest(sets: Iterable[Array]) -> float:
    """The largest finite absolute value, or 1 if all are zero."""
    sizes = [np.abs(weights[np.isfinite(weights)]) for weights in sets]
    # A scale twice as long as this must be finite too.
    return min(max(float(size.max(initial=0)) for size in sizes), 1e307) or 1.0


def _draw_in_colour(
    ax: Axes, weights: NDArray[np.float64], columns: int, *, about_grey: bool
) -> None:
    """Draw filters on three channels: each in its own range, or all in one around zero, grey."""
    scaled = _about_grey(weights) if about_grey else _stretch(weights)
    ax.imshow(tile(scaled, columns, 1.0), interpolation="nearest")
    ax.set_axis_off()


def _draw_plane(ax: Axes, weights: Array, columns: int, plane: int, shown: Iterable[Array]) -> None:
    """Draw one input channel of filters, on the common scale of all that is shown."""
    from matplotlib import colormaps

    limit = _largest(shown)
    weights = np.where(np.isfinite(weights), weights, np.nan)
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


def _check_filters(name: str, weights: Any, channel: int) -> NDArray[np.float64]:
    found = array(name, _weights_of(name, weights)).astype(np.float64)
    if found.ndim != 4 or found.size == 0:
        raise ValueError(f"{name} has shape {found.shape}: wanted (FN, C, KH, KW)")
    if not 0 <= integer("channel", channel) < found.shape[1]:
        raise ValueError(f"channel is {channel}, but {name} has {found.shape[1]} channels")
    return found


def _weights_of(name: str, weights: Any) -> ArrayLike:
    """The first filters of a network or layer, of either interface; or an array."""
    params = getattr(weights, "params", None)
    if isinstance(params, Mapping):
        for value in params.values():
            if np.ndim(value) == 4:
                return value  # type: ignore[no-any-return]  # a parameter is an array
        raise ValueError(f"{name} is a {type(weights).__name__} without a convolution")
    if hasattr(weights, "forward"):
        return getattr(weights, "W", ())
    return weights  # type: ignore[no-any-return]  # whatever np.asarray takes


def _stretch(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each filter (C, KH, KW) to 0..1, channels last; values that are not finite become 0."""
    axes = (1, 2, 3)
    finite = np.isfinite(weights)
    low = np.where(finite, weights, np.inf).min(axis=axes, keepdims=True)
    high = np.where(finite, weights, -np.inf).max(axis=axes, keepdims=True)
    low, high = np.where(low <= high, low, 0), np.where(low <= high, high, 0)
    half = np.where(high > low, high / 2 - low / 2, 0.5)  # high - low may overflow
    scaled: NDArray[np.float64] = (np.where(finite, weights, low) / 2 - low / 2) / half
    return scaled.transpose(0, 2, 3, 1)


def _about_grey(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale weights (N, C, KH, KW) to 0..1 together, with zero at 0.5, channels last."""
    scaled = 0.5 + weights / (2 * _largest([weights]))
    shown: NDArray[np.float64] = np.clip(np.where(np.isfinite(weights), scaled, 0), 0, 1)
    return shown.transpose(0, 2, 3, 1)
