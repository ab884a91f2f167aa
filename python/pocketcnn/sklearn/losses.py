"""Losses of the estimators, in which a sample of weight two counts like two samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pocketcnn._arguments import Array

Loss: TypeAlias = Callable[..., tuple[float, Array]]


class ByWeight:
    """A loss whose batches count by the weights in them.

    A loss divides by the sum of the batch's weights: a batch of light samples would change the
    network as much as one of heavy samples. Here the sum is divided by the number of samples; the
    weights of all samples together have the mean 1.

    Parameters
    ----------
    loss : callable (output, target, sample_weight) -> (mean loss, gradient)
    unit : ndarray, (K,), optional
        What outputs and targets are divided by before they are compared.
    """

    def __init__(self, loss: Loss, unit: Array | None = None) -> None:
        self.loss = loss
        self.unit = unit

    def __call__(
        self, output: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, Array]:
        """Loss and gradient of a batch."""
        factor = 1.0 if sample_weight is None else float(sample_weight.mean())
        if self.unit is None:
            loss, grad = self.loss(output, target, sample_weight)
            return factor * loss, grad * output.dtype.type(factor)
        unit = self.unit.astype(output.dtype)
        loss, grad = self.loss(output / unit, target / unit, sample_weight)
        return factor * loss, grad * (output.dtype.type(factor) / unit)
