"""Callbacks after errors: each gets its `on_fit_end`, and the rate is restored."""

from __future__ import annotations

import io
import math
import sys
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import schedules
from pocketcnn.training.history import Record
from pocketcnn.training.trainer import Trainer


def make_trainer(lr: float = 0.1) -> Trainer:
    net = pc.ConvNet([("flatten", pc.Flatten()), ("fc", pc.Linear(4, 2))], input_shape=(1, 2, 2))
    return Trainer(net, pc.optim.SGD(lr), batch_size=10)


def make_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((25, 1, 2, 2)), rng.integers(0, 2, 25)


class Log(pc.Callback):
    """Records its beginnings and ends in a common list; raises where it is told to."""

    def __init__(self, name: str, events: list[str], raises_at: str = "") -> None:
        self.name, self.events, self.raises_at = name, events, raises_at

    def _note(self, event: str) -> None:
        self.events.append(f"{self.name} {event}")
        if event == self.raises_at:
            raise OSError(f"{self.name} {event}")

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._note("begin")

    def on_batch_end(self, trainer: Trainer, size: int) -> None:
        if self.raises_at == "batch":
            self._note("batch")

    def on_fit_end(self, trainer: Trainer) -> None:
        self._note("end")


@pytest.mark.parametrize(
    ("raising", "error", "ends"),
    [
        (("begin", "", ""), "a begin", ""),
        (("", "begin", ""), "b begin", "a"),
        (("", "", "begin"), "c begin", "ab"),
        (("end", "", ""), "a end", "abc"),
        (("", "end", "end"), "b end", "abc"),
        (("end", "begin", ""), "b begin", "a"),
        (("end", "batch", "end"), "b batch", "abc"),
    ],
)
def test_ends_are_heard_by_all_that_began(raising: tuple[str, ...], error: str, ends: str) -> None:
    events: list[str] = []
    logs = [Log(name, events, at) for name, at in zip("abc", raising, strict=True)]
    trainer = make_trainer()
    callbacks = [schedules.Cosine(), logs[0], schedules.OneCycle(), *logs[1:], schedules.Steps()]
    with pytest.raises(OSError, match=f"^{error}$"):
        trainer.fit(*make_data(), epochs=2, callbacks=callbacks)
    assert [event for event in events if event.endswith("end")] == [f"{name} end" for name in ends]
    assert trainer.optimizer.lr == 0.1


def test_an_interrupt_is_the_first_error() -> None:
    class Interrupt(pc.Callback):
        def on_batch_end(self, trainer: Trainer, size: int) -> None:
            raise KeyboardInterrupt

    events: list[str] = []
    trainer = make_trainer()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(
            *make_data(), callbacks=[Log("a", events, "end"), schedules.Cosine(), Interrupt()]
        )
    assert trainer.optimizer.lr == 0.1
    assert events == ["a begin", "a end"]


def test_a_rate_that_is_no_float_is_scheduled() -> None:
    for rate in (1, np.float32(0.5), np.int64(2)):
        trainer = make_trainer()
        trainer.optimizer.lr = rate  # type: ignore[assignment]
        history = trainer.fit(*make_data(), epochs=1, callbacks=[schedules.Cosine()])
        assert history[0]["learning_rate"] == trainer.optimizer.lr == rate
        assert type(history[0]["learning_rate"]) is float


# Early stopping


def stopped_at(values: list[Any], **settings: Any) -> tuple[int, pc.EarlyStopping]:
    """The epoch after which a run with these losses ends; 0 if it does not."""
    trainer, stopping = make_trainer(), pc.EarlyStopping(**settings)
    stopping.on_fit_begin(trainer)
    for epoch, value in enumerate(values, start=1):
        record: Any = {"epoch": epoch, stopping.monitor: value}
        stopping.on_epoch_end(trainer, record)
        if trainer.stop:
            return epoch, stopping
    return 0, stopping


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("values", "end", "best", "best_epoch"),
    [
        ([NAN, 1.0, 0.9, 0.8, 0.7], 0, 0.7, 5),
        ([NAN, NAN, 1.0], 2, None, 0),
        ([1.0, NAN, 0.9, NAN, NAN], 5, 0.9, 3),
        ([1.0, NAN, NAN, 0.5], 3, 1.0, 1),
        ([INF, 1.0, 0.5], 0, 0.5, 3),
        ([INF, INF, INF], 3, INF, 1),
        ([np.float32(1), np.float64(0.5), np.int64(0)], 0, 0.0, 3),
    ],
)
def test_nan_is_never_an_improvement(
    values: list[Any], end: int, best: float | None, best_epoch: int
) -> None:
    found, stopping = stopped_at(values, patience=2)
    assert (found, stopping.best, stopping.best_epoch) == (end, best, best_epoch)
    found, stopping = stopped_at(
        [-value for value in values], patience=2, monitor="images_per_second"
    )
    assert (found, stopping.best_epoch) == (end, best_epoch)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"min_delta": NAN}, ValueError),
        ({"min_delta": -0.1}, ValueError),
        ({"min_delta": "1"}, TypeError),
        ({"patience": 2.0}, TypeError),
        ({"patience": 0}, ValueError),
    ],
)
def test_bad_settings_of_early_stopping(settings: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(settings))):
        pc.EarlyStopping(**settings)


# Progress


class Bare:
    """A stream with `write` and nothing else."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


class Broken(io.StringIO):
    """A terminal that disappears after some writes."""

    def __init__(self, writes: int, error: Exception) -> None:
        super().__init__()
        self.writes, self.error = writes, error

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes -= 1
        if self.writes < 0:
            raise self.error
        return super().write(text)


def test_without_standard_error_there_is_no_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    history = make_trainer().fit(*make_data(), epochs=2, callbacks=[pc.ProgressBar()])
    assert len(history) == 2
    assert capsys.readouterr().out == ""


def test_a_stream_needs_no_more_than_write() -> None:
    stream = Bare()
    callbacks = [pc.ProgressBar(stream=stream)]  # type: ignore[arg-type]
    make_trainer().fit(*make_data(), epochs=2, callbacks=callbacks)
    assert [line.split()[0] for line in stream.text.splitlines()] == ["epoch", "1", "2"]
    with pytest.raises(TypeError, match="stream is 'stderr'"):
        pc.ProgressBar(stream="stderr")  # type: ignore[arg-type]


@pytest.mark.parametrize("writes", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "full"), ValueError("closed")])
def test_a_stream_that_breaks_ends_the_progress_not_the_run(writes: int, error: Exception) -> None:
    bar = pc.ProgressBar(stream=Broken(writes, error))
    assert len(make_trainer().fit(*make_data(), epochs=3, callbacks=[bar])) == 3
    closed = io.StringIO()
    closed.close()
    bar = pc.ProgressBar(stream=closed)
    assert len(make_trainer().fit(*make_data(), epochs=1, callbacks=[bar])) == 1


# What they look like


def test_objects_show_their_settings() -> None:
    assert repr(schedules.Cosine()) == "Cosine()"
    assert repr(schedules.OneCycle(warmup=0.5)) == "OneCycle(warmup=0.5)"
    assert repr(schedules.Steps(at=(0.25, 0.5))) == "Steps(at=(0.25, 0.5))"
    stopping = pc.EarlyStopping(patience=np.int64(3), restore_best=True)
    assert repr(stopping) == "EarlyStopping(patience=3, restore_best=True)"
    assert repr(pc.ProgressBar()) == "ProgressBar()"
    assert repr(make_trainer()) == (
        "Trainer(ConvNet of 2 layers, SGD(lr=0.1, momentum=0.0, nesterov=False, "
        "weight_decay=0.0), batch_size=10, seed=0, label_smoothing=0.0, augment=None)"
    )


def test_a_history_is_a_line_and_a_table() -> None:
    record = Record(
        epoch=1,
        loss=0.51234,
        accuracy=0.875,
        val_loss=None,
        val_accuracy=None,
        seconds=1.25,
        images_per_second=12345.6,
        learning_rate=0.001,
    )
    history = pc.History([record, {**record, "epoch": 2, "val_accuracy": 0.5}])
    assert repr(history) == "History(2 epochs: loss 0.5123, accuracy 87.50%, val_accuracy 50.00%)"
    assert repr(history[:1]) == "History(1 epoch: loss 0.5123, accuracy 87.50%)"
    assert repr(pc.History()) == "History(0 epochs)"
    lines = str(history).splitlines()
    assert lines[0].split() == list(record)
    assert lines[3].split() == [
        *("2", "0.5123", "87.50%", "-", "50.00%", "1.25", "12,346", "0.001")
    ]
    assert len({len(line) for line in lines}) == 1
