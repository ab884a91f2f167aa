"""Dropout: in training, a random part of the numbers is zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from pocketcnn._arguments import Array
from pocketcnn.functional import dropout
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme


class Dropout(Layer):
    """Zero each number with probability `p` in training, and do nothing otherwise.

    The survivors are divided by ``1 - p`` ("inverted" dropout), so that the expected output is
    the input, and inference needs no factor.
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
    JMLR 15 (2014).

    Parameters
    ----------
    p : float
        Probability that a number is dropped, ``0 <= p < 1``.

    Attributes
    ----------
    rng : numpy.random.Generator
        Generator of the masks. A network gives each of its Dropout layers its own.

    Examples
    --------
    >>> x = np.ones((2, 3), np.float32)
    >>> Dropout(0.5).forward(x, training=False) is x
    True
    """

    rng: np.random.Generator

    def __init__(self, p: float) -> None:
        super().__init__()
        if not isinstance(p, (int, float, np.integer, np.floating)):
            raise TypeError(f"p is {p!r}, but must be a number")
        if not 0 <= p < 1:
            raise ValueError(f"p is {p!r}, but must be a probability, 0 <= p < 1")
        self.p = float(p)
        self.rng = np.random.default_rng(0)

    def initialize(
        self, rng: np.random.Generator, *, auto: Scheme = "he", dtype: DTypeLike = np.float32
    ) -> None:
        """Make the layer's own generator, without a draw from `rng`."""
        super().initialize(rng, auto=auto, dtype=dtype)
        self.rng = rng.spawn(1)[0]

    def forward(self, x: Array, training: bool = False) -> Array:
        """Drop, in training; else, and if the layer is frozen, return x itself."""
        if not training or self.frozen:
            self._saved = 1  # the gradient passes unchanged
            return x
        out, self._saved = dropout(x, self.p, self.rng)
        return out

    def backward(self, grad: Array) -> Array:
        """Drop and scale as the last `forward` did."""
        factors: Array | int = self._recall()
        return grad * factors

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        return input_shape
