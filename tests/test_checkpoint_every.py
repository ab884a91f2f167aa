"""A run that is cut in the middle of an epoch ends at the bits of one that was not."""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import schedules
from pocketcnn.network.serialization import write_tensors
from pocketcnn.training.checkpoint import network_arrays, previous_path, read_checkpoint
from test_datasets import Reader, bits, make_data, make_net, measured


class Cut(pc.Callback):
    """Ends the run by an error after some updates, and draws from the trainer's generator."""

    def __init__(self, after: int | None) -> None:
        self.after = after
        self.done = 0

    def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
        trainer.rng.random()
        self.done += 1
        if self.done == self.after:
            raise KeyboardInterrupt


class Sums(pc.Callback):
    """Has a state of its own, which is that of the middle of an epoch."""

    def __init__(self) -> None:
        self.total = 0.0
        self.epochs: list[float] = []

    def on_epoch_begin(self, trainer: pc.Trainer) -> None:
        self.total = 0.0
        trainer.optimizer.lr *= 0.5

    def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
        self.total += trainer.loss * size

    def on_epoch_end(self, trainer: pc.Trainer, record: Any) -> None:
        self.epochs.append(self.total)

    def state_dict(self) -> dict[str, object]:
        return {"total": self.total, "epochs": list(self.epochs)}

    def load_state_dict(self, values: Any) -> None:
        self.total, self.epochs = values["total"], list(values["epochs"])


def run(
    path: Path | None,
    *,
    every: int | None = None,
    after: int | None = None,
    reader: bool = False,
    schedule: bool = True,
    epochs: int = 3,
    batch_size: int = 16,
) -> tuple[pc.Trainer, Sums]:
    x, t = make_data()
    data: Any = (Reader(x, t),) if reader else (x, t)
    trainer = pc.Trainer(
        make_net(), pc.optim.Adam(), batch_size=batch_size, augment=pc.data.RandomCrop(1)
    )
    sums = Sums()
    first: pc.Callback = schedules.Cosine() if schedule else sums
    try:
        trainer.fit(
            *data,
            epochs=epochs,
            validation=(x[:30], t[:30]),
            callbacks=[
                first,
                *([] if first is sums else [sums]),
                pc.EarlyStopping(patience=9, restore_best=True),
                Cut(after),
            ],
            checkpoint=path,
            checkpoint_every=every,
            resume=path is not None,
        )
    except KeyboardInterrupt:
        assert after is not None
    return trainer, sums


def state_of(trainer: pc.Trainer) -> list[object]:
    generators = {**trainer.generators, **trainer.net.generators}
    slots = {
        name: value.tobytes() if isinstance(value, np.ndarray) else value
        for name, value in trainer.optimizer.state_dict().items()
    }
    states = {name: rng.bit_generator.state for name, rng in generators.items()}
    return [bits(trainer.net), slots, states]


@pytest.mark.parametrize("schedule", [True, False])
def test_a_run_goes_on_in_the_middle_of_an_epoch(tmp_path: Path, schedule: bool) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for case in range(6):
        size, reader = rng.choice([7, 16]), rng.random() < 0.5
        settings = {"batch_size": size, "reader": reader, "schedule": schedule}
        whole, sums = run(None, **settings)  # type: ignore[arg-type]
        path = tmp_path / f"{case}.st"
        for _ in range(4):
            run(path, every=rng.randint(1, 4), after=rng.randint(1, 5), **settings)  # type: ignore[arg-type]
        trainer, again = run(path, **settings)  # type: ignore[arg-type]
        assert state_of(trainer) == state_of(whole), settings
        assert measured(trainer.history) == measured(whole.history)
        assert again.epochs == sums.epochs


def test_no_more_updates_are_lost_than_said(tmp_path: Path) -> None:
    path = tmp_path / "run.st"
    run(path, every=2, after=8)  # of 5 an epoch
    progress = read_checkpoint(path)[1]["progress"]
    assert progress["steps"] == 2
    assert read_checkpoint(path)[1]["epoch"] == 1
    trainer, _ = run(path, every=2, after=1)
    assert trainer.steps == 3
    assert trainer.counts.seen == 48
    assert trainer.resumed == 1


def test_the_last_update_of_an_epoch_may_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "run.st"
    run(path, every=5, after=10)
    # The callback ended the run before the tenth update was saved.
    assert read_checkpoint(path)[1]["progress"] is None
    whole, _ = run(None)

    class Stop(pc.Callback):
        def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
            trainer.pause = trainer.steps == 5

    x, t = make_data()
    trainer = pc.Trainer(make_net(), pc.optim.Adam(), batch_size=16)
    path = tmp_path / "paused.st"
    history = trainer.fit(x, t, epochs=3, callbacks=[Stop()], checkpoint=path)
    assert len(history) == 0
    assert read_checkpoint(path)[1]["progress"]["steps"] == 5
    again = pc.Trainer(make_net(), pc.optim.Adam(), batch_size=16)
    whole = pc.Trainer(make_net(), pc.optim.Adam(), batch_size=16)
    again.fit(x, t, epochs=3, checkpoint=path, resume=True)
    whole.fit(x, t, epochs=3)
    assert state_of(again) == state_of(whole)
    assert measured(again.history) == measured(whole.history)


def test_time_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.st"
    run(path, every=3, after=4)
    arrays, values = read_checkpoint(path)
    values["parts"]["counts"]["seconds"] = 1000.0
    write(path, arrays, values)
    trainer, _ = run(path)
    assert 1000 < trainer.history[0]["seconds"] < 2000
    assert trainer.history[0]["images_per_second"] < 0.07


def test_the_bar_begins_where_the_run_goes_on(tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    path = tmp_path / "run.st"
    run(path, every=3, after=9)

    class See(pc.Callback):
        seen = None

        def on_fit_begin(self, trainer: pc.Trainer) -> None:
            self.seen = (bar._bar.n, bar._bar.total)

    bar, see = pc.ProgressBar(stream=Terminal()), See()
    x, t = make_data()
    trainer = pc.Trainer(make_net(), pc.optim.Adam(), batch_size=16, augment=pc.data.RandomCrop(1))
    before = [schedules.Cosine(), Sums(), pc.EarlyStopping(patience=9, restore_best=True)]
    trainer.fit(
        x,
        t,
        epochs=3,
        validation=(x[:30], t[:30]),
        callbacks=[*before, bar, see],
        checkpoint=path,
        resume=True,
    )
    assert see.seen == (70 + 48, 210)


# Damaged


def write(path: Path, arrays: Any, values: Any) -> None:
    write_tensors(path, arrays, {"format": "pocketcnn checkpoint 3", "values": json.dumps(values)})


def drop(*names: str) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        for name in names[:-1]:
            values = values[name]
        del values[names[-1]]

    return change


def put(value: object, *names: str) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        for name in names[:-1]:
            values = values[name]
        values[names[-1]] = value

    return change


DAMAGES = {
    "no steps": drop("progress", "steps"),
    "steps of text": put("3", "progress", "steps"),
    "no step": put(0, "progress", "steps"),
    "a step too many": put(6, "progress", "steps"),
    "steps are true": put(True, "progress", "steps"),
    "no rate": put(None, "progress", "learning_rate"),
    "no order": drop("progress", "order"),
    "order of a list": put([], "progress", "order"),
    "order of nothing": put({}, "progress", "order"),
    "order of another kind": put("MT19937", "progress", "order", "bit_generator"),
    "order beyond": put(2**200, "progress", "order", "state", "state"),
    "progress of text": put("3", "progress"),
    "progress of a list": put([], "progress"),
    "no counts": drop("parts", "counts"),
    "counts of text": put("3", "parts", "counts"),
    "parts of a list": put([], "parts"),
    "no sums": drop("parts", "counts", "sums"),
    "sums of text": put("1", "parts", "counts", "sums"),
    "a sum too many": put([[1.0, 2.0], [3.0, 4.0]], "parts", "counts", "sums"),
    "sums of words": put([["a", "b"]], "parts", "counts", "sums"),
    "a loss beyond": put(10**400, "parts", "counts", "loss_sum"),
    "a time beyond": put(10**400, "parts", "counts", "seconds"),
    "a loss that is none": put(float("nan"), "parts", "counts", "loss_sum"),
    "time runs back": put(-1.0, "parts", "counts", "seconds"),
    "a rate beyond": put(10**400, "progress", "learning_rate"),
    "less than none seen": put(-1, "parts", "counts", "seen"),
    "a loss of nothing": put(None, "parts", "counts", "loss_sum"),
    "no time": put("soon", "parts", "counts", "seconds"),
}


@pytest.fixture(scope="module")
def middle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A checkpoint of three updates of the second epoch."""
    path = tmp_path_factory.mktemp("middle") / "run.st"
    run(path, every=3, after=9)
    previous_path(path).unlink()
    return read_checkpoint(path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_middle_is_refused_and_nothing_changes(
    middle: tuple[Any, Any], tmp_path: Path, damage: str
) -> None:
    arrays, values = copy.deepcopy(middle)
    DAMAGES[damage](values)
    path = tmp_path / "run.st"
    write(path, arrays, values)
    x, t = make_data()
    trainer = pc.Trainer(make_net(), pc.optim.Adam(), batch_size=16, augment=pc.data.RandomCrop(1))
    before = state_of(trainer)
    with pytest.raises(ValueError, match="is a damaged checkpoint"):
        trainer.fit(
            x,
            t,
            epochs=3,
            validation=(x[:30], t[:30]),
            callbacks=[schedules.Cosine(), Sums(), pc.EarlyStopping(patience=9, restore_best=True)],
            checkpoint=path,
            resume=True,
        )
    assert state_of(trainer) == before


# Which data


def test_other_data_are_refused(tmp_path: Path) -> None:
    class Named(Reader):
        name = "a"

        def digest(self) -> str:
            return self.name

    def train(data: Any, **settings: Any) -> None:
        trainer = pc.Trainer(make_net(), pc.optim.SGD(0.1), batch_size=16)
        trainer.fit(data, epochs=2, checkpoint=tmp_path / "run.st", resume=True, **settings)

    x, t = make_data()
    named = Named(x, t)
    train(named)
    train(named)
    named.name = "b"
    with pytest.raises(ValueError, match="of other data: x is not"):
        train(named)
    named.name = "a"
    named.labels = t  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="of other data: t is not"):
        train(named)
    with pytest.raises(ValueError, match="has samples 70, but this run has 69"):
        train(Named(x[1:], t[1:]))
    with pytest.raises(ValueError, match="of other data: sample_weight"):
        train(Named(x, t), sample_weight=np.ones(70))


def test_arrays_and_what_holds_them_are_the_same_data(tmp_path: Path) -> None:
    x, t = make_data()
    path = tmp_path / "run.st"
    whole = pc.Trainer(make_net(), pc.optim.SGD(0.1), batch_size=16)
    whole.fit(x, t, epochs=3)
    trainer = pc.Trainer(make_net(), pc.optim.SGD(0.1), batch_size=16)
    trainer.fit(x, t, epochs=1, checkpoint=path)
    trainer.fit(pc.data.Arrays(x, t), epochs=3, checkpoint=path, resume=True)
    assert bits(trainer.net) == bits(whole.net)
    assert network_arrays(trainer.net).keys() == bits(whole.net).keys()
