"""Losses of the estimators, in which a sample of weight two counts like two samples.

`pocketcnn.losses` divides by the sum of a batch's weights: a batch of light samples would change
the network as much as one of heavy samples. Here the sum is divided by the number of samples, and
the weights of all samples together have the mean 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn._arguments import Array, as_array
from pocketcnn.losses import CrossEntropy, MeanSquaredError


class WeightedCrossEntropy(CrossEntropy):
    """Cross-entropy of labels: ``sum(weight * loss) / N``."""

    def __call__(
        self, output: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Compute the loss of a batch; see `Loss.__call__`."""
        loss, grad = super().__call__(output, t, sample_weight)
        factor = _mean(sample_weight)
        return factor * loss, grad * grad.dtype.type(factor)

    def batch_weight(
        self, t: Array, shape: tuple[int, ...], sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the number of samples."""
        return float(len(t))


class WeightedSquaredError(MeanSquaredError):
    """Squared error in given units: ``sum(weight * mean(((output - t) / unit) ** 2)) / N``.

    Parameters
    ----------
    unit : sequence of float, (K,)
    """

    def __init__(self, unit: Sequence[float]) -> None:
        self.unit = tuple(unit)

    def __call__(
        self, output: ArrayLike, t: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Compute the loss of a batch; see `Loss.__call__`."""
        out, target = as_array("output", output), as_array("t", t)
        unit = np.array(self.unit, out.dtype)
        loss, grad = super().__call__(out / unit, target / unit, sample_weight)
        factor = _mean(sample_weight)
        return factor * loss, grad * grad.dtype.type(factor) / unit

    def batch_weight(
        self, t: Array, shape: tuple[int, ...], sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the number of samples."""
        return float(len(t))


def _mean(sample_weight: ArrayLike | None) -> float:
    return 1.0 if sample_weight is None else float(as_array("weights", sample_weight).mean())
