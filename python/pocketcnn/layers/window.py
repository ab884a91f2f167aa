"""Settings of a sliding window, which every convolution and pooling layer shares.

This file only checks settings and computes shapes. The arrays are moved in
:mod:`pocketcnn.functional`.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from pocketcnn._arguments import IntOrPair, Padding, Pair, padding_sides, pair, window


def check_window(
    kernel_size: IntOrPair, stride: IntOrPair, padding: Padding, dilation: IntOrPair = 1
) -> None:
    """Raise TypeError or ValueError where a setting makes no sense, whatever the image."""
    pair("kernel_size", kernel_size)
    pair("stride", stride)
    pair("dilation", dilation)
    padding_sides(padding)


def check_pool_window(kernel_size: IntOrPair, stride: IntOrPair | None, padding: Padding) -> None:
    """Do as `check_window`, and see that no window lies in the padding alone."""
    check_window(kernel_size, kernel_size if stride is None else stride, padding)
    kernel, sides = pair("kernel_size", kernel_size), padding_sides(padding)
    if sides is not None and (max(sides[:2]) >= kernel[0] or max(sides[2:]) >= kernel[1]):
        raise ValueError(f"padding is {padding!r}, but must be smaller than kernel_size {kernel}")


def output_size(
    image_size: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair = 1,
    *,
    ceil_mode: bool = False,
) -> Pair:
    """Count the window's positions on an image (H, W), down and across.

    Parameters
    ----------
    ceil_mode : bool
        Whether a last window may hang over the lower and right edge.

    Raises
    ------
    ValueError
        If the window does not fit the padded image even once, in ceil mode not even if it hangs
        over by less than its stride.

    Examples
    --------
    >>> output_size((224, 224), 3, stride=2, padding=1)
    (112, 112)
    >>> output_size((5, 5), 2, stride=2, padding=0, ceil_mode=True)
    (3, 3)
    """
    kernel, strides, sides, dilations = window(
        (1, 1, *image_size), kernel_size, stride, padding, dilation, ceil_mode=ceil_mode
    )

    def positions(axis: int) -> int:
        before, after = sides[2 * axis : 2 * axis + 2]
        room = image_size[axis] + before + after - dilations[axis] * (kernel[axis] - 1) - 1
        if not ceil_mode:
            return room // strides[axis] + 1
        last = -(-room // strides[axis])
        # A window that starts behind the last pixel would see nothing but padding.
        starts_outside = last * strides[axis] >= image_size[axis] + before
        return last if starts_outside else last + 1

    return positions(0), positions(1)


def plain(value: Any) -> Any:
    """Make a checked setting one that JSON and ``==`` know: ints, and tuples of them.

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
