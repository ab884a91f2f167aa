"""Upsample: feature maps made larger."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Literal

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.functional import upsample2d, upsample2d_backward
from pocketcnn.functional._upsample2d import scale_pair, upsampled_shape, upsampling
from pocketcnn.layers.base import Layer, Shape, check_image_shape
from pocketcnn.layers.sight import Sight


class Upsample(Layer):
    """Make each feature map larger, or smaller, by its nearest pixels or between them.

    Parameters
    ----------
    scale_factor : float or (float, float)
        Size of the output over that of the input, for both axes or (h, w); need not be whole.
    mode : {"nearest", "bilinear"}
        Whether a pixel is copied or interpolated.
    align_corners : bool
        Whether the corners keep their values in bilinear mode; otherwise a pixel is an area.

    Examples
    --------
    >>> Upsample(2).output_shape((64, 16, 16))
    (64, 32, 32)
    """

    def __init__(
        self,
        scale_factor: float | Sequence[float],
        mode: Literal["nearest", "bilinear"] = "nearest",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self._upsample = upsampling(scale_factor, mode, align_corners)
        scales = scale_pair(scale_factor)
        self.scale_factor = scales[0] if scales[0] == scales[1] else scales
        self.mode = str(mode)
        self.align_corners = bool(align_corners)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Resize x (N, C, H, W) to (N, C, OH, OW)."""
        self._saved = x.shape
        return upsample2d(x, self.scale_factor, self.mode, self.align_corners)

    def backward(self, grad: Array) -> Array:
        """Give each pixel its shares of the outputs' gradients."""
        shape = self._recall()
        return upsample2d_backward(grad, shape, self.scale_factor, self.mode, self.align_corners)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) to (C, floor(H * scale), floor(W * scale))."""
        check_image_shape(self, input_shape)
        return upsampled_shape((1, *input_shape), self._upsample)[1:]

    def sight(self, input_shape: Shape) -> tuple[Sight, Sight]:
        """The pixel that is copied, or the two that are interpolated."""
        return self._along(input_shape[1], 0), self._along(input_shape[2], 1)

    def _along(self, size: int, axis: int) -> Sight:
        # A ramp that is resized has the places that its outputs come from; rounding aside.
        ramp = np.arange(size, dtype=np.float64).reshape(1, 1, 1, size)
        scale = scale_pair(self.scale_factor)[axis]
        places = upsample2d(ramp, (1, scale), self.mode, self.align_corners).ravel().round(9)
        step = Fraction(size, len(places)) if scale != int(scale) else Fraction(1, int(scale))
        first = min(floor(place) - o * step for o, place in enumerate(places))
        return Sight(first, max(ceil(place) - o * step for o, place in enumerate(places)), step)
