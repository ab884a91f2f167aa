"""The batches of an epoch: samples in random order, gathered in memory that is reused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pocketcnn._arguments import Array


def shuffled_batches(
    x: Array, t: Array, size: int, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Yield all samples once, `size` at a time; the last batch may have fewer.

    The images of a batch may be changed, and are valid until the next batch is requested.
    """
    order = rng.permutation(len(x))
    gathered = np.empty((min(size, len(x)), *x.shape[1:]), dtype=x.dtype)
    # From an array that is not contiguous, take would copy everything to get a few samples.
    whole = x.flags.c_contiguous and x.flags.aligned
    for start in range(0, len(x), size):
        chosen = order[start : start + size]
        images = gathered[: len(chosen)]
        if whole:
            # mode="clip" lets take write directly into the buffer; no index is out of range.
            np.take(x, chosen, axis=0, out=images, mode="clip")
        else:
            images[...] = x[chosen]
        yield images, t[chosen]
