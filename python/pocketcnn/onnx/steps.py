"""Steps of a graph that become layers, or parts of layers, when the whole graph is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pocketcnn._arguments import Array, Sides


@dataclass
class Scaling:
    """``x * scale + shift``, element by element.

    Attributes
    ----------
    scale, shift : tuple of (shape, callable), or float
        A number, or an array with as many axes as the entry's output, of its size or of size 1
        along each. An array may be trained, a number is a part of a formula.
    """

    scale: Factor
    shift: Factor

    @property
    def numbers(self) -> tuple[float, float] | None:
        """Scale and shift if both are numbers."""
        if isinstance(self.scale, float) and isinstance(self.shift, float):
            return self.scale, self.shift
        return None


@dataclass
class Deferred:
    """An array that is computed when the network is made; its shape is known before."""

    shape: tuple[int, ...]
    read: Callable[[], Array]


Factor = float | Deferred


@dataclass
class Erf:
    """The error function, of which GELU is made."""


@dataclass
class Power:
    """``x ** exponent``, of which local response normalisation is made."""

    exponent: float


@dataclass
class Quotient:
    """The first input divided by the second."""


@dataclass
class Padding:
    """Pixels of one value around an image; fewer if a number is negative.

    Attributes
    ----------
    value : float or None
        None repeats the pixels at the edges.
    """

    sides: Sides
    value: float | None

    @property
    def never_wins(self) -> bool:
        """Whether a maximum is the same without it; that of edges has the edges themselves."""
        return self.value is None or self.value <= float(np.finfo(np.float32).min)
