"""What the layers of a network make of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn import functional as F
from pocketcnn.plot.canvas import BLUE, GREY, describe, label_row, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pocketcnn.net import ConvNet


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

    figure = new_figure(0.95 * maps + 1.9, 1.0 * (len(layers) + 1) + 0.9)
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
        label_row(axes[0], f"{name}\n{describe(out.shape)}")
    return figure


def _draw_input(ax: Axes, image: NDArray[np.float64]) -> None:
    span = float(np.ptp(image)) or 1.0
    picture = ((image - image.min()) / span).transpose(1, 2, 0)
    if picture.shape[2] == 3:
        ax.imshow(picture)
    else:
        ax.imshow(picture[:, :, 0], cmap="gray")
    ax.set_axis_off()
    label_row(ax, f"input\n{describe(image.shape)}")


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
