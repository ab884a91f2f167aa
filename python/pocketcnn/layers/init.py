"""How large the first random weights are.

A layer's weights are drawn from a normal distribution whose standard deviation keeps the
variance of the activations, or of the gradients, about the same from layer to layer.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pocketcnn._alignment import empty

Scheme: TypeAlias = Literal["he", "xavier"]
Init: TypeAlias = Literal["auto", "he", "xavier"] | float


def fans(weight_shape: tuple[int, ...], groups: int = 1) -> tuple[int, int]:
    """Count the inputs that make one output, and the outputs that one input reaches.

    Parameters
    ----------
    weight_shape : (out, in) or (out, in / groups, kernel height, kernel width)
    groups : int
        Groups of a convolution: an input reaches the outputs of its own group only.

    Examples
    --------
    >>> fans((30, 1, 5, 5))
    (25, 750)
    """
    taps = math.prod(weight_shape[2:])
    return weight_shape[1] * taps, weight_shape[0] // groups * taps


def he_std(fan_in: int) -> float:
    """sqrt(2 / fan_in), for weights before a ReLU, which halves the variance.

    He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 10.
    """
    return math.sqrt(2.0 / fan_in)


def xavier_std(fan_in: int, fan_out: int) -> float:
    """sqrt(2 / (fan_in + fan_out)), for weights before a sigmoid, a tanh or nothing.

    Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 12.
    """
    return math.sqrt(2.0 / (fan_in + fan_out))


def checked_init(init: Init) -> Init:
    """Return the name of a scheme, or a standard deviation as a plain number.

    Raises
    ------
    TypeError, ValueError
        If `init` is neither.
    """
    wanted = f'init is {init!r}, but must be "auto", "he", "xavier" or a standard deviation >= 0'
    if isinstance(init, str) and init in ("auto", "he", "xavier"):
        return init
    if not isinstance(init, (str, int, float, np.integer, np.floating)):
        raise TypeError(wanted)
    if isinstance(init, str) or not 0 <= init < math.inf:
        raise ValueError(wanted)
    return init.item() if isinstance(init, np.generic) else init


def weight_std(init: Init, auto: Scheme, fan_in: int, fan_out: int) -> float:
    """Choose the standard deviation of a layer's weights.

    Parameters
    ----------
    init : {"auto", "he", "xavier"} or float
        The layer's setting. A number is the standard deviation itself.
    auto : {"he", "xavier"}
        What "auto" means here: it depends on the activation that follows the layer.
    fan_in, fan_out : int
        See `fans`.
    """
    if not isinstance(init, str):
        return float(init)
    scheme = auto if init == "auto" else init
    return he_std(fan_in) if scheme == "he" else xavier_std(fan_in, fan_out)


def normal(
    rng: np.random.Generator, shape: tuple[int, ...], std: float, dtype: DTypeLike
) -> NDArray[Any]:
    """Draw an array from the normal distribution with mean 0 and standard deviation `std`.

    Parameters
    ----------
    dtype : float32 or float64
        float32 is drawn as float32, in half the time; the numbers differ from float64 draws.
    """
    kind: Literal["f4", "f8"] = "f4" if np.dtype(dtype) == np.float32 else "f8"
    weights = empty(shape, kind)
    rng.standard_normal(dtype=kind, out=weights)
    weights *= std
    return weights
