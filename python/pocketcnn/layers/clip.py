"""Clip: numbers held between two bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketcnn._arguments import Array, finite
from pocketcnn.layers.base import Layer, Shape


class Clip(Layer):
    """``y = min(max(x, low), high)``.

    Parameters
    ----------
    low, high : float or None
        The bounds, ``low <= high``; None is no bound.

    Examples
    --------
    >>> Clip(-1, 1).forward(np.array([[-3.0, 0.5, 2.0]]))
    array([[-1. ,  0.5,  1. ]])
    """

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        super().__init__()
        self.low = None if low is None else finite("low", low)
        self.high = None if high is None else finite("high", high)
        if low is not None and high is not None and low > high:
            raise ValueError(f"low is {low!r} and high is {high!r}, but low must not be above high")

    def _bounds(self, dtype: np.dtype[Any]) -> tuple[Any, Any]:
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return dtype.type(low), dtype.type(high)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Hold x, of any shape, between the bounds."""
        self._saved = x
        return np.clip(x, *self._bounds(x.dtype))

    def backward(self, grad: Array) -> Array:
        """The gradient where x is between the bounds or on one, as in PyTorch; zero elsewhere."""
        x = self._recall()
        low, high = self._bounds(x.dtype)
        dx: Array = grad * ((x >= low) & (x <= high))
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
