"""The batches of an epoch: samples in a random order, gathered in memory that is used again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pocketcnn._arguments import Array


def shuffled_batches(
    x: Array, t: Array, size: int, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Yield all samples once, `size` at a time; fewer may be left for the last batch.

    The images of a batch may be written into, and last until the next is asked for.
    """
    order = rng.permutation(len(x))
    gathered = np.empty((min(size, len(x)), *x.shape[1:]), dtype=x.dtype)
    # Of an array with gaps, take would copy all to get at a few.
    whole = x.flags.c_contiguous and x.flags.aligned
    for start in range(0, len(x), size):
        chosen = order[start : start + size]
        images = gathered[: len(chosen)]
        if whole:
            # mode="clip" lets take write straight into the buffer; no index is out of range.
            np.take(x, chosen, axis=0, out=images, mode="clip")
        else:
            images[...] = x[chosen]
        yield images, t[chosen]
