"""Parts of images that are erased."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketcnn import _arguments
from pocketcnn.data.augment.base import Array, check_batch, check_range, keep
from pocketcnn.data.augment.boxes import draw_boxes


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
        keep(self, "size", _arguments.extent("size", self.size, 1))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Cut a square out of every image of x (N, C, H, W)."""
        x = check_batch(x, rng)
        count, _, height, width = x.shape
        corners = rng.integers(0, (height, width), (count, 2)) - self.size // 2
        out = np.array(x, order="C")
        for image, (top, left) in enumerate(corners.tolist()):
            rows = slice(max(top, 0), top + self.size)
            out[image, :, rows, max(left, 0) : left + self.size] = 0
        return out


@dataclass(frozen=True)
class RandomErasing:
    """Erase a rectangle of random size, shape and place.

    Zhong, Zheng, Kang, Li, Yang, "Random Erasing Data Augmentation", 2017 (arXiv:1708.04896). The
    rectangle lies inside the image. Where none of ten that are drawn fits, nothing is erased.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an image loses a rectangle.
    scale : (float, float), default (0.02, 0.33)
        Its share of the image's area is drawn between these.
    ratio : (float, float), default (0.3, 3.3)
        Its width as a multiple of its height is drawn between these, uniformly in the logarithm.
    value : float, default 0
        What stands there then.
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float = 0.0

    def __post_init__(self) -> None:
        keep(self, "p", _arguments.number("p", self.p, 0.0, 1.0))
        check_range(self, "scale", 0.0, 1.0)
        check_range(self, "ratio", 1e-3, 1e3)
        keep(self, "value", _arguments.finite("value", self.value))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Erase a rectangle of some images of x (N, C, H, W)."""
        x = check_batch(x, rng)
        if x.dtype.kind in "iub" and np.array(self.value).astype(x.dtype) != self.value:
            raise ValueError(f"value is {self.value!r}, which {x.dtype} does not have")
        chosen = rng.random(len(x)) < self.p
        boxes = draw_boxes(rng, x.shape, self.scale, self.ratio)
        out = np.array(x, order="C")
        for image, (top, left, height, width) in enumerate(boxes.tolist()):
            if chosen[image]:
                out[image, :, top : top + height, left : left + width] = self.value
        return out
