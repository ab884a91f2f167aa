"""Metrics by name, as sums over batches that any number of batches add up to."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.losses.base import Kind, Loss
from pocketcnn.network.net import ConvNet

OwnMetric: TypeAlias = Callable[[Array, Array], float]


@dataclass
class Batch:
    """The outputs and targets of a batch, with what several metrics need of them.

    Attributes
    ----------
    output, t : ndarray
    kind : {"classes", "labels", "numbers"} or None
        As `Loss.kind`; of a loss that does not say it, "classes" if the targets are labels.
    ignored : int or None
        The label that does not count.
    """

    output: Array
    t: Array
    kind: Kind | None
    ignored: int | None = None

    @classmethod
    def of(cls, output: Array, t: Array, loss: Loss) -> Batch:
        """Make one of what a loss is computed from."""
        labels = (*output.shape[:1], *output.shape[2:])
        kind = loss.kind
        if kind is None and t.dtype.kind in "iu" and t.shape == labels and output.ndim > 1:
            kind = "classes"
        return cls(output, t, kind, getattr(loss, "ignore_index", None))

    @cached_property
    def kept(self) -> Array:
        """Which places count, (P,)."""
        labels = self.t.reshape(-1) if self.t.ndim < self.output.ndim else None
        if self.ignored is None or labels is None:
            return np.ones(self.output.size // self.output.shape[1], bool)
        kept: Array = labels != self.ignored
        return kept

    @cached_property
    def labels(self) -> Array:
        """The classes of the places that count."""
        t = self.t if self.t.ndim < self.output.ndim else self.t.argmax(axis=1)
        return t.reshape(-1)[self.kept].astype(np.int64, copy=False)

    @cached_property
    def scores(self) -> Array:
        """Their scores, (P, K)."""
        rows = np.moveaxis(self.output, 1, -1).reshape(-1, self.output.shape[1])
        return rows[self.kept]

    @cached_property
    def guesses(self) -> Array:
        """Their classes with the largest scores; -1 where a score is NaN."""
        guesses, odd = self.output.argmax(axis=1), np.isnan(self.output)
        if odd.any():  # argmax treats NaN as the largest
            guesses[odd.any(axis=1)] = -1
        found: Array = guesses.reshape(-1)[self.kept]
        return found

    @cached_property
    def overlaps(self) -> Array:
        """How often each class, or label, is both guessed and true, guessed, and true: (3, K)."""
        classes = self.output.shape[1]
        if self.kind == "labels":
            guessed, true = self.output > 0, self.t > 0.5
            both, axes = guessed & true, (0, *range(2, self.output.ndim))
            return np.array([a.sum(axis=axes) for a in (both, guessed, true)], float)
        hits, found = self.labels[self.guesses == self.labels], self.guesses[self.guesses >= 0]
        counts = [np.bincount(a, minlength=classes) for a in (hits, found, self.labels)]
        return np.array(counts, float)


class Metric(ABC):
    """A number, or several, of the sums that `count` makes of batches.

    Attributes
    ----------
    columns : tuple of str
        Their names in the history.
    size : int
        How many sums there are.
    kinds : tuple of str
        For which kinds of targets it is.
    """

    columns: tuple[str, ...]
    size: int = 2
    kinds: tuple[Kind, ...] = ("classes",)

    @abstractmethod
    def count(self, batch: Batch) -> Array:
        """Return the sums (size,) of a batch, float64."""

    def values(self, sums: Array) -> list[float | None]:
        """Return the numbers of sums over batches; None or NaN if nothing was counted."""
        return [float(sums[0] / sums[1]) if sums[1] else None]


class Accuracy(Metric):
    """Part of the samples, places or labels that are right."""

    columns = ("accuracy",)
    kinds = ("classes", "labels")

    def count(self, batch: Batch) -> Array:
        """Count what is right, and all."""
        if batch.kind == "classes":
            hits = int(np.count_nonzero(batch.guesses == batch.labels))
            return np.array([hits, len(batch.labels)], float)
        if batch.kind == "labels":
            right = ((batch.output > 0) == (batch.t > 0.5)) & ~np.isnan(batch.output)
            return np.array([np.count_nonzero(right), right.size], float)
        return np.zeros(2)


class TopK(Metric):
    """Part of the samples whose class is among the k with the largest scores.

    Of equal scores the class with the lower number comes first.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.columns = (f"top{k}",)

    def count(self, batch: Batch) -> Array:
        """Count the samples before whose class fewer than k come."""
        own = np.take_along_axis(batch.scores, batch.labels[:, None], axis=1)
        with np.errstate(invalid="ignore"):
            before = np.count_nonzero(batch.scores > own, axis=1)
            earlier = np.arange(batch.scores.shape[1]) < batch.labels[:, None]
            before += np.count_nonzero((batch.scores == own) & earlier, axis=1)
        right = (before < self.k) & (batch.guesses >= 0)
        return np.array([np.count_nonzero(right), len(right)], float)


class Overlap(Metric):
    """F1 or intersection over union: of each class, or their mean.

    A class that is neither true nor guessed anywhere has no value, and no part in the mean.
    """

    kinds = ("classes", "labels")

    def __init__(self, name: str, classes: Sequence[str], *, by_class: bool) -> None:
        self.f1, self.by_class = name == "f1", by_class
        self.size = 3 * len(classes)
        self.columns = tuple(f"{name}_{label}" for label in classes) if by_class else (name,)

    def count(self, batch: Batch) -> Array:
        """Count overlaps."""
        return batch.overlaps.reshape(-1)

    def values(self, sums: Array) -> list[float | None]:
        """Return 2 both / (guessed + true), or both / (guessed or true)."""
        both, guessed, true = sums.reshape(3, -1)
        above, below = (2 * both, guessed + true) if self.f1 else (both, guessed + true - both)
        each = [float(a / b) if b else None for a, b in zip(above, below, strict=True)]
        if self.by_class:
            return each
        known = [value for value in each if value is not None]
        return [math.fsum(known) / len(known) if known else None]


class MeanError(Metric):
    """Mean absolute or squared distance of the output from the target."""

    kinds = ("numbers", "labels")

    def __init__(self, name: str) -> None:
        self.columns = (name,)

    def count(self, batch: Batch) -> Array:
        """Sum the distances."""
        if batch.t.shape != batch.output.shape:
            raise ValueError(
                f"metric {self.columns[0]!r} needs targets of the output's shape "
                f"{batch.output.shape}, but t has {batch.t.shape}"
            )
        distance = batch.output.astype(np.float64) - batch.t
        size = distance.size
        total = np.abs(distance).sum() if self.columns == ("mae",) else np.square(distance).sum()
        return np.array([total, size])


class Own(Metric):
    """A user's function of output and targets: its mean over batches, by their samples."""

    kinds = ("classes", "labels", "numbers")

    def __init__(self, function: OwnMetric, name: str) -> None:
        self.function, self.columns = function, (name,)

    def count(self, batch: Batch) -> Array:
        """Call it."""
        value = float(self.function(batch.output, batch.t))
        return np.array([value * len(batch.output), len(batch.output)], float)


_TOP = re.compile(r"top([1-9]\d*)")
NAMES = "'top<k>', 'f1', 'f1_classes', 'miou', 'iou_classes', 'mae', 'mse'"


def rises(column: str) -> bool | None:
    """Whether a column of the history should rise; None if its name does not tell."""
    name = column.removeprefix("val_")
    if name in ("accuracy", "images_per_second", "f1", "miou") or _TOP.fullmatch(name):
        return True
    if name.startswith(("f1_", "iou_")):
        return True
    return False if name in ("loss", "mae", "mse", "seconds", "learning_rate", "epoch") else None


def make_metrics(metrics: Iterable[str | OwnMetric], net: ConvNet, loss: Loss) -> list[Metric]:
    """Make metrics of names and functions.

    Raises
    ------
    TypeError, ValueError
        There is no such metric, or it does not fit the network or the loss.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics is {metrics!r}, but must be names or callables, ({NAMES})")
    made = [_make(metric, net) for metric in metrics]
    for metric in made:
        if loss.kind is not None and loss.kind not in metric.kinds:
            raise ValueError(
                f"metrics has {metric.columns[0]!r}, which does not fit the targets of {loss!r}"
            )
    taken = {"accuracy", "loss", "epoch", "seconds", "images_per_second", "learning_rate"}
    for column in (column for metric in made for column in metric.columns):
        if column in taken:
            raise ValueError(f"metrics makes two columns {column!r} of the history")
        taken.add(column)
    return made


def _make(metric: object, net: ConvNet) -> Metric:
    if not isinstance(metric, str):
        if not callable(metric) or isinstance(metric, type):
            raise TypeError(f"metrics has {metric!r}: wanted a name or a callable (output, t)")
        function: Any = metric
        name = getattr(function, "__name__", type(function).__name__)
        if not name.isidentifier() or name.startswith("val_"):
            raise ValueError(f"metrics has a function named {name!r}: it needs a name of its own")
        return Own(function, name)
    count = net.output_shape[0] if net.output_shape else 0
    if top := _TOP.fullmatch(metric):
        if (k := int(top[1])) > count:
            raise ValueError(f"metrics has {metric!r}, but the network has {count} classes")
        return TopK(k)
    classes = net.classes or [str(k) for k in range(count)]
    known: dict[str, Callable[[], Metric]] = {
        "f1": lambda: Overlap("f1", classes, by_class=False),
        "f1_classes": lambda: Overlap("f1", classes, by_class=True),
        "miou": lambda: Overlap("miou", classes, by_class=False),
        "iou_classes": lambda: Overlap("iou", classes, by_class=True),
        "mae": lambda: MeanError("mae"),
        "mse": lambda: MeanError("mse"),
    }
    if metric not in known:
        raise ValueError(f"metrics has {metric!r}: wanted one of {NAMES}, or a callable")
    return known[metric]()
