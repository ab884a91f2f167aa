"""Normalize: images in units of a known mean and standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np

from pocketcnn._arguments import Array, number
from pocketcnn.functional._conv_block import KnownNorm
from pocketcnn.functional._normalize import normalize, normalize_backward, units_of
from pocketcnn.layers.base import Layer, Shape, check_image_shape


class Normalize(Layer):
    """``(x - mean) / std``, channel by channel, as the images of a data set are prepared.

    The numbers are settings and not parameters: training does not change them.

    Parameters
    ----------
    mean, std : sequence of float
        A finite number per channel, in the units of the input; each std is greater than 0.

    Examples
    --------
    >>> imagenet = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    >>> imagenet.output_shape((3, 224, 224))
    (3, 224, 224)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean = _numbers("mean", mean, -inf)
        self.std = _numbers("std", std, 0)
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"std has {len(self.std)} numbers, but mean has {len(self.mean)}: one per channel"
            )

    def forward(self, x: Array, training: bool = False) -> Array:
        """Normalise x (N, C, H, W)."""
        self._saved = True
        return normalize(x, self.mean, self.std)

    def backward(self, grad: Array) -> Array:
        """Divide by std."""
        self._recall()
        return normalize_backward(grad, self.std)

    def known(self) -> KnownNorm:
        """What the layer does, for an operation that does it besides."""
        return units_of(self.mean, self.std)

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        check_image_shape(self, input_shape)
        if input_shape[0] != len(self.mean):
            raise ValueError(f"{self!r} takes {len(self.mean)} channels, but gets {input_shape[0]}")
        return input_shape


def _numbers(name: str, value: Sequence[float], above: float) -> tuple[float, ...]:
    """A tuple of finite numbers greater than `above`."""
    is_array = isinstance(value, np.ndarray) and value.ndim == 1
    if not (is_array or isinstance(value, (tuple, list))) or not len(value):
        raise ValueError(f"{name} is {value!r}, but must be a sequence of a number per channel")
    numbers = tuple(number(name, one, -inf, inf) for one in value)
    for one in numbers:
        if not above < one < inf:
            wanted = "finite" if above < 0 else "finite and greater than 0"
            raise ValueError(f"{name} is {value!r}, but its numbers must be {wanted}")
    return numbers
