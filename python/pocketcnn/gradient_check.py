"""Derivatives by central differences: slow, and the judge of every backward step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pocketcnn.arguments import Array


def central_differences(
    f: Callable[[], float], arrays: Mapping[str, Array], *, step: float = 1e-4
) -> dict[str, Array]:
    """Differentiate `f` by every element of the arrays that it reads.

    Each element is moved by `step` to both sides, ``(f(v + step) - f(v - step)) / (2 step)``, and
    has its value back afterwards. The error is of order ``step ** 2``, plus the rounding of
    `f`, divided by `step`.

    Parameters
    ----------
    f : callable
        Takes nothing and returns a number that depends on the arrays' present values.
    arrays : mapping of str to ndarray
        float64, or the rounding outweighs the difference.
    step : float
        Distance to each side.

    Returns
    -------
    dict of str to ndarray
        With the keys, shapes and dtypes of `arrays`.

    Examples
    --------
    >>> x = np.array([1.0, 3.0])
    >>> central_differences(lambda: float((x**2).sum()), {"x": x})["x"].round(6)
    array([2., 6.])
    """
    grads = {}
    for name, array in arrays.items():
        grads[name] = np.empty_like(array)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + step
            above = f()
            array[index] = value - step
            below = f()
            array[index] = value
            grads[name][index] = (above - below) / (2 * step)
    return grads
