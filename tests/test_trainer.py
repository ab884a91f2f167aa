"""The training loop, its history and its callbacks."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.training.callbacks import Callback, EarlyStopping
from pocketcnn.training.history import COLUMNS, History, Record
from pocketcnn.training.progress import ProgressBar, format_seconds
from pocketcnn.training.trainer import Trainer


def make_net(seed: int = 0, dropout: bool = False) -> pc.ConvNet:
    layers: list[tuple[str, pc.layers.Layer]] = [
        ("conv", pc.Conv2d(1, 3, 3)),
        ("relu", pc.ReLU()),
        ("flatten", pc.Flatten()),
    ]
    if dropout:
        layers.append(("dropout", pc.Dropout(0.3)))
    layers.append(("fc", pc.Linear(48, 2)))
    return pc.ConvNet(layers, input_shape=(1, 6, 6), seed=seed)


def make_data(count: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright left half or bright right half, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.random((count, 1, 6, 6), dtype=np.float32)
    t = rng.integers(0, 2, count)
    x[t == 0, :, :, :3] += 0.4
    x[t == 1, :, :, 3:] += 0.4
    return x, t


class Recorder(Callback):
    """Records its calls."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.events.append(f"fit of {trainer.epochs}")

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self.events.append(f"epoch {trainer.epoch}")

    def on_batch_end(self, trainer: Trainer, size: int) -> None:
        assert math.isfinite(trainer.loss)
        self.events.append(f"batch of {size}")

    def on_epoch_end(self, _trainer: Trainer, record: Record) -> None:
        self.events.append(f"end of {record['epoch']}")

    def on_fit_end(self, _trainer: Trainer) -> None:
        self.events.append("over")


def test_training_learns() -> None:
    x, t = make_data(200)
    history = Trainer(make_net(), pc.optim.Adam(0.01), batch_size=20).fit(
        x, t, epochs=15, validation=make_data(100, seed=1)
    )
    assert len(history) == 15
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]
    assert history[-1]["val_accuracy"] is not None
    assert history[-1]["val_accuracy"] > 0.95


def test_an_epoch_is_the_updates_written_out() -> None:
    """One epoch with a partial last batch, against the loop a reader would write."""
    x, t = make_data(25)
    net, mirror = make_net(), make_net()
    history = Trainer(net, pc.optim.SGD(0.1, 0.9), batch_size=10, seed=3).fit(x, t, epochs=1)
    order = np.random.default_rng(3).permutation(25)
    optimizer = pc.optim.SGD(0.1, 0.9)
    loss_sum, hits = 0.0, 0
    for chosen in (order[:10], order[10:20], order[20:]):
        hits += int((mirror.predict(x[chosen]).argmax(axis=1) == t[chosen]).sum())
        loss, grads = mirror.value_and_gradient(x[chosen], t[chosen])
        loss_sum += loss * len(chosen)
        optimizer.update(mirror.params, grads)
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, mirror.params[name], err_msg=name)
    assert history[0]["loss"] == loss_sum / 25
    assert history[0]["accuracy"] == hits / 25


def test_step_is_one_update() -> None:
    x, t = make_data(10)
    net, mirror = make_net(), make_net()
    loss = Trainer(net, pc.optim.SGD(0.1), label_smoothing=0.2).step(x, t)
    wanted, grads = mirror.value_and_gradient(x, t, label_smoothing=0.2)
    pc.optim.SGD(0.1).update(mirror.params, grads)
    assert loss == wanted
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, mirror.params[name], err_msg=name)


@pytest.mark.parametrize("dropout", [False, True])
def test_a_run_repeats_to_the_bit(dropout: bool) -> None:
    x, t = make_data()
    nets = [make_net(dropout=dropout) for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        Trainer(net, pc.optim.Adam(), batch_size=7, seed=seed).fit(x, t, epochs=3)
    for name, array in nets[0].params.items():
        np.testing.assert_array_equal(array, nets[1].params[name])
    assert any(not np.array_equal(a, nets[2].params[name]) for name, a in nets[0].params.items())


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_images_of_other_dtypes_are_cast_not_scaled(dtype: type) -> None:
    x, t = make_data()
    x = np.floor(x * 2)
    nets = make_net(), make_net()
    for net, images in zip(nets, (x, x.astype(dtype)), strict=True):
        Trainer(net, pc.optim.SGD(0.01)).fit(images, t, epochs=2)
    np.testing.assert_array_equal(nets[0].params["fc.weight"], nets[1].params["fc.weight"])


def test_targets_may_be_probabilities() -> None:
    x, t = make_data()
    nets = make_net(), make_net()
    histories = [
        Trainer(net, pc.optim.SGD(0.01)).fit(x, targets, epochs=2, validation=(x, targets))
        for net, targets in zip(nets, (t, np.eye(2)[t]), strict=True)
    ]
    # A sum over two classes rather than a choice of one: the last bits may differ.
    assert histories[0].column("val_accuracy") == histories[1].column("val_accuracy")
    np.testing.assert_allclose(
        nets[0].params["fc.weight"], nets[1].params["fc.weight"], rtol=0, atol=1e-5
    )


def test_inputs_are_not_modified() -> None:
    x, t = make_data()
    x.flags.writeable = t.flags.writeable = False
    Trainer(make_net(), pc.optim.SGD(0.01), batch_size=20).fit(x, t, epochs=1, validation=(x, t))


def test_callbacks_are_called_in_order() -> None:
    recorder = Recorder()
    x, t = make_data(25)
    Trainer(make_net(), pc.optim.SGD(0.1), batch_size=10).fit(x, t, epochs=2, callbacks=[recorder])
    batches = ["batch of 10", "batch of 10", "batch of 5"]
    assert recorder.events == [
        "fit of 2",
        *("epoch 1", *batches, "end of 1"),
        *("epoch 2", *batches, "end of 2"),
        "over",
    ]


def test_callbacks_hear_the_end_of_a_failed_fit() -> None:
    class Failing(Callback):
        def on_batch_end(self, _trainer: Trainer, _size: int) -> None:
            raise RuntimeError("enough")

    recorder = Recorder()
    with pytest.raises(RuntimeError, match="enough"):
        Trainer(make_net(), pc.optim.SGD(0.1)).fit(*make_data(), callbacks=[recorder, Failing()])
    assert recorder.events[-1] == "over"


def test_a_callback_may_set_the_learning_rate_and_stop() -> None:
    class Halve(Callback):
        def on_epoch_end(self, trainer: Trainer, record: Record) -> None:
            trainer.optimizer.lr /= 2
            trainer.stop = record["epoch"] == 3

    history = Trainer(make_net(), pc.optim.SGD(0.4)).fit(*make_data(), callbacks=[Halve()])
    assert history.column("learning_rate") == [0.4, 0.2, 0.1]


def test_a_second_fit_goes_on_with_the_weights_and_a_new_history() -> None:
    trainer = Trainer(make_net(), pc.optim.Adam(0.01), batch_size=10)
    first = trainer.fit(*make_data(), epochs=5)
    second = trainer.fit(*make_data(), epochs=5)
    assert [r["epoch"] for r in second] == [1, 2, 3, 4, 5]
    assert second[0]["loss"] < first[0]["loss"]
    assert len(first) == 5


def test_a_loss_that_is_not_finite_stops_training() -> None:
    x, t = make_data()
    x[3] = np.nan
    with pytest.raises(FloatingPointError, match="the loss became nan in epoch 1"):
        Trainer(make_net(), pc.optim.SGD(0.1)).fit(x, t)


def test_no_epochs_are_no_training() -> None:
    net = make_net()
    before = {name: array.copy() for name, array in net.params.items()}
    assert len(Trainer(net, pc.optim.SGD(0.1)).fit(*make_data(), epochs=0)) == 0
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])


def test_evaluate_agrees_with_the_network() -> None:
    x, t = make_data(33)
    net = make_net()
    loss, accuracy = Trainer(net, pc.optim.SGD(0.1), batch_size=10).evaluate(x, t)
    assert accuracy == net.accuracy(x, t)
    # Sums of 33 float32 terms in another order, each within an epsilon of 2**-23.
    assert loss == pytest.approx(net.loss(x, t), rel=33 * 2.0**-23)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((np.zeros((0, 1, 6, 6)), np.zeros(0, int)), {}, "x has shape"),
        ((np.zeros((4, 1, 6, 6)), np.zeros(3, int)), {}, "t has shape"),
        ((np.zeros((4, 1, 5, 6)), np.zeros(4, int)), {}, "x has shape"),
        (make_data(), {"epochs": -1}, "epochs is -1"),
        (make_data(), {"resume": True}, "needs a checkpoint"),
        (make_data(), {"validation": (np.zeros((2, 1, 6, 6)), np.zeros(1, int))}, "tv has shape"),
    ],
)
def test_bad_arguments_of_fit(
    arguments: tuple[np.ndarray, np.ndarray], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Trainer(make_net(), pc.optim.SGD(0.1)).fit(*arguments, **settings)


def test_bad_arguments_of_the_trainer() -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        Trainer(make_net(), pc.optim.SGD(0.1), batch_size=0)
    with pytest.raises(ValueError, match="label_smoothing is 1"):
        Trainer(make_net(), pc.optim.SGD(0.1), label_smoothing=1.0)
    softmax = pc.ConvNet([("flatten", pc.Flatten()), ("softmax", pc.Softmax())], (1, 1, 2))
    with pytest.raises(ValueError, match="last layer is Softmax"):
        Trainer(softmax, pc.optim.SGD(0.1))


# History


def make_history() -> History:
    rows = [(0.5, 0.8, 0.6, 0.75), (0.25, 0.9, 0.7, 0.7), (0.2, 0.95, 0.8, 0.72)]
    return History(
        Record(
            epoch=index + 1,
            loss=row[0],
            accuracy=row[1],
            val_loss=row[2],
            val_accuracy=row[3],
            seconds=1.5,
            images_per_second=1000.0,
            learning_rate=0.001,
        )
        for index, row in enumerate(rows)
    )


def test_history_is_a_sequence_of_records() -> None:
    history = make_history()
    assert len(history) == 3
    assert history[-1]["epoch"] == 3
    assert isinstance(history[1:], History)
    assert history[1:].column("loss") == [0.25, 0.2]
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert history == make_history()
    with pytest.raises(ValueError, match="name is 'speed'"):
        history.column("speed")


def test_history_files(tmp_path) -> None:
    history = make_history()
    history.records[2]["val_loss"] = None
    history.to_csv(tmp_path / "h.csv")
    history.to_json(tmp_path / "h.json")
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["loss"]) for row in rows] == history.column("loss")
    assert rows[2]["val_loss"] == ""
    assert History.from_json(tmp_path / "h.json") == history


def test_history_json_is_strict(tmp_path) -> None:
    history = make_history()
    history.records[0]["loss"] = math.nan
    history.to_json(tmp_path / "h.json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    values = json.loads((tmp_path / "h.json").read_text(), parse_constant=refuse)
    assert values[0]["loss"] is None


# Callbacks that come with the library


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"monitor": "val_loss", "patience": 2}, 3),
        ({"monitor": "val_accuracy", "patience": 2}, 3),
        ({"monitor": "val_accuracy", "patience": 1}, 2),
        ({"monitor": "loss", "patience": 1}, 4),
        ({"monitor": "loss", "patience": 1, "min_delta": 0.1}, 3),
    ],
)
def test_early_stopping_counts(settings: dict[str, Any], epochs: int) -> None:
    records = [*make_history(), *make_history()[2:]]
    trainer = Trainer(make_net(), pc.optim.SGD(0.1))
    stopping = EarlyStopping(**settings)
    stopping.on_fit_begin(trainer)
    for number, record in enumerate(records, start=1):
        numbered = record.copy()
        numbered["epoch"] = number
        stopping.on_epoch_end(trainer, numbered)
        assert trainer.stop == (number == epochs)
        if trainer.stop:
            break


def test_early_stopping_restores_the_best_weights() -> None:
    class Spoil(Callback):
        """From the third epoch on every epoch is worse."""

        def __init__(self) -> None:
            self.best: dict[str, np.ndarray] = {}

        def on_epoch_end(self, trainer: Trainer, record: Record) -> None:
            record["val_loss"] = abs(record["epoch"] - 2) + 1.0
            if record["epoch"] == 2:
                self.best = {name: array.copy() for name, array in trainer.net.params.items()}

    spoil = Spoil()
    net = make_net()
    history = Trainer(net, pc.optim.SGD(0.1)).fit(
        *make_data(),
        validation=make_data(),
        callbacks=[spoil, EarlyStopping(patience=3, restore_best=True)],
    )
    assert len(history) == 5
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, spoil.best[name])


def test_early_stopping_needs_what_it_monitors() -> None:
    with pytest.raises(ValueError, match="needs validation data"):
        Trainer(make_net(), pc.optim.SGD(0.1)).fit(*make_data(), callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="monitor is 'speed'"):
        EarlyStopping("speed")
    with pytest.raises(ValueError, match="patience is 0"):
        EarlyStopping(patience=0)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_a_line_an_epoch_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    Trainer(make_net(), pc.optim.SGD(0.1), batch_size=10).fit(
        *make_data(), epochs=3, validation=make_data(), callbacks=[ProgressBar(stream=stream)]
    )
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0].split() == [
        *("epoch", "loss", "accuracy", "val", "loss", "val", "accuracy", "rate", "images/s", "time")
    ]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 80
    assert "\r" not in stream.getvalue()


def test_progress_bar_in_a_terminal_fits_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    Trainer(make_net(), pc.optim.SGD(0.1), batch_size=1).fit(
        *make_data(), epochs=2, callbacks=[ProgressBar(stream=stream)]
    )
    drawn = [part for part in stream.getvalue().replace("\n", "\r").split("\r") if "left" in part]
    assert any("epoch 1/2" in part and "images/s" in part for part in drawn)
    assert max(len(part) for part in drawn) <= 80


def test_a_notebook_gets_a_bar_above_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    notebook: Any = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    trainer = Trainer(make_net(), pc.optim.SGD(0.1), batch_size=10)
    trainer.fit(*make_data(), epochs=3, callbacks=[ProgressBar()])
    shown, errors = capsys.readouterr()
    assert "epoch 0/3" in shown.split("accuracy")[0]
    assert errors == ""
    stream = io.StringIO()
    trainer.fit(*make_data(), epochs=3, callbacks=[ProgressBar(stream=stream)])
    assert len(stream.getvalue().splitlines()) == 4


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1234, "0.12 s"),
        (9.999, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00"),
        (3599.6, "1:00:00"),
    ],
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
