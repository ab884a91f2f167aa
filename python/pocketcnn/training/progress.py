"""What is shown while a network trains: a table of the epochs and a progress bar below it."""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, cast

from pocketcnn.training.callbacks import Callback
from pocketcnn.training.history import Record, is_share
from pocketcnn.training.run import Run

if TYPE_CHECKING:
    from tqdm import tqdm  # type: ignore[import-untyped]  # it has no type hints


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
    _Column("seconds", "time", 9, format_seconds),
)
# What is left out in a narrow terminal, in this order.
_DISPENSABLE = ("learning_rate", "images_per_second", "seconds", "accuracy", "loss")
# Columns that the bar needs to show the speed as well.
_BAR_WITH_SPEED = 76


def _table_within(length: int | None, metrics: Sequence[str] = ()) -> list[_Column]:
    """Return the columns that fit; those of metrics go first."""
    added = [column for pair in zip(*map(_metric_columns, metrics), strict=True) for column in pair]
    table = [*_TABLE[:5], *added, *_TABLE[5:]]
    for key in (*(column.key for column in reversed(added)), *_DISPENSABLE):
        if length is None or sum(column.width for column in table) < length:
            break
        table = [column for column in table if column.key != key]
    return table


def _metric_columns(name: str) -> list[_Column]:
    """Return the columns of the validation and of the training, which is the less important."""
    show = ("{:.2%}" if is_share(name) else "{:.4f}").format
    width = max(10, len(name) + 6)
    return [_Column(f"val_{name}", f"val {name}", width, show), _Column(name, name, width, show)]


def _row(table: list[_Column], record: Record) -> str:
    values: dict[str, Any] = dict(record)
    cells = [
        "-" if (value := values.get(column.key)) is None else column.show(value) for column in table
    ]
    return "".join(f"{cell:>{column.width}}" for cell, column in zip(cells, table, strict=True))


class ProgressBar(Callback):
    """A table with a line per epoch and, in a terminal, a progress bar below it.

    The bar shows the epoch's running loss and accuracy, the images per second and the remaining
    time of the whole run; a Jupyter notebook draws it above the table. If the stream is not a
    terminal, or a terminal that cannot move the cursor (`TERM=dumb`), only the table is written;
    without a stream, as in a service, nothing. With `NO_COLOR` set the bar has plain characters.
    In a narrow terminal the table leaves out its less important columns. If writing to a stream
    fails, the progress ends, not the training.

    Parameters
    ----------
    stream : text file, optional
        Where to write; when not given, standard error, in a notebook standard output. It needs
        only a `write` method.
    table : text file, optional
        Where the table goes; `stream` when not given.
    """

    on_first_rank_only = True

    def __init__(self, *, stream: TextIO | None = None, table: TextIO | None = None) -> None:
        for name, file in (("stream", stream), ("table", table)):
            if file is not None and not callable(getattr(file, "write", None)):
                raise TypeError(f"{name} is {file!r}, but must be a text file")
        self.stream = stream
        self.table = table
        self._columns = list(_TABLE)
        self._lines = _Quiet(None)
        self._bar: tqdm | None = None
        self._is_wide = True
        self._due = 0.0

    def on_fit_begin(self, trainer: Run) -> None:
        """Write the table's header and open the bar."""
        notebook = self.stream is None and _in_notebook()
        usual = sys.stdout if notebook else sys.stderr  # a notebook shows the latter as errors
        stream = _Quiet(usual if self.stream is None else self.stream)
        self._lines = stream if self.table is None else _Quiet(self.table)
        if notebook:  # above the table, whose lines follow each other
            self._is_wide = True
            self._bar = _make_bar(trainer, stream, _notebook_bar())
        columns = shutil.get_terminal_size().columns
        self._columns = _table_within(columns if self._lines.isatty() else None, trainer.columns)
        self._write("".join(f"{column.title:>{column.width}}" for column in self._columns))
        if stream.isatty() and os.environ.get("TERM") != "dumb":
            from tqdm import tqdm  # here, because importing it takes longer than this package

            self._is_wide = columns >= _BAR_WITH_SPEED
            self._bar = _make_bar(trainer, stream, tqdm)

    def on_epoch_begin(self, trainer: Run) -> None:
        """Name the epoch."""
        if self._bar is not None:
            self._bar.set_description_str(_description(trainer), refresh=False)

    def on_batch_end(self, trainer: Run, size: int) -> None:
        """Advance the bar; its text changes ten times per second."""
        if self._bar is None:
            return
        now = time.perf_counter()
        if now >= self._due:
            self._due = now + 0.1
            loss, accuracy, speed = trainer.running()
            speed *= trainer.ranks.size
            speed_too = f", {speed:,.0f} images/s" if self._is_wide else ""
            right = "" if accuracy is None else f", acc {accuracy:.1%}"
            told = f"loss {loss:.4f}{right}{speed_too}"
            self._bar.set_postfix_str(told, refresh=False)
        # What others do meanwhile is taken to be as much.
        self._bar.update(size * trainer.ranks.size)

    def on_epoch_end(self, trainer: Run, record: Record) -> None:
        """Write the epoch's line."""
        self._write(_row(self._columns, record))

    def on_fit_end(self, trainer: Run) -> None:
        """Remove the bar; the table stays."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _write(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=self._lines)
        else:
            self._lines.write(line + "\n")
            self._lines.flush()


class _Quiet:
    """A stream, or none, that is no longer written to after an error.

    For example, it was closed, the pipe has no reader, or the disk is full.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if possible."""
        self._do("write", text)

    def flush(self) -> None:
        """Flush, if possible."""
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


def _in_notebook() -> bool:
    """Whether this runs in a kernel of Jupyter, as tqdm finds out too."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", ())


def _notebook_bar() -> type[tqdm]:
    """Return the class of a bar that the page draws, if ipywidgets is there, or of text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is not there
        from tqdm import auto

    return cast("type[tqdm]", auto.tqdm)


def _make_bar(trainer: Run, stream: _Quiet, kind: type[tqdm]) -> tqdm:
    return kind(
        total=trainer.epochs * trainer.samples,
        initial=trainer.epoch * trainer.samples + trainer.counts.seen,
        file=stream,
        leave=False,
        dynamic_ncols=True,
        bar_format="{desc}|{bar}| {percentage:.0f}%, {remaining} left{postfix}",
        desc=_description(trainer),
        smoothing=0.1,
        ascii=True if os.environ.get("NO_COLOR") else None,
    )


def _description(trainer: Run) -> str:
    return f"epoch {trainer.epoch}/{trainer.epochs} "
