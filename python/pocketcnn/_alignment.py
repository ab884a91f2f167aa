"""Arrays that begin on a cache line.

A vector that crosses the end of a line is loaded twice, and NumPy's large arrays begin 16 bytes
after the start of a line: docs/measurements.md#fully-connected-layer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from pocketcnn._arguments import Array

_LINE = 64


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return a new array with arbitrary contents, like `numpy.empty`."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned(array: Array) -> Array:
    """Return `array` itself if it begins on a cache line, else a copy that does."""
    if array.ctypes.data % _LINE == 0:
        return array
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy
