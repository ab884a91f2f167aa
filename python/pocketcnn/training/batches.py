"""Batches of arrays: samples in a given order, gathered in memory that is reused."""

from __future__ import annotations

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.data.prefetch import Batches


def gathered(x: Array, t: Array, order: Array, size: int) -> Batches:
    """Yield the samples of `order`, `size` at a time; the last batch may have fewer.

    The images of a batch may be changed, and are valid until the next batch is requested.
    """
    buffer = np.empty((min(size, len(order)), *x.shape[1:]), dtype=x.dtype)
    # From an array that is not contiguous, take would copy everything to get a few samples.
    whole = x.flags.c_contiguous and x.flags.aligned
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        images = buffer[: len(chosen)]
        if whole:
            # mode="clip" lets take write directly into the buffer; no index is out of range.
            np.take(x, chosen, axis=0, out=images, mode="clip")
        else:
            images[...] = x[chosen]
        yield images, t[chosen]
