"""Curves of loss and accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pocketcnn.history import Record
from pocketcnn.plot.canvas import BLUE, VERMILION, new_figure, root

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
        figure = new_figure(9.0, 3.8)
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
    return root(left)


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
