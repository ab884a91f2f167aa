"""bfloat16: the upper half of a float32, for messages of half the length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketcnn._arguments import Array


def to_bfloat16(array: Array) -> NDArray[np.uint16]:
    """Round to the nearest bfloat16, ties to even; what is not finite stays so.

    The relative error is at most 2**-8 (for halfway values, 0.4%).

    >>> from_bfloat16(to_bfloat16(np.array([1.0, 3.14159265, np.inf], np.float32))).tolist()
    [1.0, 3.140625, inf]
    """
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    short = rounded.astype(np.uint16)
    short[np.isnan(array)] = 0x7FC0  # rounding could have made an infinity of it
    return short


def from_bfloat16(array: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the numbers as float32."""
    bits = array.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)
