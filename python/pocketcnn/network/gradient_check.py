"""Derivatives by central differences: slow, and the judge of every backward step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pocketcnn._arguments import Array, integer
from pocketcnn._text import align_columns
from pocketcnn.layers import Shape

if TYPE_CHECKING:
    from pocketcnn.losses.base import Objective


class Differentiable(Protocol):
    """What is asked of a network, a `ConvNet`."""

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, by name."""

    @property
    def generators(self) -> dict[str, np.random.Generator]:
        """What Dropout draws from, by the layer's name."""

    def astype(self, dtype: DTypeLike) -> Differentiable:
        """Return an independent copy."""

    def loss(
        self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float, loss: Objective = None
    ) -> float:
        """Mean loss of a batch."""

    def gradient(
        self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float, loss: Objective = None
    ) -> dict[str, Array]:
        """Differentiate `loss` by backpropagation."""


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
            grads[name][index] = _difference(f, array, index, step)
    return grads


def repeatable_loss(
    net: Differentiable, x: ArrayLike, t: ArrayLike, label_smoothing: float, loss: Objective = None
) -> Callable[[], float]:
    """Make a function of the net's present parameters alone: its loss with fixed Dropout masks.

    The masks are those which the next training step would draw. Every call leaves the generators
    behind that many draws; they are set back before the next.
    """
    states = {name: rng.bit_generator.state for name, rng in net.generators.items()}

    # A class of one's own may know no other loss.
    given: dict[str, Any] = {} if loss is None else {"loss": loss}

    def repeated() -> float:
        for name, rng in net.generators.items():
            rng.bit_generator.state = states[name]
        return net.loss(x, t, label_smoothing=label_smoothing, **given)

    return repeated


@dataclass(frozen=True)
class CheckedGradient:
    """How well two ways to differentiate a loss by one parameter agree.

    Attributes
    ----------
    name : str
        The parameter's, "conv1.weight".
    shape : tuple of int
    checked : int
        How many of its elements were compared.
    worst : tuple of int
        Index of the element where the two derivatives are furthest apart.
    numerical, analytic : float
        The derivatives there: by central differences, by backpropagation.
    relative_error : float
        The distance there, divided by the largest derivative of a compared element; 0 if all
        are zero.
    """

    name: str
    shape: Shape
    checked: int
    worst: tuple[int, ...]
    numerical: float
    analytic: float
    relative_error: float


class GradientCheck(tuple[CheckedGradient, ...]):
    """The rows of a gradient check, one a parameter; as a string, a table of them.

    The repr is a line, for `ConvNet.check_gradients` has printed the table by the time that an
    interactive session shows what it returned.
    """

    @property
    def largest_error(self) -> float:
        """The largest relative error of a row; 0 without rows."""
        return max((row.relative_error for row in self), default=0.0)

    def __repr__(self) -> str:
        return f"GradientCheck({len(self)} parameters, largest error {self.largest_error:.1e})"

    def __str__(self) -> str:
        """Table of the rows, and how much of the parameters was compared."""
        head = ("parameter", "shape", "checked", "numerical", "analytic", "relative error")
        body = [
            (
                row.name,
                str(row.shape),
                f"{row.checked:,} of {math.prod(row.shape):,}",
                f"{row.numerical:.6e}",
                f"{row.analytic:.6e}",
                f"{row.relative_error:.1e}",
            )
            for row in self
        ]
        return "\n".join(
            [
                *align_columns(head, body, numbers=range(2, 6)),
                "In float64. Shown are the two derivatives furthest apart; the error is their",
                "distance, as a share of the largest derivative among those checked.",
                f"Largest error: {self.largest_error:.1e}",
            ]
        )


def check_gradients(
    net: Differentiable,
    x: ArrayLike,
    t: ArrayLike,
    label_smoothing: float,
    loss: Objective,
    entries: int,
    seed: int,
    step: float,
) -> GradientCheck:
    """Compare a network's gradient with central differences; see `ConvNet.check_gradients`.

    Two losses are computed for each element that is compared. The copy that they are computed on
    has small random numbers where a whole parameter of the network is zero.
    """
    entries = integer("entries", entries, 1)
    rng = np.random.default_rng(seed)
    twin = net.astype(np.float64)
    _leave_kinks(twin.params, rng)
    repeated = repeatable_loss(twin, x, t, label_smoothing, loss)
    given: dict[str, Any] = {} if loss is None else {"loss": loss}
    grads = {
        name: grad.copy()
        for name, grad in twin.gradient(x, t, label_smoothing=label_smoothing, **given).items()
    }
    rows = []
    for name in grads:
        array = twin.params[name]
        flat = np.arange(array.size)
        if array.size > entries:
            flat = np.sort(rng.choice(array.size, entries, replace=False))
        places = list(zip(*np.unravel_index(flat, array.shape), strict=True))
        numerical = np.array([_difference(repeated, array, place, step) for place in places])
        rows.append(_compare(name, array.shape, places, numerical, grads[name].ravel()[flat]))
    return GradientCheck(rows)


def _difference(f: Callable[[], float], array: Array, index: tuple[int, ...], step: float) -> float:
    """Differentiate `f` by one element, which has its value back afterwards."""
    value = array[index]
    array[index] = value + step
    above = f()
    array[index] = value - step
    below = f()
    array[index] = value
    return (above - below) / (2 * step)


def _leave_kinks(params: Mapping[str, Array], rng: np.random.Generator) -> None:
    """Give parameters that are all zero, as the biases of a new network, small random numbers.

    Where an image is black a convolution gives its bias. With that zero, all of a black ground
    stands on the kink of the ReLU behind it, where the loss has no derivative.
    """
    for array in params.values():
        if not array.any():
            array[...] = 0.1 * rng.standard_normal(array.shape)


def _compare(
    name: str,
    shape: Shape,
    places: Sequence[tuple[int, ...]],
    numerical: Array,
    analytic: Array,
) -> CheckedGradient:
    distance = np.abs(numerical - analytic)
    largest = max(np.abs(numerical).max(), np.abs(analytic).max())
    worst = int(distance.argmax())
    return CheckedGradient(
        name=name,
        shape=shape,
        checked=len(places),
        worst=tuple(map(int, places[worst])),
        numerical=float(numerical[worst]),
        analytic=float(analytic[worst]),
        relative_error=float(distance[worst] / largest) if largest else 0.0,
    )
