"""Which samples a rank takes: of a data set that all ranks know, or of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketcnn._arguments import Array
from pocketcnn.data.dataset import Dataset, Indices, identify
from pocketcnn.training.ranks import Ranks


class Shard:
    """The share of one rank in a data set; see `pocketcnn.distributed.scatter`.

    Measured, it is this rank's part of the samples. Trained on, all ranks draw one order of the
    whole data set, and each batch of them together is divided among them: the batches are those of
    one process.

    Parameters
    ----------
    dataset : Dataset
        The whole.
    rank, size : int

    Examples
    --------
    >>> from pocketcnn.data import Arrays
    >>> data = Arrays(np.zeros((5, 1, 2, 2)), [0, 1, 2, 3, 4])
    >>> [Shard(data, rank, 2).labels.tolist() for rank in (0, 1)]
    [[0, 1, 2], [3, 4]]
    """

    def __init__(self, dataset: Dataset, rank: int, size: int) -> None:
        self.dataset = dataset
        self.rank, self.size = rank, size
        self._indices = part(np.arange(len(dataset)), rank, size)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The labels of the samples, if the data set knows them."""
        labels = getattr(self.dataset, "labels", None)
        return None if labels is None else np.asarray(labels, np.int64)[self._indices]

    @property
    def classes(self) -> list[str] | None:
        """The names of the classes, if the data set knows them."""
        return getattr(self.dataset, "classes", None)

    def __len__(self) -> int:
        return len(self._indices)

    def batch(self, indices: Indices, /) -> tuple[Array, Array]:
        """Take some of the samples from the data set."""
        return self.dataset.batch(self._indices[indices])

    def digest(self) -> str | None:
        """Return what the whole data set says of itself."""
        return identify(self.dataset)[0]


def part(items: NDArray[Any], index: int, count: int) -> NDArray[Any]:
    """Return one of some parts, of which the first may have one item more than the others.

    Every second of them are together the items of a rank of two, which divides these into the same
    parts; likewise with three and more.

    >>> [part(np.arange(5), index, 3).tolist() for index in range(3)]
    [[0, 1], [2, 3], [4]]
    """
    size, longer = divmod(len(items), count)
    start = index * size + min(index, longer)
    return items[start : start + size + (index < longer)]


@dataclass(frozen=True)
class Plan:
    """How the samples of an epoch become batches.

    Attributes
    ----------
    drawn : int
        How many samples this rank draws an order of.
    samples : int
        How many all ranks use in an epoch.
    together : int
        Samples of a batch of all ranks.
    batches : int
        How many an epoch has, on every rank.
    rank, size : int
    divided : bool
        Whether all ranks draw the same order, and divide its batches.
    micro : int
        In how many micro-batches each rank computes its part of a batch.
    """

    drawn: int
    samples: int
    together: int
    batches: int
    rank: int
    size: int
    divided: bool
    micro: int = 1

    @classmethod
    def of(cls, count: int, batch_size: int, ranks: Ranks, divided: bool, micro: int = 1) -> Plan:
        """Plan batches of `batch_size` a rank, for `count` samples in the whole or of this rank.

        Ranks with fewer samples of their own than others take part in the last batches with none.
        """
        counts = ranks.gather(count)
        steps = [-(-count // batch_size) for count in counts]
        plan = cls(
            drawn=count,
            samples=count if divided else sum(counts),
            together=batch_size * ranks.size,
            batches=max(steps),
            rank=ranks.rank,
            size=ranks.size,
            divided=divided,
            micro=micro,
        )
        return plan.with_together(plan.together) if divided else plan

    def with_together(self, samples: int) -> Plan:
        """Return the plan with another size of the batches of all ranks, which they divide."""
        steps = -(-self.samples // samples)
        fields = {**vars(self), "together": samples, "batches": steps}
        return Plan(**fields)

    def chosen(self, order: Indices) -> list[Indices]:
        """Return this rank's samples of each batch, for an order of all that it draws."""
        if self.divided:
            return [self._own(batch) for batch in self._cut(order, self.together)]
        return self._cut(order, self.together // self.size)

    @property
    def smallest(self) -> int:
        """Samples of the smallest micro-batch of this rank that has some."""
        counts = {len(batch) for batch in self.chosen(np.arange(self.drawn))}
        return min((max(1, count // self.micro) for count in counts - {0}), default=0)

    def _own(self, batch: Indices) -> Indices:
        """Return the micro-batches of this rank: the ranks take turns."""
        every = self.size * self.micro
        mine = [part(batch, index, every) for index in range(self.rank, every, self.size)]
        return np.concatenate(mine)

    def _cut(self, order: Indices, size: int) -> list[Indices]:
        return [order[step * size : (step + 1) * size] for step in range(self.batches)]
