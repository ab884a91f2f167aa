"""Batches of a data set, read in a thread while those before them are used."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from typing import TypeAlias

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.data.dataset import Dataset, Indices

Batches: TypeAlias = Generator[tuple[Array, Array], None, None]
"""Images and targets, a batch at a time, until closed."""

AHEAD = 2
"""How many batches may wait or be read, beside the one in use."""


def read_ahead(dataset: Dataset, chosen: Sequence[Indices]) -> Batches:
    """Yield one batch after the other; at most `AHEAD` are in memory before they are asked for.

    One thread reads them in order. What it raises is raised here, in the place of the batch. It has
    ended when the iterator is exhausted or closed, which a caller that may leave early must do
    (`contextlib.closing`). In the child of a fork, which has no such thread, batches are read when
    they are asked for.

    Parameters
    ----------
    dataset : Dataset
    chosen : sequence of ndarray of int
        The numbers of each batch's samples.
    """
    from concurrent.futures import ThreadPoolExecutor  # not needed to train on arrays

    owner, rest = os.getpid(), iter(chosen)
    reader = ThreadPoolExecutor(1, thread_name_prefix="pocketcnn-reader")
    try:
        waiting = deque(reader.submit(dataset.batch, next(rest)) for _ in chosen[:AHEAD])
        for indices in chosen:
            if os.getpid() != owner:
                yield dataset.batch(indices)
                continue
            batch = waiting.popleft().result()
            if (following := next(rest, None)) is not None:
                waiting.append(reader.submit(dataset.batch, following))
            yield batch
            del batch
    finally:
        if os.getpid() == owner:
            reader.shutdown(cancel_futures=True)


def in_order(dataset: Dataset, size: int) -> Batches:
    """Yield all samples of a data set, `size` at a time, read ahead; see `read_ahead`."""
    numbers = np.arange(len(dataset))
    return read_ahead(dataset, [numbers[at : at + size] for at in range(0, len(numbers), size)])
