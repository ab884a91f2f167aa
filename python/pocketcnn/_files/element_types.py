"""Element types in files that NumPy does not have."""

from __future__ import annotations

import numpy as np

from pocketcnn import _alignment
from pocketcnn._arguments import Array

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""The bits of bfloat16, which is the upper half of a float32."""


def widened(array: Array) -> Array:
    """Convert bfloat16 to float32, exactly; return other arrays as they are."""
    if array.dtype != BFLOAT16:
        return array
    wide = _alignment.empty(array.shape, np.float32)
    np.left_shift(array.view("<u2"), 16, out=wide.view(np.uint32), dtype=np.uint32)
    return wide
