"""Where a classifier is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import _arguments, inspection
from pocketcnn import functional as F
from pocketcnn.plot.canvas import (
    as_picture,
    class_names_of,
    draw_picture,
    grid_shape,
    new_figure,
    pixel_range,
    root,
)
from pocketcnn.plot.words import literally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Above this many classes the numbers in the cells would no longer be legible.
_NUMBERED = 20


def confusion_matrix(
    scores: ArrayLike,
    t: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw how often each class was taken for each other: rows are the truth, columns the guess.

    The colour is the square root of the share of the row, so that rare mistakes can be seen; the
    numbers are counts, left out above 20 classes.

    Parameters
    ----------
    scores : array_like (N, K)
        As `ConvNet.predict` gives.
    t : array_like, int (N,) or float (N, K)
        Labels, or a probability for each class.
    class_names : sequence of str, optional
        What to call the classes, instead of their numbers.
    axes : matplotlib Axes, optional
        Where to draw; a new figure when not given.

    Returns
    -------
    matplotlib.figure.Figure
        The figure the axes belong to.

    Raises
    ------
    TypeError, ValueError
        `t` does not fit the scores, or `class_names` do not.
    ImportError
        matplotlib is not installed.
    """
    counts = inspection.confusion_matrix(scores, t)
    names = class_names_of(len(counts), class_names)
    if axes is None:
        room = 0.075 * max(0, max(map(len, names)) - 10)  # for long names
        side = 2.4 + min(0.45 * len(counts), 9) + (room if len(names) <= _NUMBERED else room / 2)
        axes = new_figure(side, side).subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    if len(counts) <= _NUMBERED:
        for (row, column), number in np.ndenumerate(counts):
            if number:
                colour = "white" if shares[row, column] > 0.4 else "black"
                axes.text(
                    column, row, str(number), ha="center", va="center", color=colour, fontsize=9
                )
    places = range(len(counts))
    words = literally(*names)
    if len(names) > _NUMBERED:
        words["fontsize"] = max(4.0, 200 / len(names))
    slanted: dict[str, Any] = {}
    if max(map(len, names)) > 2:
        slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(places, names, **words, **slanted)
    axes.set_yticks(places, names, **words)
    total, right = int(counts.sum()), int(np.trace(counts))
    share = f"{right / total:.1%} of {total:,} right" if total else "no samples"
    axes.set(xlabel="guess", ylabel="truth", title=f"Confusion matrix: {share}")
    axes.spines[:].set_visible(False)
    return root(axes)


def misclassified(
    x: ArrayLike,
    scores: ArrayLike,
    t: ArrayLike,
    *,
    count: int = 24,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Draw the images whose guess is wrong, with truth and guess, the most confident guesses first.

    Parameters
    ----------
    x : array_like (N, C, H, W)
        The images.
    scores, t, class_names
        As in `confusion_matrix`.
    count : int, default 24
        How many are drawn at most.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        `x`, `scores` and `t` do not fit each other.
    ImportError
        matplotlib is not installed.
    """
    images, scores = _arguments.array("x", x, 4), _arguments.array("scores", scores, 2)
    if len(images) != len(scores):
        raise ValueError(f"x has {len(images)} images, but scores have {len(scores)} rows")
    wrong = inspection.misclassified(scores, t)
    truth = np.asarray(t) if np.ndim(t) == 1 else np.argmax(t, axis=1)
    names = class_names_of(scores.shape[1], class_names)
    shown = wrong[: _arguments.integer("count", count, 1)]
    rows, columns = grid_shape(max(len(shown), 1), 6)
    figure = new_figure(max(1.55 * columns, 4.0) + 0.2, 1.95 * rows + 0.6)
    figure.suptitle(f"{len(wrong):,} of {len(images):,} misclassified", fontsize=12)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    pixels = pixel_range(images)
    for ax, index in zip(axes, shown, strict=False):
        probability = F.softmax(scores[index : index + 1].astype(np.float64))[0]
        guess = int(probability.argmax())
        draw_picture(ax, as_picture(images[index], pixels))
        title = f"truth {names[int(truth[index])]}\nguess {names[guess]}, {probability[guess]:.0%}"
        ax.set_title(title, fontsize=8, **literally(title))
    return figure
