"""What augmentations have in common: their types, and checks of what they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments

Array: TypeAlias = NDArray[Any]
Augment: TypeAlias = "Callable[[Array, np.random.Generator], Array]"  # numpy.random loads slowly


class Mixing(Protocol):
    """An augmentation that changes targets too, which it says by `mixes = True`."""

    @property
    def mixes(self) -> bool:
        """True."""

    def __call__(self, x: Array, t: Array, rng: np.random.Generator, /) -> tuple[Array, Array]:
        """Return images and targets; t are probabilities (N, K)."""


def keep(augment: object, name: str, value: object) -> None:
    """Set a field of a frozen augmentation to a plain number, of whatever type it was given."""
    object.__setattr__(augment, name, value)


def check_generator(rng: np.random.Generator) -> None:
    """Raise TypeError unless rng is a generator."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}, but must be a numpy.random.Generator")


def check_batch(x: Array, rng: np.random.Generator) -> Array:
    """Return x (N, C, H, W) as an array, and check that its images have pixels."""
    check_generator(rng)
    x = _arguments.array("x", x, 4)
    if 0 in x.shape[2:]:
        raise ValueError(f"x has shape {x.shape}, but images must have a pixel")
    return x


def check_range(augment: object, name: str, low: float, high: float) -> None:
    """Replace a field (least, most) of a frozen augmentation by two floats within [low, high]."""
    value = getattr(augment, name)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} is {value!r:.80}, but must be (least, most)")
    least, most = (_arguments.number(name, number, low, high) for number in value)
    if least > most:
        raise ValueError(f"{name} is {value!r}, but the first must not be larger than the second")
    keep(augment, name, (least, most))


def restored(pixels: Array, dtype: np.dtype[Any]) -> Array:
    """Return computed pixels in the dtype of the images: integers are rounded and kept in range."""
    if dtype.kind == "b":
        return pixels >= 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        np.clip(np.rint(pixels, out=pixels), limits.min, limits.max, out=pixels)
    return pixels.astype(dtype, copy=False)
