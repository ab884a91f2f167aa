"""Pictures of training, filters and feature maps. matplotlib is imported only when one is drawn.

Figures are made without pyplot: nothing global changes, no window opens, and no display is
needed. Show one in a notebook by returning it, or write it with `figure.savefig(path)`.
Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/) and matplotlib's colour
maps that colour-blind readers can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn import functional as F
from pocketcnn.history import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from pocketcnn.net import ConvNet

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#666666"


def curves(history: Iterable[Record], axes: Sequence[Axes] | None = None) -> Figure:
    """Draw loss and accuracy over the epochs, of training and of validation.

    Parameters
    ----------
    history : History or iterable of records
        As `Trainer.fit` returns; at least one epoch.
    axes : two matplotlib Axes, optional
        Where to draw the loss and the accuracy; a new figure when not given.

    Returns
    -------
    matplotlib.figure.Figure
        The figure the axes belong to.

    Raises
    ------
    ValueError
        There is no epoch in `history`, or `axes` are not two.
    ImportError
        matplotlib is not installed.
    """
    records = list(history)
    if not records:
        raise ValueError("history is empty: wanted at least one epoch")
    if axes is None:
        figure = _new_figure(9.0, 3.8)
        axes = list(figure.subplots(1, 2))
    if len(axes) != 2:
        raise ValueError(f"axes are {len(axes)}: wanted two, for the loss and the accuracy")
    left, right = axes
    epochs = [record["epoch"] for record in records]
    _draw_pair(
        left, epochs, [r["loss"] for r in records], [r["val_loss"] for r in records], best=min
    )
    _draw_pair(
        right,
        epochs,
        [100 * r["accuracy"] for r in records],
        [None if r["val_accuracy"] is None else 100 * r["val_accuracy"] for r in records],
        best=max,
        unit=" %",
    )
    left.set(title="Loss", xlabel="epoch", ylabel="mean cross-entropy", ylim=(0, None))
    right.set(title="Accuracy", xlabel="epoch", ylabel="correct, %")
    return _root(left)


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
    figure = _new_figure(
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


def feature_maps(
    net: ConvNet,
    image: ArrayLike,
    *,
    layers: Sequence[str] | None = None,
    maps: int = 10,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw what the layers of a network make of one image, a row a layer.

    Each row has a scale of its own: from dark to bright where nothing is negative, else from
    blue over white (zero) to red. Beside the image are the most probable classes.

    Parameters
    ----------
    net : ConvNet
        The network.
    image : array_like (C, H, W), or (1, C, H, W)
        As the network was trained: scaled the same way.
    layers : sequence of str, optional
        Which layers; by default all whose output is a set of maps.
    maps : int, default 10
        How many maps of a layer are drawn at most, the first ones.
    class_names : sequence of str, optional
        What to call the classes in the title, instead of their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        `image` does not fit the network, or a layer has no maps.
    ImportError
        matplotlib is not installed.
    """
    x = np.asarray(image)
    x = x[np.newaxis] if x.ndim == 3 else x
    if x.shape != (1, *net.input_shape):
        raise ValueError(f"image has shape {x.shape[1:]}, but the network takes {net.input_shape}")
    outputs = net.activations(x)
    if layers is None:
        layers = [name for name, out in outputs.items() if out.ndim == 4 and out.shape[2] > 1]
    for name in layers:
        if name not in outputs or outputs[name].ndim != 4:
            raise ValueError(f"layers has {name!r}, which is not a layer with maps")
    probability = F.softmax(net.predict(x).astype(np.float64))[0]
    winner = int(probability.argmax())
    names = [str(k) for k in range(len(probability))] if class_names is None else class_names

    figure = _new_figure(0.95 * maps + 1.9, 1.0 * (len(layers) + 1) + 0.9)
    figure.suptitle(f"Feature maps: predicted {names[winner]}, {probability[winner]:.2%}")
    grid = figure.add_gridspec(len(layers) + 1, maps)
    _draw_input(figure.add_subplot(grid[0, 0]), x[0].astype(np.float64))
    if maps > 3:
        _draw_probabilities(
            figure.add_subplot(grid[0, 3 : max(4, maps // 2 + 2)]), probability, names
        )
    for row, name in enumerate(layers, start=1):
        out = outputs[name][0]
        axes = [figure.add_subplot(grid[row, column]) for column in range(min(maps, len(out)))]
        _draw_maps(axes, out[:maps].astype(np.float64))
        _label_row(axes[0], f"{name}\n{_describe(out.shape)}")
    return figure


def _draw_pair(
    ax: Axes,
    epochs: Sequence[int],
    training: Sequence[float],
    validation: Sequence[float | None],
    best: Any,
    unit: str = "",
) -> None:
    from matplotlib.ticker import MaxNLocator

    marker = "o" if len(epochs) <= 30 else None
    ax.plot(epochs, training, color=BLUE, marker=marker, markersize=3.5, label="training")
    measured = [(e, v) for e, v in zip(epochs, validation, strict=True) if v is not None]
    if measured:
        ax.plot(
            *zip(*measured, strict=True),
            color=VERMILION,
            marker=marker and "s",
            markersize=3.5,
            linestyle="--",
            label="validation",
        )
        epoch, value = best(measured, key=lambda pair: pair[1])
        ax.plot(
            epoch,
            value,
            marker="o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor=VERMILION,
            linestyle="none",
            label=f"best: {value:.4g}{unit} (epoch {epoch})",
        )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)


def _draw_filters(
    ax: Axes, weights: NDArray[np.float64], columns: int, limit: float, plane: int | None
) -> None:
    """Draw one grid: of input channel `plane`, or in colour where that is None."""
    from matplotlib import colormaps

    if plane is None:
        ax.imshow(_tile(_stretch(weights), columns, 1.0), interpolation="nearest")
    else:
        ax.imshow(
            _tile(weights[:, plane, :, :, np.newaxis], columns, np.nan)[:, :, 0],
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


def _draw_input(ax: Axes, image: NDArray[np.float64]) -> None:
    span = float(np.ptp(image)) or 1.0
    picture = ((image - image.min()) / span).transpose(1, 2, 0)
    if picture.shape[2] == 3:
        ax.imshow(picture)
    else:
        ax.imshow(picture[:, :, 0], cmap="gray")
    ax.set_axis_off()
    _label_row(ax, f"input\n{_describe(image.shape)}")


def _draw_probabilities(
    ax: Axes, probability: NDArray[np.float64], names: Sequence[str], most: int = 4
) -> None:
    chosen = np.argsort(-probability, kind="stable")[:most]
    places = range(len(chosen))
    bars = ax.barh(places, probability[chosen], color=[BLUE] + [GREY] * (len(chosen) - 1))
    ax.bar_label(bars, [f"{p:.2%}" for p in probability[chosen]], padding=4, fontsize=8)
    for place, k in zip(places, chosen, strict=True):
        # Out of the layout, which would make room for the names by narrowing the maps below.
        ax.text(-0.02, place, names[k], ha="right", va="center", fontsize=9).set_in_layout(False)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_axis_off()


def _draw_maps(axes: Sequence[Axes], maps: NDArray[np.float64]) -> None:
    low, high = float(maps.min()), float(maps.max())
    colours = "viridis"
    if low < 0:
        colours, high = "RdBu_r", max(-low, high)
        low = -high
    for ax, plane in zip(axes, maps, strict=True):
        ax.imshow(plane, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        ax.set_axis_off()


def _label_row(ax: Axes, label: str) -> None:
    ax.text(
        -0.15, 0.5, label, transform=ax.transAxes, ha="right", va="center", fontsize=9, color=GREY
    )


def _describe(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} × {shape[1]} × {shape[2]}"


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


def _tile(pictures: NDArray[np.float64], columns: int, background: float) -> NDArray[np.float64]:
    """Lay pictures (N, H, W, depth) out in rows, one pixel apart."""
    count, height, width, depth = pictures.shape
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, depth), background)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        canvas[top : top + height, left : left + width] = picture
    return canvas


def _root(ax: Axes) -> Figure:
    figure: Figure | SubFigure = ax.figure
    return figure.figure


def _new_figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'pocketcnn[plot]'") from error
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
