"""Rectangles of random size, shape and place within an image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ATTEMPTS = 10


def draw_boxes(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> NDArray[np.int64]:
    """Draw one rectangle for each image.

    The area is drawn uniformly, the ratio uniformly in its logarithm, ten of each. The first that
    fits into the image counts, at a place drawn uniformly. How many numbers are drawn does not
    depend on which fit.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : tuple of int
        Shape of the images (N, C, H, W).
    scale : (float, float)
        Least and largest share of the area.
    ratio : (float, float)
        Least and largest width as a multiple of the height.

    Returns
    -------
    ndarray of int64 (N, 4)
        Top, left, height and width; all zero where none fits.
    """
    count, _, rows, columns = shape
    draws = _ATTEMPTS, count
    area = rng.uniform(scale[0], scale[1], draws) * (rows * columns)
    quotient = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), draws))
    place = rng.random((2, count))
    heights = np.rint(np.sqrt(area / quotient)).astype(np.int64)
    widths = np.rint(np.sqrt(area * quotient)).astype(np.int64)
    fits = (heights > 0) & (heights <= rows) & (widths > 0) & (widths <= columns)
    first = fits.argmax(axis=0), np.arange(count)
    height, width = (np.where(fits[first], sizes[first], 0) for sizes in (heights, widths))
    top = (place[0] * (rows - height + 1)).astype(np.int64)
    left = (place[1] * (columns - width + 1)).astype(np.int64)
    boxes = np.stack([top, left, height, width], axis=1)
    boxes[~fits[first]] = 0
    return boxes
