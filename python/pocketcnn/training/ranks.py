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
    ordered : bool
        Whether sums are added in the order of the ranks, to the same bits for any number of them.
    """

    rank: int
    size: int
    ordered: bool

    def total(self, values: Sequence[float] | Array) -> Array:
        """Return the sums over all ranks, float64, added in the order of the ranks."""

    def gather(self, value: object) -> list[Any]:
        """Return the value of every rank, in order."""

    def broadcast(self, arrays: Iterable[Array]) -> None:
        """Give all ranks the arrays of rank 0, in place."""

    def start_sum(self, piece: Array, result: Array, *, onto: bool) -> Pending:
        """Begin to sum `piece` (n,) over all ranks into `result` (n,), or onto what is there.

        Neither may be touched before `wait`.
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

    rank, size, ordered = 0, 1, True

    def total(self, values: Sequence[float] | Array) -> Array:
        """Return the values."""
        return np.array(values, np.float64)

    def gather(self, value: object) -> list[Any]:
        """Return the value in a list."""
        return [value]

    def broadcast(self, arrays: Iterable[Array]) -> None:
        """Leave the arrays as they are."""

    def start_sum(self, piece: Array, result: Array, *, onto: bool) -> Pending:
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
    """A batch of all ranks together: its mean loss, the weight of that mean, its samples."""

    loss: float
    weight: float
    samples: int
    pausing: bool = False

    @classmethod
    def of(cls, ranks: Ranks, loss: float, weight: float, samples: int, pause: bool) -> Whole:
        """Put together what the ranks know of their parts."""
        if ranks.size == 1:
            return cls(loss, weight, samples, pause)
        sums = ranks.total([loss * weight, weight, samples, pause]).tolist()
        return cls(sums[0] / (sums[1] or 1.0), sums[1], int(sums[2]), sums[3] > 0)


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
