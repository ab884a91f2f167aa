"""What happened during training: one record per epoch."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypedDict, TypeGuard, overload

import numpy as np

from pocketcnn._files.atomic import write_atomically
from pocketcnn._files.reading import read_json
from pocketcnn._text import align_columns


class Record(TypedDict):
    """One epoch.

    `loss` and `accuracy` are means over the epoch's training samples, each measured by the network
    as it was then; `val_loss` and `val_accuracy` are measured after the epoch and are None without
    validation data. `seconds` is the training time without the validation. An accuracy is None
    where the targets are numbers. A record also has the metrics that were asked for, and of each
    that of the validation, with `val_` before its name.
    """

    epoch: int
    loss: float
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    images_per_second: float
    learning_rate: float


COLUMNS = tuple(Record.__annotations__)


def add_metrics(
    record: Record, training: Mapping[str, float | None], validation: Mapping[str, float | None]
) -> None:
    """Add the metrics of an epoch to its record."""
    values: dict[str, float | None] = {}
    for name, value in training.items():
        values |= {name: value, f"val_{name}": validation.get(name)}
    record.update(values)  # type: ignore[typeddict-item]  # keys that a TypedDict cannot name


_NOT_SHOWN = ("epoch", *COLUMNS[5:])


class History(Sequence[Record]):
    """The records of a training run, in order.

    It is indexed like a list, and `column` gives one quantity over all epochs.

    Examples
    --------
    >>> from pocketcnn.training.history import History
    >>> history = History([{"epoch": 1, "loss": 0.5, "accuracy": 0.8, "val_loss": None,
    ...                     "val_accuracy": None, "seconds": 2.0, "images_per_second": 100.0,
    ...                     "learning_rate": 0.001}])
    >>> len(history), history[-1]["loss"], history.column("accuracy")
    (1, 0.5, [0.8])
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records = list(records)

    def append(self, record: Record) -> None:
        """Add the record of the next epoch."""
        self.records.append(record)

    def column(self, name: str) -> list[float | None]:
        """Return one quantity over all epochs.

        Parameters
        ----------
        name : str
            A key of the records, such as `"val_accuracy"`.

        Raises
        ------
        ValueError
            There is no such quantity.
        """
        if name not in (columns := self.columns):
            raise ValueError(f"name is {name!r}: wanted one of {', '.join(columns)}")
        values: list[dict[str, float | None]] = [dict(record) for record in self.records]  # type: ignore[arg-type]  # a TypedDict's values are `object` to mypy
        return [record.get(name) for record in values]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all quantities; those that only some records have come last."""
        return tuple(dict.fromkeys((*COLUMNS, *chain.from_iterable(self.records))))

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: int | slice) -> Record | History:
        if isinstance(index, slice):
            return History(self.records[index])
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.records == other.records

    __hash__ = None  # type: ignore[assignment]  # a mutable sequence, as list does

    def __repr__(self) -> str:
        """Show the number of epochs and the last record; `str` shows all of them."""
        if not self.records:
            return "History(0 epochs)"
        last = ", ".join(
            f"{name} {_format(name, value)}"
            for name, value in self.records[-1].items()
            if name not in _NOT_SHOWN and value is not None
        )
        return f"History({len(self)} epoch{'s' * (len(self) != 1)}: {last})"

    def __str__(self) -> str:
        """Return all records as a table, one line per epoch."""
        columns = self.columns
        body = [[_format(name, dict(record).get(name)) for name in columns] for record in self]
        return "\n".join(align_columns(columns, body, numbers=range(len(columns))))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table with a header line; what was not measured is left empty.

        Quantities that a callback has added to the records get columns after the others.

        Raises
        ------
        OSError
            The file cannot be written; it is left as it was.
        """
        with (
            write_atomically(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(_plain, self.records))

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write a list of objects; what was not measured, or is not finite, is null.

        Raises
        ------
        OSError
            The file cannot be written; it is left as it was.
        """
        clean = [
            {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in _plain(record).items()
            }
            for record in self.records
        ]
        text = json.dumps(clean, indent=1, allow_nan=False)
        with write_atomically(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> History:
        """Read what `to_json` wrote.

        Raises
        ------
        OSError
            There is no such file, or it cannot be read.
        ValueError
            It is not the history of a training; the message names the file.
        """
        content = read_json(path)
        if not isinstance(content, list) or not all(map(_is_record, content)):
            raise ValueError(
                f"{os.fspath(path)} is not a history: wanted a list of objects with the numbers "
                f"{', '.join(COLUMNS)}"
            )
        return cls(content)


def _plain(record: Record) -> dict[str, Any]:
    """Convert NumPy numbers, which a user's callback may have added, to Python numbers."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in record.items()
    }


def _is_record(entry: object) -> TypeGuard[Record]:
    return isinstance(entry, dict) and all(
        name in entry and (entry[name] is None or type(entry[name]) in (int, float))
        for name in COLUMNS
    )


def is_share(name: str) -> bool:
    """Whether a quantity is shown in percent."""
    return name.endswith("accuracy") or name.removeprefix("val_").startswith("top")


def _format(name: str, value: object) -> str:
    """Write a value of a record in a few characters."""
    if not isinstance(value, (int, float)):
        return "-"
    if is_share(name):
        return f"{value:.2%}"
    spec = {"epoch": "", "images_per_second": ",.0f", "seconds": ".2f", "learning_rate": ".3g"}
    return format(value, spec.get(name, ".4f"))
