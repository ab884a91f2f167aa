"""Checkpoints: complete at every moment, and continued to the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import schedules
from pocketcnn.training.callbacks import Callback, EarlyStopping
from pocketcnn.training.checkpoint import network_arrays, read_checkpoint, write_checkpoint
from pocketcnn.training.history import History, Record
from pocketcnn.training.trainer import Trainer

OPTIMIZERS = {
    "sgd": lambda: pc.optim.SGD(0.05),
    "momentum": lambda: pc.optim.SGD(0.05, 0.9, nesterov=True),
    "adagrad": lambda: pc.optim.AdaGrad(),
    "rmsprop": lambda: pc.optim.RMSprop(0.001),
    "adam": lambda: pc.optim.Adam(),
    "adamw": lambda: pc.optim.AdamW(),
}


class RunningScale(pc.Layer):
    """Divides by a running mean, so that later outputs depend on a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers["mean"] = np.ones(1, np.float32)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        mean = self.buffers["mean"]
        if training:
            mean += 0.1 * (np.abs(x).mean() - mean)
        return x / mean

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad / self.buffers["mean"]

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape


def make_net() -> pc.ConvNet:
    """With everything that has state: weights, a running mean, a generator."""
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(1, 4, 3)),
            ("scale", RunningScale()),
            ("relu", pc.ReLU()),
            ("flatten", pc.Flatten()),
            ("dropout", pc.Dropout(0.25)),
            ("fc", pc.Linear(64, 3)),
        ],
        input_shape=(1, 6, 6),
    )


def make_data(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return rng.random((count, 1, 6, 6), dtype=np.float32), rng.integers(0, 3, count)


def make_trainer(optimizer: str = "adam", **settings: Any) -> Trainer:
    return Trainer(make_net(), OPTIMIZERS[optimizer](), **{"batch_size": 16, **settings})


def without_times(history: History) -> list[dict[str, object]]:
    timed = ("seconds", "images_per_second")
    return [{k: v for k, v in record.items() if k not in timed} for record in history]


def assert_same_bits(one: pc.ConvNet, other: pc.ConvNet) -> None:
    arrays = network_arrays(other)
    for name, array in network_arrays(one).items():
        assert array.tobytes() == arrays[name].tobytes(), name


class Halve(Callback):
    """A learning rate schedule."""

    def on_epoch_end(self, trainer: Trainer, _record: Record) -> None:
        trainer.optimizer.lr *= 0.5


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, optimizer: str) -> None:
    x, t = make_data()
    path = tmp_path / "run.safetensors"
    whole = make_trainer(optimizer)
    wanted = whole.fit(x, t, epochs=6, validation=(x, t), callbacks=[Halve()])
    for epochs in (2, 3, 6):  # begun, interrupted twice, finished
        part = make_trainer(optimizer)
        history = part.fit(
            x,
            t,
            epochs=epochs,
            validation=(x, t),
            callbacks=[Halve()],
            checkpoint=path,
            resume=True,
        )
    assert_same_bits(part.net, whole.net)
    assert without_times(history) == without_times(wanted)
    assert part.optimizer.lr == whole.optimizer.lr
    again = make_trainer(optimizer)
    assert again.fit(x, t, epochs=6, checkpoint=path, resume=True) == history
    assert_same_bits(again.net, whole.net)


@pytest.mark.parametrize("stop_at", [1, 4])
@pytest.mark.parametrize("kind", [schedules.Cosine, schedules.OneCycle, schedules.Steps])
def test_schedule_and_augmentation_survive_an_interruption(
    tmp_path: Path, kind: type[schedules.Schedule], stop_at: int
) -> None:
    augment = pc.data.Compose(pc.data.RandomCrop(1), pc.data.RandomAffine(), pc.data.Cutout(2))

    def run(path: Path | None, *callbacks: Callback) -> Trainer:
        trainer = make_trainer("momentum", augment=augment)
        trainer.fit(
            *make_data(),
            epochs=5,
            callbacks=[kind(), *callbacks],
            checkpoint=path,
            resume=path is not None,
        )
        return trainer

    class Interrupt(Callback):
        def on_epoch_begin(self, trainer: Trainer) -> None:
            if trainer.epoch > stop_at:
                raise KeyboardInterrupt

    whole = run(None)
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(path, Interrupt())
    resumed = run(path)
    assert_same_bits(resumed.net, whole.net)
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.optimizer.lr == whole.optimizer.lr == 0.05
    assert whole.history.column("learning_rate") != [0.05] * 5


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_early_stopping_survives_an_interruption(tmp_path: Path, stop_at: int) -> None:
    class Worse(Callback):
        """The second epoch is the best."""

        def on_epoch_end(self, _trainer: Trainer, record: Record) -> None:
            record["val_loss"] = abs(record["epoch"] - 2) + 0.5

    def run(epochs: int, path: Path | None) -> Trainer:
        trainer = make_trainer()
        trainer.fit(
            *make_data(),
            epochs=epochs,
            callbacks=[Worse(), EarlyStopping(patience=3, restore_best=True)],
            checkpoint=path,
            resume=path is not None,
        )
        return trainer

    whole = run(20, None)
    path = tmp_path / "run.safetensors"
    run(stop_at, path)
    resumed = run(20, path)
    assert len(whole.history) == len(resumed.history) == 5
    assert_same_bits(resumed.net, whole.net)
    assert len(run(20, path).history) == 5  # what was stopped stays stopped


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program forks")
def test_a_killed_run_continues_to_the_same_bits() -> None:
    """SIGKILL at random moments, some while a checkpoint is written."""
    program = Path(__file__).with_name("kill_training.py")
    out = subprocess.run(
        [sys.executable, program, "--kills", "8"], capture_output=True, text=True, check=False
    )
    print(out.stdout)  # the seed
    assert out.returncode == 0, out.stderr
    assert "the same bits" in out.stdout


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "run.safetensors"
    trainer = make_trainer()
    trainer.fit(*make_data(), epochs=2, checkpoint=path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os if failing == "fsync" else Path, failing, fail)
    with pytest.raises(OSError, match="no space"):
        make_trainer().fit(*make_data(), epochs=3, checkpoint=path, resume=True)
    monkeypatch.undo()
    assert path.read_bytes() == before
    # What a failed write left behind does not affect the next one.
    assert len(make_trainer().fit(*make_data(), epochs=3, checkpoint=path, resume=True)) == 3
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["run.1.safetensors", "run.safetensors"]


def test_an_interrupt_in_an_epoch_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    class Interrupt(Callback):
        def on_batch_end(self, trainer: Trainer, _size: int) -> None:
            if trainer.epoch == 3:
                raise KeyboardInterrupt

    path = tmp_path / "run.safetensors"
    x, t = make_data()
    with pytest.raises(KeyboardInterrupt):
        make_trainer().fit(x, t, callbacks=[Interrupt()], checkpoint=path)
    resumed, whole = make_trainer(), make_trainer()
    resumed.fit(x, t, epochs=5, checkpoint=path, resume=True)
    whole.fit(x, t, epochs=5)
    assert_same_bits(resumed.net, whole.net)


def test_without_resume_a_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.safetensors"
    make_trainer().fit(*make_data(), epochs=3, checkpoint=path)
    make_trainer().fit(*make_data(), epochs=1, checkpoint=path)
    assert read_checkpoint(path)[1]["epoch"] == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_trainer("sgd"), "has optimizer 'Adam', but this run has 'SGD'"),
        (lambda: make_trainer(batch_size=10), "has batch_size 16, but this run has 10"),
        (lambda: make_trainer(seed=1), "has seed 0, but this run has 1"),
        (
            lambda: make_trainer(augment=pc.data.RandomCrop(2)),
            "has augment 'None', but this run has 'RandomCrop\\(padding=2, reflect=False\\)'",
        ),
        (
            lambda: Trainer(
                pc.ConvNet([("flatten", pc.Flatten()), ("fc", pc.Linear(36, 3))], (1, 6, 6)),
                pc.optim.Adam(),
                batch_size=16,
            ),
            "is of another network",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "run.safetensors"
    make_trainer().fit(*make_data(), epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match=message):
        make().fit(*make_data(), epochs=2, checkpoint=path, resume=True)


def test_other_files_are_not_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        read_checkpoint(tmp_path / "none.safetensors")
    for content in (b"", b"not a checkpoint at all", bytes(100)):
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="is not a whole"):
            read_checkpoint(tmp_path / "x.safetensors")
    pc.models.simple_convnet().save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="but not a checkpoint"):
        read_checkpoint(tmp_path / "model.safetensors")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    arrays = {
        "a/b": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "c": np.array([1, 2]),
        "empty": np.zeros((0, 3)),
    }
    values = {"text": "é", "none": None, "nested": {"numbers": [1, 2.5, 2**127]}}
    write_checkpoint(tmp_path / "c.safetensors", arrays, values)
    read, read_values = read_checkpoint(tmp_path / "c.safetensors")
    assert read_values == values
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
