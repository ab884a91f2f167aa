"""What a training sees of the processes that train together: a number, a sum, an exchange.

`pocketcnn.distributed` has them over MPI. Whatever a rank starts here, all ranks start in the same
order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np

from pocketcnn._arguments import Array

T = TypeVar("T")


class Pending(Protocol):
    """Something that other ranks are still waited for with."""

    def wait(self) -> Array:
        """Return the result when it is there."""


class Ranks(Protocol):
    """Processes that train one network together, each on its own samples.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    """

    rank: int
    size: int

    def table(self, values: Sequence[float] | Array) -> Array:
        """Return the values (n,) of all ranks as float64 (size, n)."""

    def total(self, values: Sequence[float] | Array) -> Array:
        """Return the sums over all ranks, float64, added in the order of the ranks."""

    def gather(self, value: object) -> list[Any]:
        """Return the value of every rank, in order."""

    def broadcast(self, arrays: Iterable[Array]) -> None:
        """Give all ranks the arrays of rank 0, in place."""

    def start_sum(self, piece: Array, result: Array, *, onto: bool, ordered: bool) -> Pending:
        """Begin to sum `piece` (n,) over all ranks into `result` (n,), or onto what is there.

        Neither may be touched before `wait`. In order, first what is there, then one rank after the
        other is added.
        """

    def start_gather(self, rows: Array) -> Pending:
        """Begin to put the rows (n, k) of all ranks below each other, in order; n may differ."""


class Done(NamedTuple):
    """A result that is there already."""

    result: Array

    def wait(self) -> Array:
        """Return it."""
        return self.result


class Alone:
    """The ranks of a process that trains by itself."""

    rank, size = 0, 1

    def table(self, values: Sequence[float] | Array) -> Array:
        """Return the values as the only row."""
        return np.array([values], np.float64)

    def total(self, values: Sequence[float] | Array) -> Array:
        """Return the values."""
        return np.array(values, np.float64)

    def gather(self, value: object) -> list[Any]:
        """Return the value in a list."""
        return [value]

    def broadcast(self, arrays: Iterable[Array]) -> None:
        """Leave the arrays as they are."""

    def start_sum(self, piece: Array, result: Array, *, onto: bool, ordered: bool) -> Pending:
        """Add at once."""
        if onto:
            result += piece
        else:
            result[...] = piece
        return Done(result)

    def start_gather(self, rows: Array) -> Pending:
        """Return the rows."""
        return Done(rows)


class Whole(NamedTuple):
    """A batch of all ranks together, or the micro-batches of one: what each part of it knows.

    Attributes
    ----------
    losses, weights : sequence of float
        The mean loss of each part, and the weight of that mean.
    samples : int
    pausing : bool
        Whether a rank was asked to pause.
    """

    losses: Sequence[float]
    weights: Sequence[float]
    samples: int
    pausing: bool

    @classmethod
    def of(cls, ranks: Ranks, loss: float, weight: float, samples: int, pause: bool) -> Whole:
        """Put together what the ranks know of their parts."""
        if ranks.size == 1:
            return cls([loss], [weight], samples, pause)
        table = ranks.table([loss, weight, samples, pause])
        losses, weights, counts, pauses = table.T.tolist()
        return cls(losses, weights, int(sum(counts)), any(pauses))

    @classmethod
    def joined(cls, parts: Sequence[Whole]) -> Whole:
        """Put micro-batches together."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            [loss for part in parts for loss in part.losses],
            [weight for part in parts for weight in part.weights],
            sum(part.samples for part in parts),
            any(part.pausing for part in parts),
        )

    @property
    def loss(self) -> float:
        """The mean loss of all parts."""
        if len(self.losses) == 1:
            return self.losses[0]
        terms = (loss * weight for loss, weight in zip(self.losses, self.weights, strict=True))
        return sum(terms) / (self.weight or 1.0)

    @property
    def weight(self) -> float:
        """The weight of the mean."""
        return sum(self.weights)


def from_first(ranks: Ranks, make: Callable[[], T]) -> T:
    """Return on every rank what `make` returns on rank 0, or raise what it raises there."""
    made, error = None, None
    if ranks.rank == 0:
        try:
            made = make()
        except Exception as caught:
            if ranks.size == 1:
                raise
            error = caught
    made, error = ranks.gather((made, error))[0]
    if error is not None:
        raise error
    return cast(T, made)


def require_same(ranks: Ranks, values: Mapping[str, object]) -> None:
    """Raise ValueError on every rank if the ranks do not agree; the message names what differs."""
    first, *others = ranks.gather(dict(values))
    for rank, other in enumerate(others, start=1):
        for name, value in first.items():
            if other[name] != value:
                raise ValueError(
                    f"{name} is {value!r} on rank 0, but {other[name]!r} on rank {rank}: all ranks "
                    "must make the same run"
                )


def draw_apart(ranks: Ranks, generators: Mapping[str, np.random.Generator]) -> None:
    """Give generators that are in the same state on all ranks a state of this rank's own.

    Rank 0 keeps the state, so that it draws what a process by itself does.
    """
    if ranks.rank == 0:
        return
    for rng in generators.values():
        words = deepcopy(rng).integers(2**32, size=4).tolist()
        seeds = np.random.SeedSequence([*words, ranks.rank])
        rng.bit_generator.state = type(rng.bit_generator)(seeds).state
