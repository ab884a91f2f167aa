"""Curves of loss and accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pocketcnn.plot.canvas import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    new_figure,
    root,
)
from pocketcnn.plot.words import drawable, literally
from pocketcnn.training.history import COLUMNS, Record
from pocketcnn.training.metrics import rises

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CYCLE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
_DASHES = ("-", "--", ":")


def curves(history: Iterable[Record], axes: Sequence[Axes] | None = None) -> Figure:
    """Draw loss and accuracy over the epochs, of training and of validation.

    If a number is not finite, the curve has a gap. Where there is no accuracy, because the targets
    are numbers, the first metric is drawn in its place.

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
    left, right = _two_axes(axes)
    epochs = [record["epoch"] for record in records]
    _draw_pair(
        left, epochs, [r["loss"] for r in records], [r["val_loss"] for r in records], best=min
    )
    left.set(title="Loss", xlabel="epoch", ylabel="mean loss")
    if all(record["accuracy"] is None for record in records):
        _draw_metric(right, records)
    else:
        _draw_pair(
            right,
            epochs,
            [_percent(r["accuracy"]) for r in records],
            [None if r["val_accuracy"] is None else 100 * r["val_accuracy"] for r in records],
            best=max,
            unit=" %",
        )
        right.set(title="Accuracy", xlabel="epoch", ylabel="correct, %")
    left.set_ylim(bottom=0)
    return root(left)


def compare(
    histories: Mapping[str, Iterable[Record]],
    *,
    over: Literal["epochs", "seconds"] = "epochs",
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw loss and accuracy of several runs on top of each other.

    Parameters
    ----------
    histories : mapping of str to History
        Name and records of each run; at least one epoch each. If a run was validated, the accuracy
        is that of the validation.
    over : {"epochs", "seconds"}
        The horizontal axis; seconds are those of training, without validation.
    axes : two matplotlib Axes, optional
        Where to draw the training loss and the accuracy; a new figure when not given.

    Returns
    -------
    matplotlib.figure.Figure
        The figure the axes belong to.

    Raises
    ------
    ValueError
        No history, one without an epoch, or `axes` are not two.
    ImportError
        matplotlib is not installed.
    """
    runs = {name: list(history) for name, history in histories.items()}
    empty = [name for name, records in runs.items() if not records]
    if not runs or empty:
        raise ValueError(f"histories has runs without an epoch: {empty or 'no run at all'}")
    if over not in ("epochs", "seconds"):
        raise ValueError(f"over is {over!r}: wanted 'epochs' or 'seconds'")
    left, right = _two_axes(axes)
    for index, (name, records) in enumerate(runs.items()):
        places = np.array([record["epoch"] for record in records], dtype=float)
        if over == "seconds":
            places = np.cumsum([record["seconds"] for record in records])
        style: dict[str, Any] = {
            "color": _CYCLE[index % len(_CYCLE)],
            "linestyle": _DASHES[index // len(_CYCLE) % len(_DASHES)],
            "marker": "o" if len(records) <= 30 else None,
            "markersize": 3.5,
        }
        name = drawable(name)
        left.plot(places, [record["loss"] for record in records], label=name, **style)
        accuracy = [
            _percent(r["accuracy"] if r["val_accuracy"] is None else r["val_accuracy"])
            for r in records
        ]
        best = max(filter(math.isfinite, accuracy), default=math.nan)
        right.plot(places, accuracy, label=f"{name}: best {best:.4g} %", **style)
    label = "epoch" if over == "epochs" else "seconds of training"
    left.set(title="Training loss", xlabel=label, ylabel="mean loss")
    left.set_ylim(bottom=0)
    right.set(title="Accuracy", xlabel=label, ylabel="correct, %")
    for ax in (left, right):
        _dress(ax, whole_numbers=over == "epochs")
        _add_legend(ax, below=axes is None)
    return root(left)


def _draw_metric(ax: Axes, records: Sequence[Record]) -> None:
    """Draw the first metric; without one, nothing."""
    rows: list[dict[str, Any]] = [dict(record) for record in records]
    name = next((key for key in rows[0] if f"val_{key}" in rows[0] and key not in COLUMNS), None)
    if name is None:
        ax.set_axis_off()
        return
    training = [math.nan if row.get(name) is None else row[name] for row in rows]
    validation = [row.get(f"val_{name}") for row in rows]
    best = min if rises(name) is False else max
    _draw_pair(ax, [row["epoch"] for row in rows], training, validation, best)
    ax.set(title=drawable(name), xlabel="epoch", ylabel=drawable(name))


def _percent(share: float | None) -> float:
    """Convert an accuracy; where there is none the curve has a gap."""
    return math.nan if share is None else 100 * share


def _two_axes(axes: Sequence[Axes] | None) -> Sequence[Axes]:
    if axes is None:
        return list(new_figure(9.0, 3.8).subplots(1, 2))
    if len(axes) != 2:
        raise ValueError(f"axes are {len(axes)}: wanted two, for the loss and the accuracy")
    return axes


def _dress(ax: Axes, *, whole_numbers: bool) -> None:
    """Add a grid."""
    from matplotlib.ticker import MaxNLocator

    if whole_numbers:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _add_legend(ax: Axes, *, below: bool) -> None:
    """Add a legend, within the axes or, where it would cover a curve, below them."""
    lines = ax.get_lines()
    place: dict[str, Any] = {"frameon": False}
    if below:
        place |= {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        longest = max(len(str(line.get_label())) for line in lines)
        place |= {"ncols": 2 if len(lines) > 3 and longest < 24 else 1}
    # matplotlib leaves out names like "_...", so names are set after the legend is made.
    legend = ax.legend(lines, [" "] * len(lines), **place)
    for text, line in zip(legend.get_texts(), lines, strict=True):
        name = str(line.get_label())
        text.set(text=name, **literally(name))


def _draw_pair(
    ax: Axes,
    epochs: Sequence[int],
    training: Sequence[float],
    validation: Sequence[float | None],
    best: Any,
    unit: str = "",
) -> None:
    marker = "o" if len(epochs) <= 30 else None
    ax.plot(epochs, training, color=BLUE, marker=marker, markersize=3.5, label="training")
    measured = [(e, v) for e, v in zip(epochs, validation, strict=True) if v is not None]
    finite = [(e, v) for e, v in measured if math.isfinite(v)]
    if measured:
        ax.plot(
            *zip(*measured, strict=True),
            color=VERMILION,
            marker=marker and "s",
            markersize=3.5,
            linestyle="--",
            label="validation",
        )
    if finite:
        epoch, value = best(finite, key=lambda pair: pair[1])
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
    _dress(ax, whole_numbers=True)
    _add_legend(ax, below=False)
