"""Images mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketcnn import _arguments
from pocketcnn.data.augment.base import Array, check_batch, keep


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
        keep(self, "p", _arguments.number("p", self.p, 0.0, 1.0))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Mirror images of x (N, C, H, W)."""
        x = check_batch(x, rng)
        chosen = rng.random(len(x)) < self.p
        out = np.array(x, order="C")
        out[chosen] = x[chosen, :, :, ::-1]
        return out
