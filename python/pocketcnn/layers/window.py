"""Settings of a sliding window, which all convolution and pooling layers share.

This file only checks settings. The computation is in :mod:`pocketcnn.functional`.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from pocketcnn._arguments import IntOrPair, Padding, padding_sides, pair


def check_window(
    kernel_size: IntOrPair, stride: IntOrPair, padding: Padding, dilation: IntOrPair = 1
) -> None:
    """Raise TypeError or ValueError if a setting is invalid for every image."""
    pair("kernel_size", kernel_size)
    pair("stride", stride)
    pair("dilation", dilation)
    padding_sides(padding)


def check_pool_window(kernel_size: IntOrPair, stride: IntOrPair | None, padding: Padding) -> None:
    """Do as `check_window`, and check that no window lies only in padding."""
    check_window(kernel_size, kernel_size if stride is None else stride, padding)
    kernel, sides = pair("kernel_size", kernel_size), padding_sides(padding)
    if sides is not None and (max(sides[:2]) >= kernel[0] or max(sides[2:]) >= kernel[1]):
        raise ValueError(f"padding is {padding!r}, but must be smaller than kernel_size {kernel}")


def plain(value: Any) -> Any:
    """Convert a checked setting to plain values for JSON and ``==``: ints, and tuples of them.

    Examples
    --------
    >>> plain([[1, 2], [0, 0]]), plain(np.array([3, 5]))
    (((1, 2), (0, 0)), (3, 5))
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Sequence) or (isinstance(value, np.ndarray) and value.ndim):
        return tuple(map(plain, value))
    return index(value)
