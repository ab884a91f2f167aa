"""How the samples of an array become images (N, C, H, W), and what their values are like."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, prod
from typing import NamedTuple

import numpy as np

from pocketcnn._arguments import Array, sizes
from pocketcnn.layers import Shape

# Numbers of channels by which an axis is recognised, the likelier first.
_CHANNELS = {1: 0, 3: 0, 4: 1}


class Layout(NamedTuple):
    """How one sample is read as an image.

    Attributes
    ----------
    shape : tuple of int
        The sample's axes, reshaped to three.
    channels_last : bool
        Whether they are (H, W, C) instead of (C, H, W).
    """

    shape: Shape
    channels_last: bool

    @property
    def image_shape(self) -> Shape:
        """The image's shape (C, H, W)."""
        return (self.shape[2], *self.shape[:2]) if self.channels_last else self.shape

    def images(self, x: Array) -> Array:
        """View samples as images (N, C, H, W)."""
        x = x.reshape(len(x), *self.shape)
        return np.moveaxis(x, 3, 1) if self.channels_last else x


def read_layout(sample: Shape, image_shape: Sequence[int] | None) -> Layout:
    """Find out how samples of a shape are images.

    Without `image_shape`, (H, W) has one channel, and of three axes the last are the channels if
    only that one can be (it has 1, 3 or 4 values); a flat sample is a square image if its length
    is a square, otherwise an image of one row.

    Parameters
    ----------
    sample : tuple of int
        The shape of one sample.
    image_shape : tuple of int, optional
        (H, W), (C, H, W) or (H, W, C): the shape that a flat sample is reshaped to. Samples that
        are not flat must be such images, with the channels first or last.

    Raises
    ------
    TypeError, ValueError
        Samples that cannot be images of that shape.

    Examples
    --------
    >>> read_layout((64,), None).image_shape, read_layout((32, 32, 3), None).image_shape
    ((1, 8, 8), (3, 32, 32))
    """
    if image_shape is None:
        if len(sample) > 3:
            raise ValueError(
                f"X has samples of shape {sample}: wanted (H, W), (C, H, W), (H, W, C) or flat ones"
            )
        return _of_axes(_unflattened(sample))
    wanted = sizes("image_shape", image_shape, 1)
    if len(wanted) not in (2, 3):
        raise ValueError(f"image_shape is {image_shape!r}: wanted (H, W), (C, H, W) or (H, W, C)")
    layout = _of_axes(wanted)
    channels, height, width = layout.image_shape
    first, last = Layout((channels, height, width), False), Layout((height, width, channels), True)
    if sample == (prod(wanted),) or sample == layout.shape or sample == wanted:
        return layout
    if sample == first.shape or (channels == 1 and sample == (height, width)):
        return first
    if sample == last.shape:
        return last
    raise ValueError(f"X has samples of shape {sample}, but image_shape is {wanted}")


def _unflattened(sample: Shape) -> Shape:
    if len(sample) > 1:
        return sample
    side = isqrt(sample[0])
    return (side, side) if side * side == sample[0] else (1, sample[0])


def _of_axes(axes: Shape) -> Layout:
    """The layout of (H, W) or of three axes."""
    if len(axes) == 2:
        return Layout((1, *axes), False)
    unlikely = len(_CHANNELS)
    first, last = (_CHANNELS.get(axes[place], unlikely) for place in (0, 2))
    return Layout(axes, last < first)


def mean_and_std(x: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel, in float64; 1 for a channel that is constant.

    Parameters
    ----------
    x : ndarray, (N, C, H, W)
    weights : ndarray, (N,), optional
        How much each image counts.

    Returns
    -------
    mean, std : ndarray, (C,)
    """
    weights = np.ones(len(x)) if weights is None else weights
    total = weights.sum() * prod(x.shape[2:])
    # A few images at a time: a copy in float64 may be 8 times as large as x.
    step = max(1, 2**20 // prod(x.shape[1:]))
    parts = [slice(start, start + step) for start in range(0, len(x), step)]
    mean = sum(weights[p] @ x[p].sum((2, 3), dtype=np.float64) for p in parts) / total
    centre = mean[:, None, None]
    variance = sum(weights[p] @ np.square(x[p] - centre).sum((2, 3)) for p in parts) / total
    std = np.sqrt(variance)
    # Below this, it is the rounding of float32 that is seen.
    constant = std <= np.finfo(np.float32).eps * np.abs(mean)
    return mean, np.where(constant, 1.0, std)
