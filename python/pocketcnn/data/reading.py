"""Many picture files at once, in threads: Pillow computes without holding Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments, config
from pocketcnn.data.failures import Failure, OddSizeError
from pocketcnn.data.picture import Layout, quiet, read_picture

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Answer = TypeVar("Answer")
# Parts of a batch for each thread: the last to finish then has little left to do.
_PARTS = 4


class Readers:
    """Threads that read files; begun when first needed, in each process anew.

    Parameters
    ----------
    workers : int or None
        How many; 0 and 1 read in the calling thread. None: as many as a large operation would use.
    """

    def __init__(self, workers: int | None) -> None:
        if workers is not None:
            workers = _arguments.integer("workers", workers, 0)
            if workers > 1024:
                raise ValueError(f"workers is {workers}, but must be at most 1024")
        self.workers = workers
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def each(
        self, read: Callable[[int, Path], Answer], paths: Sequence[Path]
    ) -> list[Answer | Failure]:
        """Return what `read(place, path)` returns for each path, or the error that it raises."""

        def part(places: range) -> list[Answer | Failure]:
            return [_attempt(read, place, paths[place]) for place in places]

        workers = config.get_num_threads() if self.workers is None else self.workers
        if workers < 2 or len(paths) < 2:
            with quiet:
                return part(range(len(paths)))
        step = -(-len(paths) // (_PARTS * workers))
        starts = range(0, len(paths), step)
        pool = self._pool(workers)
        with quiet:
            futures = [pool.submit(part, range(at, min(at + step, len(paths)))) for at in starts]
            try:
                return [answer for future in futures for answer in future.result()]
            finally:
                for future in futures:  # after Ctrl-C
                    future.cancel()

    def close(self) -> None:
        """End the threads; they begin again when they are needed."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.shutdown()

    def __getstate__(self) -> dict[str, object]:
        return {"workers": self.workers, "_pools": {}}

    def _pool(self, workers: int) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        process = os.getpid()
        if process not in self._pools:
            # Without a thread until it is used: of two threads that get here, one throws its away.
            made = ThreadPoolExecutor(workers, thread_name_prefix="pocketcnn-picture")
            self._pools.setdefault(process, made)
        return self._pools[process]


def read_pictures(
    paths: Sequence[Path], layout: Layout, readers: Readers, shape: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], dict[int, Failure]]:
    """Read image files into one array.

    Parameters
    ----------
    paths : sequence of Path
    layout : Layout
    readers : Readers
    shape : (int, int) or None
        The height and width that all have; None: those of the first that can be read.

    Returns
    -------
    x : ndarray of uint8 (N, channels, H, W)
        Undefined where a file could not be read.
    failures : dict of int to Exception
        Why not, by the place of the file.
    """
    first, failures = 0, {}
    while shape is None and first < len(paths):
        start = _attempt(lambda _, path: read_picture(path, layout).shape[:2], 0, paths[first])
        if isinstance(start, tuple):
            shape = start[0], start[1]
        else:
            failures[first] = start
            first += 1
    x = np.empty((len(paths), layout.channels, *(shape or (0, 0))), np.uint8)

    def read(place: int, path: Path) -> None:
        pixels = read_picture(path, layout)
        if pixels.shape[:2] != shape:
            raise OddSizeError.of(path, pixels.shape, paths[first], x.shape[2:])
        x[place] = pixels.transpose(2, 0, 1)

    answers = readers.each(read, paths[first:])
    for place, answer in enumerate(answers, first):
        if answer is not None:
            failures[place] = answer
    return x, failures


def _attempt(read: Callable[[int, Path], Answer], place: int, path: Path) -> Answer | Failure:
    try:
        return read(place, path)
    except (OSError, ValueError) as error:
        # Its traceback would keep a picture in memory for each file that fails.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
