"""Element types of foreign files that NumPy has no name for."""

from __future__ import annotations

import numpy as np

from pocketcnn import _alignment
from pocketcnn._arguments import Array

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""Stands for bfloat16, the upper half of a float32: its bits, which are no number to NumPy."""


def widened(array: Array) -> Array:
    """Return bfloat16 as float32, which holds each of its numbers, and others as they are."""
    if array.dtype != BFLOAT16:
        return array
    wide = _alignment.empty(array.shape, np.float32)
    np.left_shift(array.view("<u2"), 16, out=wide.view(np.uint32), dtype=np.uint32)
    return wide
