"""Images turned, scaled, slanted and shifted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pocketcnn import _arguments
from pocketcnn.data.augment.base import Array, check_batch, check_generator, keep


@dataclass(frozen=True)
class RandomAffine:
    """Rotate, scale, shear and shift around the centre, with bilinear interpolation.

    An output pixel is the mean of the four pixels around its source, weighted by their nearness;
    outside the image is zero. Each parameter is drawn uniformly.

    Parameters
    ----------
    degrees : float, default 10
        The largest angle, either way.
    scale : float, default 0.1
        Sizes are drawn between `1 - scale` and `1 + scale`, the same for both axes.
    shear : float, default 0.1
        The largest slant: pixels to the side for each pixel down.
    shift : float, default 2
        The largest shift along each axis, in pixels, not rounded.
    """

    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    shift: float = 2.0

    def __post_init__(self) -> None:
        for name, largest in (("degrees", 180.0), ("scale", 0.9), ("shear", 10.0), ("shift", 1e6)):
            keep(self, name, _arguments.number(name, getattr(self, name), 0.0, largest))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Transform every image of x (N, C, H, W); integers are rounded to the nearest."""
        x = check_batch(x, rng)
        matrices, shifts = self.draw(len(x), rng)
        return _resample(x, matrices, shifts)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw the source of each output pixel: `source = matrix @ (row, column) + shift`.

        Parameters
        ----------
        count : int
            How many images.
        rng : numpy.random.Generator

        Returns
        -------
        matrices : ndarray of float64 (count, 2, 2)
        shifts : ndarray of float64 (count, 2)
            Both in coordinates from the image's centre.
        """
        check_generator(rng)
        draws = rng.uniform(-1.0, 1.0, size=(5, _arguments.integer("count", count, 0)))
        angle = np.radians(self.degrees) * draws[0]
        size = 1.0 + self.scale * draws[1]
        slant = self.shear * draws[2]
        cos, sin = np.cos(angle) / size, np.sin(angle) / size
        # The rotation times the shear [[1, 0], [slant, 1]].
        rows = [[cos - slant * sin, -sin], [sin + slant * cos, cos]]
        return np.moveaxis(np.array(rows), 2, 0), self.shift * draws[3:].T


def _resample(x: Array, matrices: Array, shifts: Array) -> Array:
    """Read x (N, C, H, W) at transformed places."""
    count, channels, height, width = x.shape
    dtype = np.result_type(x, np.float32)
    rows, columns = _places(matrices, shifts, (height, width))
    top, down = _split(rows, height)
    left, right = _split(columns, width)
    # A border of one zero pixel, which is read for all places further out.
    stride = width + 2
    plane = (height + 2) * stride
    padded = np.zeros((count, channels, height + 2, stride), dtype)
    padded[:, :, 1:-1, 1:-1] = x
    images = np.arange(count) * (channels * plane)
    corner = images[:, np.newaxis, np.newaxis] + top * stride + left
    weights = {
        0: (1 - down) * (1 - right),
        1: (1 - down) * right,
        stride: down * (1 - right),
        stride + 1: down * right,
    }
    out = np.empty(x.shape, dtype)
    for channel in range(channels):
        # The same indices, applied to the pixels a plane, a row or a column further.
        pixels = padded.reshape(-1)[channel * plane :]
        out[:, channel] = sum(
            weight * pixels[offset:].take(corner) for offset, weight in weights.items()
        )
    if x.dtype.kind in "iub":
        np.rint(out, out=out)
    return out.astype(x.dtype, copy=False)


def _places(matrices: Array, shifts: Array, size: tuple[int, int]) -> Iterator[Array]:
    """Yield the source row, then the source column, of each output pixel (N, H, W)."""
    rows, columns = (np.arange(n, dtype=np.float32) - np.float32(0.5 * (n - 1)) for n in size)
    for axis in (0, 1):
        down, across = matrices[:, axis, :, np.newaxis].astype(np.float32).transpose(1, 0, 2)
        start = shifts[:, axis] + 0.5 * (size[axis] - 1)
        along = across * columns + start.astype(np.float32)[:, np.newaxis]
        yield (down * rows)[:, :, np.newaxis] + along[:, np.newaxis]


def _split(place: Array, size: int) -> tuple[Array, Array]:
    """The pixel before each place, counted with the border, and the distance from it."""
    inside = np.clip(place + np.float32(1), 0, size + 1)
    before = np.minimum(inside.astype(np.intp), size)
    return before, inside - before.astype(np.float32)
