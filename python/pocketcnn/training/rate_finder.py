"""The learning-rate range test: a short training at rates that rise until the loss does.

Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3, with rates
that rise exponentially and a smoothed loss, as fastai has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketcnn._arguments import integer, non_negative
from pocketcnn.training.loop import Loop
from pocketcnn.training.run import Run, remember
from pocketcnn.training.shares import Plan
from pocketcnn.training.source import Source

_KEPT = 0.9  # share of the smoothed loss that stays with each batch
_TOO_MUCH = 4.0  # times the smallest smoothed loss: the end of the test


@dataclass(frozen=True, repr=False)
class RateSearch:
    """What a learning-rate range test found.

    Attributes
    ----------
    rates : ndarray (S,)
        The rates, rising.
    losses : ndarray (S,)
        The loss of a batch before the update with each rate.
    smoothed : ndarray (S,)
        An average of the losses so far in which each batch has 0.9 of the weight of the next.
    suggestion : float
        The rate around which the smoothed loss falls most, from a third to three times the rate.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float

    def __repr__(self) -> str:
        return f"RateSearch({len(self.rates)} rates, suggestion={self.suggestion:.2g})"


def search_rates(
    trainer: Run, data: Source, divided: bool, lowest: float, highest: float, steps: int
) -> RateSearch:
    """Train with rising rates, and restore the trainer; see `Trainer.find_rate`."""
    lowest, highest = non_negative("lowest", lowest), non_negative("highest", highest)
    if not 0 < lowest < highest:
        raise ValueError(
            f"lowest is {lowest:g} and highest {highest:g}: wanted 0 < lowest < highest"
        )
    rates = np.geomspace(lowest, highest, integer("steps", steps, 5))
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    with _restored(trainer):
        step = _stepper(trainer, data, divided)
        for rate in map(float, rates):
            trainer.optimizer.lr = rate
            try:
                loss = next(step)
            except FloatingPointError:
                break
            average = _KEPT * average + (1 - _KEPT) * loss
            smooth = average / (1 - _KEPT ** (len(losses) + 1))
            if not math.isfinite(smooth) or (smoothed and smooth > _TOO_MUCH * min(smoothed)):
                break
            losses.append(loss)
            smoothed.append(smooth)
    return _found(rates[: len(losses)], np.array(losses), np.array(smoothed))


def _found(
    rates: NDArray[np.float64], losses: NDArray[np.float64], smoothed: NDArray[np.float64]
) -> RateSearch:
    if len(rates) < 3:
        raise FloatingPointError(
            f"the loss grew out of bounds after {len(rates)} of the rates: choose a lower `lowest`"
        )
    # Over a decade, and after the first batches, the noise of single batches counts little.
    log, first = np.log10(rates), min(10, len(rates) // 5)
    before = np.maximum(log - 0.5, log[first])
    fall = np.interp(before, log, smoothed) - np.interp(log + 0.5, log, smoothed)
    return RateSearch(rates, losses, smoothed, float(rates[first:][fall[first:].argmax()]))


def _stepper(trainer: Run, data: Source, divided: bool) -> Iterator[float]:
    """Make one step after the other, epoch after epoch, and yield their losses."""
    plan = Plan.of(len(data), trainer.batch_size, trainer.ranks, divided)
    loop = Loop(trainer, data, plan, None, ())
    while True:
        order = trainer.generators["trainer.order"].permutation(plan.drawn)
        with closing(data.batches(plan.chosen(order))) as batches:
            for images, targets in batches:
                loop.step(images, targets, None)
                yield trainer.loss


@contextmanager
def _restored(trainer: Run) -> Iterator[None]:
    """Undo all changes of the trainer, its network and its optimiser after the block."""
    undo = remember(trainer)
    try:
        yield
    finally:
        undo()
