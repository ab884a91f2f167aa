"""What is called while a network trains: progress, early stopping, whatever a user adds."""

from __future__ import annotations

import inspect
import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from pocketcnn import arguments
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
        """After the last epoch, also when training ends by an exception.

        It is called if `on_fit_begin` was without an error, also where another callback's raises.
        """

    def state_dict(self) -> dict[str, object]:
        """Return what a resumed run needs, by name.

        Arrays, numbers, strings and None, and lists and dicts of the latter three. It is asked
        after `on_fit_begin` and after every epoch.
        """
        return {}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned in the run that is resumed."""

    def __repr__(self) -> str:
        """Name the settings that are attributes and not at their defaults."""
        shown = [
            f"{name}={value!r}"
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if (value := getattr(self, name, parameter.default)) is not parameter.default
            and not np.array_equal(value, parameter.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class ProgressBar(Callback):
    """A table with a line an epoch and, in a terminal, a progress bar below it.

    The bar shows the epoch's running loss and accuracy, the images a second and the time left
    of the whole run. Where the stream is not a terminal only the table is written, and where
    there is none, as in a service, nothing. A stream that cannot be written to ends the
    progress, not the training.

    Parameters
    ----------
    stream : text file, optional
        Where to write; standard error when not given. It needs no more than `write`.
    """

    def __init__(self, *, stream: TextIO | None = None) -> None:
        if stream is not None and not callable(getattr(stream, "write", None)):
            raise TypeError(f"stream is {stream!r}, but must be a text file")
        self.stream = stream
        self._out = _Quiet(None)
        self._bar: tqdm | None = None
        self._due = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Write the table's header and open the bar."""
        self._out = _Quiet(sys.stderr if self.stream is None else self.stream)
        self._write(
            f"{'epoch':>5}{'loss':>10}{'accuracy':>10}"
            f"{'val loss':>11}{'val accuracy':>14}{'rate':>9}{'images/s':>11}{'time':>9}"
        )
        if self._out.isatty():
            self._bar = self._make_bar(trainer)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Name the epoch."""
        if self._bar is not None:
            self._bar.set_description_str(_description(trainer), refresh=False)

    def on_batch_end(self, trainer: Trainer, size: int) -> None:
        """Advance the bar; its text changes ten times a second."""
        if self._bar is None:
            return
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + 0.1
            loss, accuracy, speed = trainer.running()
            self._bar.set_postfix_str(
                f"loss {loss:.4f}, acc {accuracy:.1%}, {speed:,.0f} images/s", refresh=False
            )
        self._bar.update(size)

    def on_epoch_end(self, trainer: Trainer, record: Record) -> None:
        """Write the epoch's line."""
        val_loss, val_accuracy = record["val_loss"], record["val_accuracy"]
        self._write(
            f"{record['epoch']:>5}{record['loss']:>10.4f}{record['accuracy']:>10.2%}"
            f"{'-' if val_loss is None else format(val_loss, '.4f'):>11}"
            f"{'-' if val_accuracy is None else format(val_accuracy, '.2%'):>14}"
            f"{record['learning_rate']:>9.2g}{record['images_per_second']:>11,.0f}"
            f"{format_seconds(record['seconds']):>9}"
        )

    def on_fit_end(self, trainer: Trainer) -> None:
        """Remove the bar; the table stays."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _make_bar(self, trainer: Trainer) -> tqdm:
        from tqdm import tqdm  # here, because importing it takes longer than all of this package

        return tqdm(
            total=trainer.epochs * trainer.samples,
            initial=trainer.epoch * trainer.samples,
            file=self._out,
            leave=False,
            dynamic_ncols=True,
            bar_format="{desc}|{bar}| {percentage:.0f}%{postfix}, {remaining} left",
            desc=_description(trainer),
            smoothing=0.1,
        )

    def _write(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=self._out)
        else:
            self._out.write(line + "\n")
            self._out.flush()


class _Quiet:
    """A stream that is no more written to after an error, and may be none at all.

    The error may be that it was closed, that nobody reads the pipe, or that the disk is full.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, where that is possible."""
        self._do("write", text)

    def flush(self) -> None:
        """Flush, where that is possible."""
        self._do("flush")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return bool(self._do("isatty"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _do(self, name: str, *arguments: str) -> Any:
        method = getattr(self._stream, name, None)
        if not callable(method):
            return None
        try:
            return method(*arguments)
        except (OSError, ValueError):
            self._stream = None


def _description(trainer: Trainer) -> str:
    return f"epoch {trainer.epoch}/{trainer.epochs} "


class EarlyStopping(Callback):
    """Stop when a quantity has not improved for some epochs.

    A run that it has stopped stays stopped when it is resumed, unless with more patience.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of the history's records. Accuracies and `images_per_second` should rise, all
        others fall. NaN is never an improvement.
    patience : int, default 5
        How many epochs without improvement are borne.
    min_delta : float, default 0
        How much better than the best so far counts as an improvement.
    restore_best : bool, default False
        Put the weights of the best epoch back at the end.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch, waited : int
        Its epoch, and how many there were since.
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
        self.monitor = monitor
        self.patience = arguments.integer("patience", patience, 1)
        self.min_delta = arguments.non_negative("min_delta", min_delta)
        self.restore_best = bool(restore_best)
        self.best: float | None = None
        self.best_epoch = self.waited = 0
        self._best_arrays: dict[str, NDArray[np.generic]] = {}

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget an earlier run."""
        self.best, self.best_epoch, self.waited = None, 0, 0
        self._best_arrays = {}

    @property
    def has_stopped(self) -> bool:
        """Whether the patience has run out."""
        return self.waited >= self.patience

    def on_epoch_end(self, trainer: Trainer, record: Record) -> None:
        """Compare with the best epoch so far.

        Raises
        ------
        ValueError
            The monitored quantity is not measured: `fit` was given no validation data.
        """
        value = dict(record)[self.monitor]
        if not isinstance(value, (int, float, np.integer, np.floating)):
            raise ValueError(f"monitor {self.monitor!r} needs validation data: fit was given none")
        if self._improves(float(value)):
            self.best, self.best_epoch = float(value), record["epoch"]
            if self.restore_best:
                arrays = network_arrays(trainer.net)
                self._best_arrays = {name: array.copy() for name, array in arrays.items()}
        self.waited = record["epoch"] - self.best_epoch
        if self.has_stopped:
            trainer.stop = True

    def on_fit_end(self, trainer: Trainer) -> None:
        """Put the best weights back when that was asked."""
        for name, array in network_arrays(trainer.net).items():
            if name in self._best_arrays:
                array[...] = self._best_arrays[name]

    def state_dict(self) -> dict[str, object]:
        """Return the best value, its epoch and, with `restore_best`, its weights."""
        counts = {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}
        return {**counts, **self._best_arrays}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned in the run that is resumed.

        Raises
        ------
        ValueError
            No early stopping wrote that.
        """
        best, epoch, waited = (values.get(name) for name in ("best", "best_epoch", "waited"))
        if not (
            (best is None or type(best) in (int, float))
            and all(type(count) is int and count >= 0 for count in (epoch, waited))
        ):
            raise ValueError(f"values has {best!r}, {epoch!r}, {waited!r}: no early stopping's")
        self.best = None if best is None else float(cast(float, best))
        self.best_epoch, self.waited = cast(int, epoch), cast(int, waited)
        self._best_arrays = {
            name: array for name, array in values.items() if isinstance(array, np.ndarray)
        }

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return not math.isnan(value)
        rising = self.monitor.endswith("accuracy") or self.monitor == "images_per_second"
        # NaN, also as the difference of two infinities, is not larger than anything.
        return (value - self.best) * (1 if rising else -1) > self.min_delta


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
