"""Batches of arrays: chosen samples, gathered in memory that is reused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.data.dataset import Indices
from pocketcnn.data.prefetch import Batches


def gathered(x: Array, t: Array, batches: Sequence[Indices]) -> Batches:
    """Yield the samples of each batch, which may have none.

    The images of a batch may be changed, and are valid until the next batch is requested.
    """
    buffer = np.empty((max(map(len, batches), default=0), *x.shape[1:]), dtype=x.dtype)
    # From an array that is not contiguous, take would copy everything to get a few samples.
    whole = x.flags.c_contiguous and x.flags.aligned
    for chosen in batches:
        images = buffer[: len(chosen)]
        if whole:
            # mode="clip" lets take write directly into the buffer; no index is out of range.
            np.take(x, chosen, axis=0, out=images, mode="clip")
        else:
            images[...] = x[chosen]
        yield images, t[chosen]
