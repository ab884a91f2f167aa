"""Images shifted by whole pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketcnn import _arguments
from pocketcnn.data.augment.base import Array, check_batch, keep


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
        keep(self, "padding", _arguments.extent("padding", self.padding, 0))
        if not isinstance(self.reflect, (bool, np.bool_)):
            raise TypeError(f"reflect is {self.reflect!r}, but must be True or False")
        keep(self, "reflect", bool(self.reflect))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Shift every image of x (N, C, H, W) by its own two draws."""
        x = check_batch(x, rng)
        shifts = rng.integers(0, 2 * self.padding + 1, size=(2, len(x))) - self.padding
        return _shift_mirrored(x, shifts) if self.reflect else _shift(x, shifts)


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
