"""What is called while a network trains: progress, early stopping, whatever a user adds."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from pocketcnn.checkpoint import network_arrays
from pocketcnn.history import COLUMNS, Record

if TYPE_CHECKING:
    from tqdm import tqdm  # type: ignore[import-untyped]  # it has no type hints

    from pocketcnn.trainer import Trainer


class Callback:
    """Base class: override what is needed; every method does nothing here.

    A callback may change `trainer.optimizer.lr` and set `trainer.stop = True`, which ends
    training after the current epoch.
    """

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch; `trainer.epoch`, `trainer.epochs`, `trainer.samples` are set."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before the first batch of epoch `trainer.epoch` (counted from 1)."""

    def on_batch_end(self, trainer: Trainer, size: int) -> None:
        """After an update; `size` samples were in the batch, `trainer.loss` is their mean loss."""

    def on_epoch_end(self, trainer: Trainer, record: Record) -> None:
        """After validation, before the checkpoint is written."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also when training ends by an exception."""

    def state_dict(self) -> dict[str, object]:
        """Return what a resumed run needs: arrays, numbers, strings and None, by name."""
        return {}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned in the run that is resumed."""


class _Column(NamedTuple):
    """One quantity in the table of epochs."""

    key: str
    title: str
    width: int
    show: Callable[[Any], str]


_TABLE = (
    _Column("epoch", "epoch", 5, str),
    _Column("loss", "loss", 10, "{:.4f}".format),
    _Column("accuracy", "accuracy", 10, "{:.2%}".format),
    _Column("val_loss", "val loss", 11, "{:.4f}".format),
    _Column("val_accuracy", "val accuracy", 14, "{:.2%}".format),
    _Column("learning_rate", "rate", 9, "{:.2g}".format),
    _Column("images_per_second", "images/s", 11, "{:,.0f}".format),
    _Column("seconds", "time", 9, lambda seconds: format_seconds(seconds)),
)
# What a narrow terminal goes without, first to last.
_DISPENSABLE = ("learning_rate", "images_per_second", "seconds", "accuracy", "loss")
# Columns that the bar needs to tell the speed as well.
_BAR_WITH_SPEED = 76


def _table_within(length: int | None) -> list[_Column]:
    table = list(_TABLE)
    for key in _DISPENSABLE:
        if length is None or sum(column.width for column in table) < length:
            break
        table = [column for column in table if column.key != key]
    return table


def _line_length(stream: TextIO) -> int | None:
    """Return how long a line in a terminal may be; None: the stream is not one."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


class ProgressBar(Callback):
    """A table with a line per epoch and, in a terminal, a progress bar below it.

    The bar shows the epoch's running loss and accuracy, the images per second and the time left
    of the whole run. Where the stream is not a terminal only the table is written, as where the
    terminal is one that cannot go back (`TERM=dumb`); with `NO_COLOR` set the bar is of plain
    characters. In a narrow terminal the table leaves out its less important columns. Training
    goes on where nothing can be written.

    Parameters
    ----------
    stream : text file, optional
        Where to write; standard error when not given.
    table : text file, optional
        Where the table goes; `stream` when not given.
    """

    def __init__(self, *, stream: TextIO | None = None, table: TextIO | None = None) -> None:
        self.stream = stream
        self.table = table
        self._columns = list(_TABLE)
        self._bar: tqdm | None = None
        self._is_wide = True
        self._due = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Write the table's header and open the bar."""
        from tqdm import tqdm  # here, because importing it takes longer than all of this package

        self._columns = _table_within(_line_length(self._table()))
        self._write("".join(f"{column.title:>{column.width}}" for column in self._columns))
        stream = self._stream()
        if stream.isatty() and os.environ.get("TERM") != "dumb":
            done = trainer.epoch
            self._is_wide = shutil.get_terminal_size().columns >= _BAR_WITH_SPEED
            self._bar = tqdm(
                total=trainer.epochs * trainer.samples,
                initial=done * trainer.samples,
                file=stream,
                leave=False,
                dynamic_ncols=True,
                bar_format="{desc}|{bar}| {percentage:.0f}%, {remaining} left{postfix}",
                desc=self._description(trainer),
                smoothing=0.1,
                ascii=True if os.environ.get("NO_COLOR") else None,
            )

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Name the epoch."""
        if self._bar is not None:
            self._bar.set_description_str(self._description(trainer), refresh=False)

    def on_batch_end(self, trainer: Trainer, size: int) -> None:
        """Advance the bar; its text changes ten times a second."""
        if self._bar is None:
            return
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + 0.1
            loss, accuracy, speed = trainer.running()
            speed_too = f", {speed:,.0f} images/s" if self._is_wide else ""
            told = f"loss {loss:.4f}, acc {accuracy:.1%}{speed_too}"
            self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(size)

    def on_epoch_end(self, trainer: Trainer, record: Record) -> None:
        """Write the epoch's line."""
        values = dict(record)
        cells = []
        for column in self._columns:
            value = values[column.key]
            cells.append(f"{'-' if value is None else column.show(value):>{column.width}}")
        self._write("".join(cells))

    def on_fit_end(self, trainer: Trainer) -> None:
        """Remove the bar; the table stays."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _stream(self) -> TextIO:
        return sys.stderr if self.stream is None else self.stream

    def _table(self) -> TextIO:
        return self._stream() if self.table is None else self.table

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk, a reader that left
            if self._bar is None:
                print(line, file=self._table(), flush=True)
            else:
                self._bar.write(line, file=self._table())

    @staticmethod
    def _description(trainer: Trainer) -> str:
        return f"epoch {trainer.epoch}/{trainer.epochs} "


class EarlyStopping(Callback):
    """Stop when a quantity has not improved for some epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of the history's records. Accuracies and `images_per_second` should rise, all
        others fall.
    patience : int, default 5
        How many epochs without improvement are borne.
    min_delta : float, default 0
        How much better than the best so far counts as an improvement.
    restore_best : bool, default False
        Put the weights of the best epoch back at the end.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = False,
    ) -> None:
        if monitor not in COLUMNS:
            raise ValueError(f"monitor is {monitor!r}: wanted one of {', '.join(COLUMNS)}")
        if patience < 1:
            raise ValueError(f"patience is {patience}: wanted at least 1")
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.restore_best = restore_best
        self.best: float | None = None
        self.best_epoch = 0
        self._best_arrays: dict[str, NDArray[np.generic]] = {}

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget an earlier run."""
        self.best = None
        self.best_epoch = 0
        self._best_arrays = {}

    def on_epoch_end(self, trainer: Trainer, record: Record) -> None:
        """Compare with the best epoch so far.

        Raises
        ------
        ValueError
            The monitored quantity is not measured: `fit` was given no validation data.
        """
        value = dict(record)[self.monitor]
        if not isinstance(value, (int, float)):
            raise ValueError(f"monitor {self.monitor!r} needs validation data: fit was given none")
        rising = self.monitor.endswith("accuracy") or self.monitor == "images_per_second"
        gain = math.inf if self.best is None else (value - self.best) * (1 if rising else -1)
        if gain > self.min_delta:
            self.best, self.best_epoch = float(value), record["epoch"]
            if self.restore_best:
                arrays = network_arrays(trainer.net)
                self._best_arrays = {name: array.copy() for name, array in arrays.items()}
        elif record["epoch"] - self.best_epoch >= self.patience:
            trainer.stop = True

    def on_fit_end(self, trainer: Trainer) -> None:
        """Put the best weights back when that was asked."""
        for name, array in network_arrays(trainer.net).items():
            if name in self._best_arrays:
                array[...] = self._best_arrays[name]

    def state_dict(self) -> dict[str, object]:
        """Return the best value, its epoch and, with `restore_best`, its weights."""
        return {"best": self.best, "best_epoch": self.best_epoch, **self._best_arrays}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned in the run that is resumed."""
        best, best_epoch = values.get("best"), values.get("best_epoch")
        self.best = best if isinstance(best, float) else None
        self.best_epoch = best_epoch if isinstance(best_epoch, int) else 0
        self._best_arrays = {
            name: array for name, array in values.items() if isinstance(array, np.ndarray)
        }


def format_seconds(seconds: float) -> str:
    """Write a duration in a few characters: `0.31 s`, `12.5 s`, `3:07`, `1:02:45`.

    >>> format_seconds(0.3125), format_seconds(187.2), format_seconds(3765)
    ('0.31 s', '3:07', '1:02:45')
    """
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
