"""Collection: labelled images at hand, to train on and to compare with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Collection:
    """Images (N, C, H, W) and their labels.

    Attributes
    ----------
    name : str
    x, t : ndarray of uint8 and of int64
        To train on.
    x_test, t_test : ndarray of uint8 and of int64
        To measure on, and to show.
    """

    name: str
    x: Pixels
    t: Labels
    x_test: Pixels
    t_test: Labels

    @property
    def ground(self) -> float:
        """Mean brightness at the edges of the images, 0 to 1: dark ink lies on a light ground."""
        x = self.x_test[:200]
        edges = (x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1])
        return float(np.concatenate([edge.reshape(-1) for edge in edges]).mean()) / 255
