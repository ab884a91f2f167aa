"""Learning-rate schedules: their shapes, and what the optimiser is given before each update."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import schedules
from pocketcnn.training.callbacks import Callback
from pocketcnn.training.trainer import Trainer


class RateLog(Callback):
    """Comes after the schedule and records the rate of every following update."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self.rates.append(trainer.optimizer.lr)

    def on_batch_end(self, trainer: Trainer, _size: int) -> None:
        self.rates.append(trainer.optimizer.lr)

    def on_epoch_end(self, _trainer: Trainer, _record: object) -> None:
        self.rates.pop()  # the last batch announced what the next epoch begins with


def run(schedule: schedules.Schedule, epochs: int = 4, lr: float = 0.5) -> tuple[Trainer, RateLog]:
    """Train on 25 samples in batches of 10: three updates per epoch."""
    rng = np.random.default_rng(0)
    net = pc.ConvNet([("flatten", pc.Flatten()), ("fc", pc.Linear(4, 2))], input_shape=(1, 2, 2))
    trainer = Trainer(net, pc.optim.SGD(lr), batch_size=10)
    log = RateLog()
    x, t = rng.random((25, 1, 2, 2)), rng.integers(0, 2, 25)
    trainer.fit(x, t, epochs=epochs, callbacks=[schedule, log])
    return trainer, log


def cosine(done: float, warmup: float) -> float:
    """The rate as in the paper's figure."""
    if done < warmup:
        return done / warmup
    return (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def one_cycle(done: float, warmup: float, start: float) -> float:
    """Two lines through three points."""
    return float(np.interp(done, [0, warmup, 1], [start, 1, 0]))


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (schedules.Cosine(), lambda done: cosine(done, 0)),
        (schedules.Cosine(warmup=0.25), lambda done: cosine(done, 0.25)),
        (schedules.OneCycle(), lambda done: one_cycle(done, 0.25, 0.1)),
        (schedules.OneCycle(warmup=0.6, start=0.3), lambda done: one_cycle(done, 0.6, 0.3)),
        (schedules.Steps(), lambda done: 1 if done < 0.5 else 0.1 if done < 0.75 else 0.01),
        (schedules.Steps(at=(0.3,), by=0.5), lambda done: 1 if done < 0.3 else 0.5),
    ],
)
def test_the_rate_of_every_update(schedule: schedules.Schedule, wanted: Any) -> None:
    trainer, log = run(schedule)
    assert len(log.rates) == 12
    # A few roundings of float64 in each.
    np.testing.assert_allclose(
        log.rates, [0.5 * wanted(k / 12) for k in range(12)], rtol=0, atol=1e-15
    )
    assert trainer.history.column("learning_rate") == log.rates[::3]
    assert trainer.optimizer.lr == 0.5


def test_a_schedule_starts_anew_with_every_fit() -> None:
    schedule = schedules.OneCycle()
    assert run(schedule)[1].rates == run(schedule)[1].rates
    assert len(run(schedule, epochs=2)[1].rates) == 6


def test_a_schedule_of_ones_changes_nothing() -> None:
    class Flat(schedules.Schedule):
        def factor(self, progress: float) -> float:
            assert 0 <= progress < 1
            return 1.0

    plain, _ = run(schedules.Steps(at=()))
    flat, _ = run(Flat())
    for name, array in flat.net.params.items():
        np.testing.assert_array_equal(array, plain.net.params[name])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schedules.Cosine(warmup=1.0), ValueError, "warmup is 1.0"),
        (lambda: schedules.Cosine(warmup=-0.1), ValueError, "warmup is -0.1"),
        (lambda: schedules.OneCycle(warmup="a"), TypeError, "warmup is 'a'"),  # type: ignore[arg-type]
        (lambda: schedules.OneCycle(start=2.0), ValueError, "start is 2.0"),
        (lambda: schedules.Steps(at=(0.7, 0.5)), ValueError, "ascending"),
        (lambda: schedules.Steps(at=(0.5, 1.0)), ValueError, "at is 1.0"),
        (lambda: schedules.Steps(by=-1.0), ValueError, "by is -1.0"),
        (lambda: schedules.Cosine().load_state_dict({"best": 1.0}), ValueError, "no Cosine"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
