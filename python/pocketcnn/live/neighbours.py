"""The training images that a network takes for alike."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from pocketcnn.live.exhibit import Exhibit

Pixels = NDArray[np.uint8]


class Neighbours:
    """Finds images that are alike: what the last layer with weights takes has nearly one direction.

    This is computed for all images when they are first asked for.

    Parameters
    ----------
    exhibit : Exhibit
        Its weights must stay as they are.
    images : ndarray of uint8 (N, C, H, W)
    """

    def __init__(self, exhibit: Exhibit, images: Pixels) -> None:
        self._exhibit, self._images = exhibit, images
        self._lock = threading.Lock()
        self._rows: NDArray[np.float32] | None = None

    def nearest(self, image: Pixels, count: int) -> list[tuple[int, float]]:
        """Return indices of the nearest images and their cosines, the nearest first."""
        with self._lock:
            if self._rows is None:
                self._rows = self._exhibit.features(self._images)
        cosines = self._rows @ self._exhibit.features(image[np.newaxis])[0]
        best = np.argsort(-cosines, kind="stable")[:count]
        return [(int(index), float(cosines[index])) for index in best]
