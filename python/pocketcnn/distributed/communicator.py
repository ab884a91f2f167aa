"""What the trainer needs of the other ranks, over the buffer collectives of MPI.

Sums of gradients run in a thread of their own, one after the other, while the main thread computes.
Who waits for MPI gives its core away: ranks that share cores would else stop each other.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.distributed.bfloat16 import from_bfloat16, to_bfloat16
from pocketcnn.training.ranks import Done, Pending

_EAGER = 100
_NAP = 1e-4
"""How often a wait looks before it sleeps in between, and for how many seconds it then does."""


class Span(NamedTuple):
    """What a rank did, from when to when, in seconds since the recording began.

    `kind` is "sum", of gradients, in the thread beside the computation; or "wait", when the
    computation waited for other ranks.
    """

    rank: int
    kind: str
    start: float
    end: float


class Communicator:
    """The ranks of an MPI job that train together; `pocketcnn.distributed.init` makes it.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    compression : "bfloat16" or None
        What gradients are rounded to on their way.
    """

    def __init__(
        self,
        mpi: Any,
        *,
        compression: Literal["bfloat16"] | None = None,
        threads: bool = True,
    ) -> None:
        # Each thread has a communicator of its own: their messages cannot be mistaken.
        self._calls, self._sums = mpi.Dup(), mpi.Dup()
        self.rank: int = mpi.Get_rank()
        self.size: int = mpi.Get_size()
        self.compression = compression
        self._thread = ThreadPoolExecutor(1, "pocketcnn-reducer") if threads else None
        self._spans: list[Span] | None = None
        self._began = 0.0

    def __repr__(self) -> str:
        return f"Communicator(rank={self.rank}, size={self.size})"

    def table(self, values: Sequence[float] | Array) -> Array:
        """Return the values (n,) of all ranks as float64 (size, n)."""
        own = np.array(values, np.float64)
        every = np.empty((self.size, own.size))
        with self._span("wait"):
            _finish(self._calls.Iallgather(own, every))
        return every

    def total(self, values: Sequence[float] | Array) -> Array:
        """Return the sums over all ranks, float64, added in the order of the ranks."""
        sums, *others = self.table(values)
        for other in others:
            sums += other
        return np.asarray(sums.reshape(np.shape(values)))

    def gather(self, value: object) -> list[Any]:
        """Return the value of every rank, in order; it may be anything that can be pickled."""
        own = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = self.table([own.size])[:, 0].astype(np.int64)
        every = np.empty(int(sizes.sum()), np.uint8)
        with self._span("wait"):
            _finish(self._calls.Iallgatherv(own, (every, sizes)))
        return [pickle.loads(part.tobytes()) for part in np.split(every, np.cumsum(sizes)[:-1])]

    def broadcast(self, arrays: Iterable[Array]) -> None:
        """Give all ranks the arrays of rank 0, in place."""
        with self._span("wait"):
            for array in arrays:
                _finish(self._calls.Ibcast(array, root=0))

    def start_sum(self, piece: Array, result: Array, *, onto: bool, ordered: bool) -> Pending:
        """Begin to sum `piece` (n,) over all ranks into `result` (n,), or onto what is there."""
        way = self._sum_in_order if ordered or self.compression else self._sum
        return self._start(lambda: way(piece, result, onto))

    def start_gather(self, rows: Array) -> Pending:
        """Begin to put the rows (n, k) of all ranks below each other, in order; n may differ."""
        return self._start(lambda: self._gather_rows(np.ascontiguousarray(rows)))

    @contextmanager
    def recording(self) -> Iterator[list[Span]]:
        """Note in a list what this rank does with others; all ranks must begin at once."""
        self.gather(None)
        self._began, self._spans = time.perf_counter(), []
        try:
            yield self._spans
        finally:
            self._spans = None

    def _start(self, work: Callable[[], Array]) -> Pending:
        if self._thread is None:
            return Done(work())

        def timed() -> Array:
            with self._span("sum"):
                return work()

        return _Waiting(self, self._thread.submit(timed))

    def _sum(self, piece: Array, result: Array, onto: bool) -> Array:
        """Sum as MPI does it best."""
        if not onto:
            _finish(self._sums.Iallreduce(piece, result))
            return result
        total = np.empty_like(piece)
        _finish(self._sums.Iallreduce(piece, total))
        result += total
        return result

    def _sum_in_order(self, piece: Array, result: Array, onto: bool) -> Array:
        """Sum in the order of the ranks: each of them a part, which all then get from it.

        That is as many bytes as in a ring.
        """
        pack, unpack = _identity, _identity
        if self.compression:
            pack, unpack = to_bfloat16, from_bfloat16
        length = -(-piece.size // self.size)
        sent = pack(np.pad(piece, (0, length * self.size - piece.size)))
        received = np.empty((self.size, length), sent.dtype)
        _finish(self._sums.Ialltoall(sent, received))
        terms = [unpack(row) for row in received]
        if onto:
            before = result[self.rank * length : (self.rank + 1) * length]
            terms.insert(0, np.pad(before, (0, length - before.size)))
        mine = terms[0].astype(result.dtype)
        for term in terms[1:]:
            mine += term
        mine = pack(mine)
        every = np.empty(length * self.size, mine.dtype)
        _finish(self._sums.Iallgather(mine, every))
        result[...] = unpack(every[: result.size])
        return result

    def _gather_rows(self, rows: Array) -> Array:
        counts = np.empty(self.size, np.int64)
        _finish(self._sums.Iallgather(np.array([len(rows)], np.int64), counts))
        every = np.empty((int(counts.sum()), rows.shape[1]), rows.dtype)
        _finish(self._sums.Iallgatherv(rows, (every, counts * rows.shape[1])))
        return every

    @contextmanager
    def _span(self, kind: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self._spans is not None:
            end = time.perf_counter()
            self._spans.append(Span(self.rank, kind, start - self._began, end - self._began))


class _Waiting(NamedTuple):
    """The result of the thread that sums."""

    communicator: Communicator
    future: Future[Array]

    def wait(self) -> Array:
        """Return the result when it is there."""
        if self.future.done():
            return self.future.result()
        with self.communicator._span("wait"):
            return self.future.result()


def _identity(array: Array) -> Array:
    return array


def _finish(request: Any) -> None:
    """Wait for MPI, and let others have the core meanwhile."""
    looked = 0
    while not request.Test():
        looked += 1
        time.sleep(0 if looked < _EAGER else _NAP)
