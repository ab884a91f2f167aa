"""Random changes to training images that do not change their classes.

Each is a small object, called with a batch and a generator: `(x, rng) -> x_changed`, a new array
of the same shape and dtype; `Trainer(..., augment=...)` takes one, or any function like it. Every
image of the batch has its own random draws, which do not depend on the pixels, so that a seed gives
the same images everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments

Array: TypeAlias = NDArray[Any]
Augment: TypeAlias = "Callable[[Array, np.random.Generator], Array]"  # numpy.random loads slowly


class Compose:
    """One augmentation after the other.

    Parameters
    ----------
    *steps : callables (x, rng) -> x
        The first is applied first.

    Examples
    --------
    >>> augment = Compose(RandomCrop(2), RandomFlip())
    >>> augment
    Compose(RandomCrop(padding=2, reflect=False), RandomFlip(p=0.5))
    >>> augment(np.ones((8, 3, 32, 32)), np.random.default_rng(0)).shape
    (8, 3, 32, 32)
    """

    def __init__(self, *steps: Augment) -> None:
        for step in steps:
            if not callable(step):
                raise TypeError(f"steps has {step!r}: wanted callables (x, rng) -> x")
        self.steps = steps

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Apply all steps to x (N, C, H, W)."""
        for step in self.steps:
            x = step(x, rng)
        return x

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(describe, self.steps))})"


def describe(augment: object) -> str:
    """Describe a callable by the same text in every process, without its address.

    Examples
    --------
    >>> describe(RandomFlip()), describe(np.flip)
    ('RandomFlip(p=0.5)', 'numpy.flip')
    """
    name = getattr(augment, "__qualname__", None)
    if isinstance(name, str):
        module = getattr(augment, "__module__", None)
        return f"{module}.{name}" if module else name
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(augment))


@dataclass(frozen=True)
class RandomCrop:
    """Cut an image of the same size out of the padded one: a shift by whole pixels.

    Parameters
    ----------
    padding : int, default 4
        How many pixels are added on each side; also the largest shift.
    reflect : bool, default False
        Whether the padding is the image mirrored at its edge, or zeros.
    """

    padding: int = 4
    reflect: bool = False

    def __post_init__(self) -> None:
        _keep(self, "padding", _arguments.extent("padding", self.padding, 0))
        if not isinstance(self.reflect, (bool, np.bool_)):
            raise TypeError(f"reflect is {self.reflect!r}, but must be True or False")
        _keep(self, "reflect", bool(self.reflect))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Shift every image of x (N, C, H, W) by its own two draws."""
        x = _check_batch(x, rng)
        shifts = rng.integers(0, 2 * self.padding + 1, size=(2, len(x))) - self.padding
        return _shift_mirrored(x, shifts) if self.reflect else _shift(x, shifts)


@dataclass(frozen=True)
class RandomFlip:
    """Mirror some images, left to right.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an image is mirrored.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        _keep(self, "p", _arguments.number("p", self.p, 0.0, 1.0))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Mirror images of x (N, C, H, W)."""
        x = _check_batch(x, rng)
        chosen = rng.random(len(x)) < self.p
        out = np.array(x, order="C")
        out[chosen] = x[chosen, :, :, ::-1]
        return out


@dataclass(frozen=True)
class Cutout:
    """Set a square at a random place to zero.

    DeVries, Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017
    (arXiv:1708.04552): the centre is any pixel, so that a part of the square may lie outside.

    Parameters
    ----------
    size : int, default 8
        Length of the square's side.
    """

    size: int = 8

    def __post_init__(self) -> None:
        _keep(self, "size", _arguments.extent("size", self.size, 1))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Cut a square out of every image of x (N, C, H, W)."""
        x = _check_batch(x, rng)
        count, _, height, width = x.shape
        corners = rng.integers(0, (height, width), (count, 2)) - self.size // 2
        out = np.array(x, order="C")
        for image, (top, left) in enumerate(corners.tolist()):
            rows = slice(max(top, 0), top + self.size)
            out[image, :, rows, max(left, 0) : left + self.size] = 0
        return out


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
            _keep(self, name, _arguments.number(name, getattr(self, name), 0.0, largest))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Transform every image of x (N, C, H, W); integers are rounded to the nearest."""
        x = _check_batch(x, rng)
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
        _check_generator(rng)
        draws = rng.uniform(-1.0, 1.0, size=(5, _arguments.integer("count", count, 0)))
        angle = np.radians(self.degrees) * draws[0]
        size = 1.0 + self.scale * draws[1]
        slant = self.shear * draws[2]
        cos, sin = np.cos(angle) / size, np.sin(angle) / size
        # The rotation times the shear [[1, 0], [slant, 1]].
        rows = [[cos - slant * sin, -sin], [sin + slant * cos, cos]]
        return np.moveaxis(np.array(rows), 2, 0), self.shift * draws[3:].T


def _keep(augment: object, name: str, value: object) -> None:
    """Set a field of a frozen augmentation to a plain number, of whatever type it was given."""
    object.__setattr__(augment, name, value)


def _check_generator(rng: np.random.Generator) -> None:
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}, but must be a numpy.random.Generator")


def _check_batch(x: Array, rng: np.random.Generator) -> Array:
    """Return x (N, C, H, W) as an array, and check that its images have pixels."""
    _check_generator(rng)
    x = _arguments.array("x", x, 4)
    if 0 in x.shape[2:]:
        raise ValueError(f"x has shape {x.shape}, but images must have a pixel")
    return x


def _shift(x: Array, shifts: Array) -> Array:
    """Shift each image of x (N, C, H, W) by its (row, column) of shifts (2, N); zero outside."""
    _, _, height, width = x.shape
    out = np.zeros(x.shape, x.dtype)
    for image, (down, right) in enumerate(shifts.T.tolist()):
        rows = slice(max(down, 0), max(height + down, 0))
        columns = slice(max(right, 0), max(width + right, 0))
        part = x[image, :, rows, columns]
        top, left = max(-down, 0), max(-right, 0)
        out[image, :, top : top + part.shape[1], left : left + part.shape[2]] = part
    return out


def _shift_mirrored(x: Array, shifts: Array) -> Array:
    """The same, with the image mirrored at its edges as often as needed."""
    places = []
    for size, starts in zip(x.shape[2:], shifts, strict=True):
        last = size - 1
        turned = np.abs(starts[:, np.newaxis] + np.arange(size)) % (2 * last or 1)
        places.append(last - np.abs(last - turned))
    out = np.empty(x.shape, x.dtype)
    for image, (rows, columns) in enumerate(zip(*places, strict=True)):
        out[image] = x[image].take(rows, axis=1).take(columns, axis=2)
    return out


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
