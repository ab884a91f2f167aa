"""What the layers of a network compute from one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn import functional as F
from pocketcnn._arguments import Array, integer
from pocketcnn.layers import Flatten
from pocketcnn.plot.canvas import (
    BLUE,
    GREY,
    as_picture,
    class_names_of,
    describe,
    draw_picture,
    finite_range,
    new_figure,
    one_image,
    pixel_range,
)
from pocketcnn.plot.words import drawable, literally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from pocketcnn.network.net import ConvNet

# With more classes their names would not fit below a band.
_NAMED = 20


def feature_maps(
    net: ConvNet,
    image: ArrayLike,
    *,
    layers: Sequence[str] | None = None,
    maps: int = 10,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw what the layers of a network compute from one image, one row per layer.

    Each row has its own scale: from dark to bright if nothing is negative, else from blue over
    white (zero) to red. The smallest and the largest number are at its end. Beside the image are
    the most probable classes.

    Parameters
    ----------
    net : ConvNet
        The network.
    image : array_like (C, H, W), or (1, C, H, W)
        As the network was trained: scaled the same way.
    layers : sequence of str, optional
        Which layers; by default all but Flatten, which makes no visible change. The numbers of a
        layer without maps are drawn as a band.
    maps : int, default 10
        How many maps of a layer are drawn at most, from the first on.
    class_names : sequence of str, optional
        What to call the classes in the title, instead of their numbers.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        `image` does not fit the network, or there is no such layer.
    ImportError
        matplotlib is not installed.
    """
    x = one_image(net, image)
    outputs = {name: out[0].astype(np.float64) for name, out in net.activations(x).items()}
    maps = integer("maps", maps, 1)
    layers = [layers] if isinstance(layers, str) else layers
    if layers is None:
        layers = [name for name, layer in net.layers.items() if not isinstance(layer, Flatten)]
    for name in layers:
        if name not in outputs or outputs[name].ndim not in (1, 3):
            raise ValueError(f"layers has {name!r}: wanted some of {', '.join(outputs)}")
    probability = F.softmax(net.predict(x).astype(np.float64))[0]
    names = class_names_of(len(probability), class_names)

    heights = [1.0, *(0.4 if _is_band(outputs[name]) else 1.0 for name in layers)]
    named = _is_named(outputs[layers[-1]], names) if layers else False
    figure = new_figure(0.95 * maps + 2.5, sum(heights) + (1.5 if named else 0.9))
    title = f"Feature maps: {_verdict(probability, names)}"
    figure.suptitle(title, **literally(title))
    grid = figure.add_gridspec(len(layers) + 1, maps, height_ratios=heights)
    _draw_input(figure.add_subplot(grid[0, 0]), x)
    if maps > 3 and np.isfinite(probability).all():
        _draw_probabilities(
            figure.add_subplot(grid[0, 3 : max(4, maps // 2 + 2)]), probability, names
        )
    for row, name in enumerate(layers, start=1):
        out = outputs[name]
        if _is_band(out):
            axes = [figure.add_subplot(grid[row, :])]
            _draw_maps(axes, out.reshape(1, 1, -1))
        else:
            axes = [figure.add_subplot(grid[row, column]) for column in range(min(maps, len(out)))]
            _draw_maps(axes, out[:maps])
        _label_row(axes[0], f"{drawable(name)}\n{describe(out.shape)}")
        at_the_end = _is_band(out) or len(out) >= maps
        _label_range(axes[-1], out if _is_band(out) else out[:maps], in_layout=at_the_end)
    if named:
        _name_band(axes[0], names)
    return figure


def _is_named(out: Array, names: Sequence[str]) -> bool:
    """Whether the numbers of a band are those of the classes, and there is room for their names."""
    return _is_band(out) and out.size == len(names) <= _NAMED


def _verdict(probability: NDArray[np.float64], names: Sequence[str]) -> str:
    if not np.isfinite(probability).all():
        return "no prediction, as the scores are not finite"
    winner = int(probability.argmax())
    return f"predicted {names[winner]}, {probability[winner]:.2%}"


def _is_band(out: Array) -> bool:
    """Whether a layer's output is a row of numbers rather than a set of maps."""
    return out.ndim == 1 or out.shape[1:] == (1, 1)


def _draw_input(ax: Axes, x: Array) -> None:
    draw_picture(ax, as_picture(x[0], pixel_range(x)))
    _label_row(ax, f"input\n{describe(x.shape[1:])}")


def _draw_probabilities(
    ax: Axes, probability: NDArray[np.float64], names: Sequence[str], most: int = 4
) -> None:
    chosen = np.argsort(-probability, kind="stable")[:most]
    places = range(len(chosen))
    bars = ax.barh(places, probability[chosen], color=[BLUE] + [GREY] * (len(chosen) - 1))
    shares = [f"{p:.2%}" for p in probability[chosen]]
    texts: list[Text] = [*ax.bar_label(bars, shares, padding=4, fontsize=8)]
    for place, k in zip(places, chosen, strict=True):
        style = {"ha": "right", "va": "center", "fontsize": 9, **literally(names[k])}
        texts.append(ax.text(-0.02, place, names[k], **style))
    for text in texts:
        # Outside the layout, which would make room for it by narrowing the maps below.
        text.set_in_layout(False)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_axis_off()


def _draw_maps(axes: Sequence[Axes], maps: Array) -> None:
    """Draw maps (K, H, W) on one scale; maps of one row as a band across the axes."""
    low, high = finite_range(maps)
    colours = "viridis"
    if low < 0:
        colours, high = "RdBu_r", max(-low, high)
        low = -high
    aspect: Literal["auto", "equal"] = "auto" if maps.shape[1] == 1 else "equal"
    for ax, plane in zip(axes, maps, strict=True):
        ax.imshow(plane, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect=aspect)
        ax.set_axis_off()


def _label_row(ax: Axes, label: str) -> None:
    """Write a label to the left of the first axes of a row."""
    _label(ax, label, (0, 0.5), (-8, 0), ha="right", fontsize=9, **literally(label))


def _label_range(ax: Axes, maps: Array, *, in_layout: bool) -> None:
    """Write the range of a row's numbers to the right of its last axes.

    Before the end of the grid there is room already, so it stays outside the layout, which would
    add more.
    """
    low, high = finite_range(maps)
    wrong = maps.size - int(np.isfinite(maps).sum())
    ends = f"{low:.3g} to {high:.3g}".replace("-", "−")
    lines = [ends, *([f"{wrong:,} not finite"] if wrong else [])]
    _label(ax, "\n".join(lines), (1, 0.5), (6, 0), ha="left", fontsize=8, in_layout=in_layout)


def _label(
    ax: Axes, label: str, at: tuple[float, float], offset: tuple[float, float], **style: Any
) -> None:
    style = {"va": "center", "color": GREY, **style}
    ax.annotate(label, at, offset, xycoords="axes fraction", textcoords="offset points", **style)


def _name_band(ax: Axes, names: Sequence[str]) -> None:
    """Write the names of the classes below their numbers."""
    names = [name if len(name) <= 16 else f"{name[:15]}…" for name in names]
    slant = {"rotation": 30, "ha": "right"} if max(map(len, names)) > 8 else {"ha": "center"}
    style = {"va": "top", "fontsize": 8, **slant, **literally(*names)}
    for place, name in enumerate(names):
        ax.text(place, -0.15, name, transform=ax.get_xaxis_transform(), **style)
