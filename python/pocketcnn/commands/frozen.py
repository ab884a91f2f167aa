"""What the frozen first layers of a run's network make of its images, computed once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketcnn.data.dataset import Dataset, identify
from pocketcnn.network.head import end_of_frozen_part
from pocketcnn.network.net import ConvNet

# No more memory than this for the features of all images, in bytes.
_ROOM = 1 << 30


def kept_layer(net: ConvNet, images: int) -> str | None:
    """Return the layer whose output is kept for all images, if that pays.

    It does if the first layers are frozen, and if what they give takes no more memory than the
    pixels, a byte each.
    """
    try:
        name = end_of_frozen_part(net.graph)
    except ValueError:
        return None
    shape = net.graph.shapes[list(net.layers).index(name) + 1]
    size = math.prod(shape) * net.dtype.itemsize
    return name if size <= math.prod(net.input_shape) and size * images <= _ROOM else None


class Features:
    """A data set of what a layer gives for the images of another."""

    def __init__(self, net: ConvNet, layer: str, dataset: Dataset) -> None:
        self.layer, self.dataset = layer, dataset
        self.x, self.t = net.features(dataset, layer)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The labels, if the data set knows them."""
        return getattr(self.dataset, "labels", None)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: NDArray[np.integer]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Copy some samples."""
        return self.x[indices], self.t[indices]

    def digest(self) -> str:
        """Return a digest of what the features are made from."""
        return f"{self.layer} of {identify(self.dataset)[0]}"
