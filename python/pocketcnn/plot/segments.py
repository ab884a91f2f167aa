"""Pictures of segmentation: images with the classes of their pixels, as they are and as guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import _arguments
from pocketcnn._arguments import Array
from pocketcnn.plot.canvas import as_picture, class_names_of, draw_picture, new_figure, pixel_range
from pocketcnn.plot.words import literally

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def segmentation(
    x: ArrayLike,
    scores: ArrayLike,
    t: ArrayLike | None = None,
    *,
    count: int = 4,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw images in rows: the image, the true class of every pixel, and the guess.

    Parameters
    ----------
    x : array_like (N, C, H, W)
        The images.
    scores : array_like (N, K, H, W)
        Scores of every pixel, such as `ConvNet.predict` returns.
    t : array_like of int (N, H, W), optional
        The true classes; a number that is no class, such as 255, is drawn in white.
    count : int, default 4
        How many images are drawn at most.
    class_names : sequence of str, optional
        Names of the classes, such as `net.classes`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        `x`, `scores` and `t` do not fit each other.
    ImportError
        matplotlib is not installed.
    """
    images, maps = _arguments.array("x", x, 4), _arguments.array("scores", scores, 4)
    places = (len(images), *images.shape[2:])
    if maps.shape[:1] + maps.shape[2:] != places:
        raise ValueError(f"scores has shape {maps.shape}, but x {images.shape}")
    classes = maps.shape[1]
    columns = [("guess", maps.argmax(axis=1))]
    if t is not None:
        truth = _arguments.array("t", t, 3)
        _arguments.require_shape("t", truth, places)
        columns.insert(0, ("truth", truth))
    names = class_names_of(classes, class_names)
    shown = range(min(_arguments.integer("count", count, 1), len(images)))
    rows = max(len(shown), 1)
    figure = new_figure(2.1 * (1 + len(columns)), 2.1 * rows + 0.7)
    axes = figure.subplots(rows, 1 + len(columns), squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    colours, pixels = _colours(classes), pixel_range(images)
    for row, index in zip(axes, shown, strict=False):
        draw_picture(row[0], as_picture(images[index], pixels))
        for ax, (_, labels) in zip(row[1:], columns, strict=True):
            draw_picture(ax, _coloured(labels[index], colours))
    for ax, title in zip(axes[0], ["image", *(name for name, _ in columns)], strict=True):
        ax.set_title(title, fontsize=10)
    _add_legend(figure, names, colours)
    return figure


def _colours(classes: int) -> Array:
    """One colour for each class: the first, the ground, dark; those after 10 repeat."""
    from matplotlib import colormaps

    others = np.array(colormaps["tab10"].colors)  # type: ignore[attr-defined]  # it has a list
    return np.array([(0.15, 0.15, 0.18), *(others[k % len(others)] for k in range(classes - 1))])


def _coloured(labels: Array, colours: Array) -> Array:
    known = (labels >= 0) & (labels < len(colours))
    return np.where(known[..., None], colours[np.where(known, labels, 0)], 1.0)


def _add_legend(figure: Figure, names: Sequence[str], colours: Array) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=tuple(colour)) for colour in colours]
    columns = min(len(names), 6)
    legend = figure.legend(
        patches,
        [" "] * len(names),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8,
    )
    # matplotlib leaves out names like "_...", so names are set after the legend is made.
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=name, **literally(name))
