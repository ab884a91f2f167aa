"""One training step: forward, loss, backward and update, of all ranks and micro-batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn._arguments import Array
from pocketcnn.losses.base import Loss
from pocketcnn.network.net import ConvNet
from pocketcnn.optim.base import Optimizer
from pocketcnn.training import divergence
from pocketcnn.training.counts import Counts
from pocketcnn.training.ranks import Ranks, Whole
from pocketcnn.training.shares import part
from pocketcnn.training.statistics import RunningStatistics
from pocketcnn.training.together import Together
from pocketcnn.training.update import Update


class Made(NamedTuple):
    """What came of a step.

    Attributes
    ----------
    loss : float
        The mean loss of the batch of all ranks.
    pausing : bool
        Whether a rank was asked to pause.
    fault : str or None
        Why the loss is not finite; then no parameter has changed.
    """

    loss: float
    pausing: bool
    fault: str | None = None


@dataclass(frozen=True)
class Step:
    """Makes the steps of a trainer.

    Attributes
    ----------
    net : ConvNet
    objective : Loss
    updates : Update
    counts : Counts
        Of the batches of this rank.
    ranks : Ranks
    together : Together
    """

    net: ConvNet
    objective: Loss
    updates: Update
    counts: Counts
    ranks: Ranks
    together: Together

    def make(
        self,
        optimizer: Optimizer,
        x: Array,
        t: Array,
        sample_weight: ArrayLike | None,
        pause: bool,
    ) -> Made:
        """Train on this rank's part of a batch, and say whether it is asked to pause."""
        done: list[Whole] = []
        micro = self.together.micro
        try:
            with self.net.sharing.change("a training step"), self.together.normalizing():
                statistics = RunningStatistics(self.net, self.ranks, micro)
                for images, targets, weights in self._micro_batches(x, t, sample_weight):
                    self.net.drop_gradients()
                    out = self.net.forward(images, training=True)
                    loss, grad, weight = self._measure(out, targets, weights)
                    whole = Whole.of(self.ranks, loss, weight, len(images), pause)
                    if not math.isfinite(whole.loss):
                        return self._spoilt(whole, loss, images)
                    statistics.add()
                    last = len(done) + 1 == micro
                    if last:
                        statistics.finish()
                    self.updates.add(optimizer, grad, weight, whole, last=last)
                    done.append(whole)
                    if len(images):
                        self.counts.add(out, targets, loss, weight)
        finally:
            if 0 < len(done) < micro:  # what was accumulated of a batch that is not whole
                self.updates.drop()
        batch = Whole.joined(done)
        return Made(batch.loss, batch.pausing)

    def _micro_batches(
        self, x: Array, t: Array, sample_weight: ArrayLike | None
    ) -> Iterator[tuple[Array, Array, ArrayLike | None]]:
        micro = self.together.micro
        if micro == 1:
            yield x, t, sample_weight
            return
        weights = None if sample_weight is None else np.asarray(sample_weight)
        for index in range(micro):
            own = None if weights is None else part(weights, index, micro)
            yield part(x, index, micro), part(t, index, micro), own

    def _measure(
        self, out: Array, t: Array, sample_weight: ArrayLike | None
    ) -> tuple[float, Array, float]:
        """Return the mean loss of a batch, its gradient, and the weight of the mean."""
        if len(out) == 0 and self.ranks.size * self.together.micro > 1:  # other parts have samples
            return 0.0, out, 0.0
        loss, grad = self.objective(out, t, sample_weight)
        return loss, grad, self.objective.batch_weight(t, out.shape, sample_weight)

    def _spoilt(self, whole: Whole, loss: float, images: Array) -> Made:
        """Explain a loss that is not finite."""
        found = None if math.isfinite(loss) else divergence.explain(self.net, "x_batch", images)
        return Made(whole.loss, whole.pausing, self.together.first_reason(found))
