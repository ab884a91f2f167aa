"""A part of the image, enlarged to the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketcnn.data.augment.base import Array, check_batch, check_range, restored
from pocketcnn.data.augment.boxes import draw_boxes


@dataclass(frozen=True)
class RandomResizedCrop:
    """Cut out a rectangle of random size, shape and place, and resize it to the image's size.

    Szegedy et al., "Going deeper with convolutions", 2014 (arXiv:1409.4842), section 6. Where none
    of ten rectangles that are drawn fits, it is the middle of the image, as large as `ratio`
    allows. Resizing is bilinear, with the centres of pixels as PyTorch has them
    (`align_corners=False`); beyond the rectangle its own edge goes on.

    Parameters
    ----------
    scale : (float, float), default (0.08, 1.0)
        The rectangle's share of the image's area is drawn between these. Small images want a
        larger least share.
    ratio : (float, float), default (3 / 4, 4 / 3)
        Its width as a multiple of its height is drawn between these, uniformly in the logarithm.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        check_range(self, "scale", 0.0, 1.0)
        check_range(self, "ratio", 1e-3, 1e3)

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Enlarge a part of every image of x (N, C, H, W); integers are rounded to the nearest."""
        x = check_batch(x, rng)
        size = x.shape[2], x.shape[3]
        boxes = draw_boxes(rng, x.shape, self.scale, self.ratio)
        boxes[boxes[:, 2] == 0] = self._middle(size)
        out = np.empty(x.shape, np.result_type(x, np.float32))
        for image, (top, left, height, width) in enumerate(boxes.tolist()):
            part = x[image, :, top : top + height, left : left + width]
            _enlarge(part.astype(out.dtype, copy=False), out[image])
        return restored(out, x.dtype)

    def _middle(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        rows, columns = size
        height = min(rows, max(1, round(columns / self.ratio[0])))
        width = min(columns, max(1, round(rows * self.ratio[1])))
        return (rows - height) // 2, (columns - width) // 2, height, width


def _enlarge(part: Array, out: Array) -> None:
    """Resize an image (C, h, w) into one that is at least as large."""
    above, below, down = _neighbours(part.shape[1], out.shape[1], out.dtype)
    down = down[:, np.newaxis]
    rows = part[:, above] * (1 - down) + part[:, below] * down
    left, right, across = _neighbours(part.shape[2], out.shape[2], out.dtype)
    np.add(rows.take(left, 2) * (1 - across), rows.take(right, 2) * across, out=out)


def _neighbours(old: int, new: int, dtype: np.dtype) -> tuple[Array, Array, Array]:
    """The pixels before and after each new one, and how near it is to the second, 0 to 1."""
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    before = place.astype(np.intp)
    return before, np.minimum(before + 1, old - 1), (place - before).astype(dtype)
