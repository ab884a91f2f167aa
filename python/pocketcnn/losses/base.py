"""What all losses share: a call, a check of the targets, and the weight of a batch."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from math import prod
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn._arguments import Array, array, as_array, compute_dtypes, contiguous, restore
from pocketcnn.layers import Layer

Kind: TypeAlias = Literal["classes", "labels", "numbers"]


LossFunction: TypeAlias = Callable[..., tuple[float, Array]]
"""A user's own loss: ``(output, t, sample_weight=None) -> (mean loss, gradient)``."""

Objective: TypeAlias = "Loss | LossFunction | None"
"""What takes any loss, or none for cross-entropy."""


class Loss(ABC):
    """A mean over samples, and its gradient by the network's output.

    Attributes
    ----------
    kind : {"classes", "labels", "numbers"} or None
        What the targets are: one class for each sample or place, any number of labels, or numbers.
        It says which metrics there are; None if it is not known.
    contains : type of Layer or None
        The activation that the loss applies to the output itself.
    """

    kind: ClassVar[Kind | None] = None
    contains: ClassVar[type[Layer] | None] = None

    @abstractmethod
    def __call__(
        self, output: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Compute the loss of a batch.

        Parameters
        ----------
        output : array_like (N, ...)
            What the network makes of a batch.
        t : array_like
            Targets, as the class says.
        sample_weight : array_like (N,), optional
            At least 0: the mean is the weighted sum divided by the sum of the weights.

        Returns
        -------
        loss : float
            0 if no sample has a weight.
        gradient : ndarray
            Of the mean by `output`, with its shape and dtype.
        """

    @abstractmethod
    def check(self, name: str, t: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Return targets as an array that fits outputs of `shape`, batch axis included.

        Raises
        ------
        TypeError, ValueError
            They do not; the message begins with `name`.
        """

    def batch_weight(
        self, t: Array, shape: tuple[int, ...], sample_weight: ArrayLike | None = None
    ) -> float:
        """Return what the mean of a batch is divided by; means of batches add up with it."""
        return float(shape[0]) if sample_weight is None else float(np.sum(sample_weight))

    def __repr__(self) -> str:
        """Name the settings that are not at their defaults."""
        shown = [
            f"{name}={value!r}"
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if (value := getattr(self, name)) != parameter.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class ElementLoss(Loss):
    """A loss that is a mean over the elements of every sample."""

    def __call__(
        self, output: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Compute the loss of a batch; see `Loss.__call__`."""
        out = array("output", output)
        if out.ndim == 0 or out.size == 0:
            raise ValueError(f"output has shape {out.shape}, but a mean needs numbers")
        compute, result = compute_dtypes(out)
        target = self.check("t", t, out.shape)
        values, slopes = self._elements(contiguous(out, compute), target.astype(compute))
        if sample_weight is None:
            slopes /= out.size
            return float(values.mean(dtype=np.float64)), restore(slopes, result)
        weights = checked_weights("sample_weight", sample_weight, len(out))
        total = weights.sum() * prod(out.shape[1:])
        if total == 0:
            return 0.0, np.zeros(out.shape, result)
        each = values.reshape(len(out), -1).sum(axis=1, dtype=np.float64)
        slopes *= over_samples(weights / total, out.ndim).astype(compute)
        return float((weights * each).sum() / total), restore(slopes, result)

    def check(self, name: str, t: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Return targets as an array of finite numbers of the output's shape."""
        target = array(name, t)
        if target.shape != shape:
            hint = ": reshape them" if target.size == prod(shape) else ""
            raise ValueError(
                f"{name} has shape {target.shape}, but {type(self).__name__} needs numbers of the "
                f"shape {shape} of the output{hint}"
            )
        if target.dtype.kind == "f":
            finite = np.isfinite(target).reshape(len(target), -1).all(axis=1)
            if not finite.all():
                raise ValueError(
                    f"{name} has a value that is not finite, first at sample {finite.argmin()}"
                )
        return target

    @abstractmethod
    def _elements(self, output: Array, t: Array) -> tuple[Array, Array]:
        """Return the loss of each element, and its derivative, in new arrays."""


class OwnLoss(Loss):
    """A user's function as a loss; its targets may be anything with a row for each sample."""

    def __init__(self, function: LossFunction) -> None:
        self.function = function

    def __repr__(self) -> str:
        """Show the function."""
        return f"OwnLoss({self.function!r})"

    def __call__(
        self, output: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Call the function, with weights only if there are some."""
        out = as_array("output", output)
        weights = () if sample_weight is None else (sample_weight,)
        answer: Any = self.function(out, t, *weights)
        try:
            loss, grad = answer
            loss, grad = float(loss), np.asarray(grad)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"loss returned {answer!r:.80}: wanted (mean loss, gradient)"
            ) from error
        if grad.shape != out.shape:
            raise ValueError(
                f"loss returned a gradient of shape {grad.shape}, but the output has {out.shape}"
            )
        return loss, contiguous(grad, out.dtype)

    def check(self, name: str, t: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Return targets as an array."""
        return as_array(name, t)


def as_loss(loss: object) -> Loss:
    """Return a loss, or a callable as one.

    Raises
    ------
    TypeError
        It cannot be called.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, type) or not callable(loss):
        hint = "; make one of it" if isinstance(loss, type) else ""
        raise TypeError(
            f"loss is {loss!r}: wanted a callable (output, t, sample_weight=None) -> "
            f"(mean loss, gradient){hint}"
        )
    return OwnLoss(loss)


def checked_weights(name: str, weights: ArrayLike, count: int) -> Array:
    """Return weights as float64 (count,), if each is finite and at least 0."""
    checked = array(name, weights)
    if checked.shape != (count,):
        raise ValueError(f"{name} has shape {checked.shape}, but must be ({count},)")
    checked = checked.astype(np.float64)
    if not (np.isfinite(checked).all() and (checked >= 0).all()):
        odd = int((~(np.isfinite(checked) & (checked >= 0))).argmax())
        raise ValueError(f"{name}[{odd}] is {checked[odd]:g}, but must be finite and at least 0")
    return checked


def over_samples(values: Array, ndim: int) -> Array:
    """Return (N,) as (N, 1, ...) with `ndim` axes."""
    return values.reshape(-1, *(1,) * (ndim - 1))
