"""What is counted while a network trains or is evaluated: the loss, the metrics and the time."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from copy import copy
from itertools import pairwise
from typing import Any, cast

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.losses import count_hits
from pocketcnn.losses.base import Loss
from pocketcnn.training.metrics import Accuracy, Batch, Metric
from pocketcnn.training.ranks import Ranks


class Counts:
    """Means over the batches since `start`.

    Parameters
    ----------
    loss : Loss
        What the outputs and targets are of.
    metrics : sequence of Metric
        What is counted besides loss and accuracy.

    Attributes
    ----------
    seen, batches : int
        How many samples were counted, and in how many batches.
    """

    def __init__(self, loss: Loss, metrics: Sequence[Metric] = ()) -> None:
        self._of = loss
        self._metrics = (Accuracy(), *metrics)
        # Scores of classes, all of which count, and no metrics: nothing is kept of a batch.
        every = getattr(loss, "ignore_index", None) is None
        self._is_plain = loss.kind == "classes" and every and not metrics
        self.start()

    def start(self) -> None:
        """Begin again at zero."""
        self.seen = self.batches = 0
        self._loss_sum = self._weight = 0.0
        self._sums = [np.zeros(metric.size) for metric in self._metrics]
        self._began = time.perf_counter()

    def add(self, output: Array, t: Array, loss: float, weight: float) -> None:
        """Count a batch: its output, its mean loss and the weight of that mean."""
        self.seen += len(output)
        self.batches += 1
        self._loss_sum += loss * weight
        self._weight += weight
        if self._is_plain:
            self._sums[0] += count_hits(output, t), output.size // output.shape[1]
            return
        batch = Batch.of(output, t, self._of)
        for metric, sums in zip(self._metrics, self._sums, strict=True):
            sums += metric.count(batch)

    def share(self, ranks: Ranks) -> None:
        """Add what all ranks have counted, which each of them then has."""
        if ranks.size == 1:
            return
        own = [self.seen, self.batches, self._loss_sum, self._weight]
        sums = ranks.total(np.concatenate([own, *self._sums]))
        self.seen, self.batches = int(sums[0]), int(sums[1])
        self._loss_sum, self._weight = float(sums[2]), float(sums[3])
        ends = np.cumsum([4, *map(len, self._sums)])
        self._sums = [sums[a:b] for a, b in pairwise(ends)]

    def of_all(self, ranks: Ranks) -> Counts:
        """Return what all ranks have counted, and leave this as it is."""
        whole = copy(self)
        whole.share(ranks)
        return whole

    def state_dict(self) -> dict[str, object]:
        """Return the sums and the time, so that counting can go on in another process."""
        return {
            "seen": self.seen,
            "loss_sum": self._loss_sum,
            "weight": self._weight,
            "seconds": self.seconds,
            "sums": [sums.tolist() for sums in self._sums],
        }

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ValueError
            The values are no sums, or not those of these metrics.
        """
        numbers = [values.get(name) for name in ("loss_sum", "weight", "seconds")]
        seen, sums = values.get("seen"), cast(Any, values.get("sums"))
        if not (
            type(seen) is int
            and seen >= 0
            and all(map(_is_finite, numbers))
            and min(cast("list[float]", numbers[1:])) >= 0
            and isinstance(sums, list)
            and [np.shape(own) for own in sums] == [own.shape for own in self._sums]
            and all(_is_finite(number) for own in sums for number in own)
        ):
            raise ValueError(f"the counts are {dict(values)!r}")
        self.seen = seen
        self._sums = [np.array(own, np.float64) for own in sums]
        self._loss_sum, self._weight, seconds = (float(cast(float, number)) for number in numbers)
        self._began = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        """Time since `start`."""
        return time.perf_counter() - self._began

    @property
    def loss(self) -> float:
        """Mean loss."""
        return self._loss_sum / (self._weight or 1.0)

    @property
    def accuracy(self) -> float | None:
        """Part of the samples, places or labels that are right; None where that means nothing."""
        (value,) = self._metrics[0].values(self._sums[0])
        return 0.0 if value is None and self._of.kind in Accuracy.kinds else value

    @property
    def metrics(self) -> dict[str, float | None]:
        """The other metrics, by column."""
        values: dict[str, float | None] = {}
        for metric, sums in zip(self._metrics[1:], self._sums[1:], strict=True):
            values.update(zip(metric.columns, metric.values(sums), strict=True))
        return values

    @property
    def speed(self) -> float:
        """Samples per second."""
        return self.seen / max(self.seconds, 1e-9)


class Evaluation(tuple[float, Any]):
    """Mean loss and accuracy, and by name the metrics.

    Attributes
    ----------
    metrics : dict of str to float or None
    """

    metrics: dict[str, float | None]

    def __new__(cls, counts: Counts, loss: float) -> Evaluation:
        """Take the means of what was counted, and a loss that may be more exact."""
        self = super().__new__(cls, (loss, counts.accuracy))
        self.metrics = counts.metrics
        return self


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and abs(cast(float, value)) <= sys.float_info.max
