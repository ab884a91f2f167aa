"""How a trainer turns gradients into updates: losses, clipping, accumulation, averages, rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from pocketcnn.network import fusion
from pocketcnn.training.update import clip

K = 3


def make_net(*, norm: bool = False, outputs: int = K) -> pc.ConvNet:
    layers: list[Any] = [("conv", pc.Conv2d(1, 4, 3)), ("relu", pc.ReLU()), ("flat", pc.Flatten())]
    if norm:
        layers.insert(1, ("norm", pc.BatchNorm2d(4)))
    return pc.ConvNet([*layers, ("fc", pc.Linear(64, outputs))], (1, 6, 6), seed=2)


def make_data(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((count, 1, 6, 6)).astype(np.float32), rng.integers(0, K, count)


def copies(net: pc.ConvNet) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in {**net.params, **net.buffers}.items()}


def assert_same(net: pc.ConvNet, wanted: dict[str, np.ndarray], **limits: float) -> None:
    for name, array in {**net.params, **net.buffers}.items():
        if limits:
            np.testing.assert_allclose(array, wanted[name], err_msg=name, **limits)
        else:
            np.testing.assert_array_equal(array, wanted[name], err_msg=name)


# Losses


def own_loss(output: np.ndarray, t: np.ndarray, weight: Any = None) -> tuple[float, np.ndarray]:
    return MeanSquaredError()(output, t, weight)


@pytest.mark.parametrize("loss", [MeanSquaredError(), own_loss])
def test_a_network_learns_numbers(loss: Any) -> None:
    x, _ = make_data(60)
    t = x[:, 0, :2, :2].reshape(60, 4) @ np.random.default_rng(0).standard_normal((4, 2))
    trainer = pc.Trainer(make_net(outputs=2), pc.optim.Adam(0.01), loss=loss, metrics=["mae"])
    history = trainer.fit(x, t, epochs=30, validation=(x, t))
    assert history[-1]["loss"] < history[0]["loss"] / 5
    assert history[-1]["accuracy"] is history[-1]["val_accuracy"] is None
    found = trainer.evaluate(x, t)
    distance = trainer.net.predict(x) - t
    assert found == (pytest.approx((distance**2).mean()), None)
    assert found.metrics == {"mae": pytest.approx(np.abs(distance).mean(), rel=1e-6)}
    assert history.column("val_mae")[-1] == found.metrics["mae"]


def test_several_labels_of_an_image() -> None:
    x, _ = make_data(60)
    t = (x[:, 0, :3, 0] > 0).astype(np.uint8)
    trainer = pc.Trainer(
        make_net(), pc.optim.Adam(0.02), loss=BinaryCrossEntropy(), metrics=["f1", "iou_classes"]
    )
    history = trainer.fit(x, t, epochs=20, validation=(x, t))
    guessed = trainer.net.predict(x) > 0
    assert history[-1]["val_accuracy"] == np.mean(guessed == t)
    assert trainer.net.predict(x).shape == (60, 3)
    both, either = (guessed & t).sum(axis=0), (guessed | t).sum(axis=0)
    for k in range(3):
        assert history.column(f"val_iou_{k}")[-1] == both[k] / either[k]
    f1 = 2 * both / (guessed.sum(axis=0) + t.sum(axis=0))
    assert history.column("val_f1")[-1] == pytest.approx(f1.mean(), rel=1e-12)


def test_classes_of_every_pixel() -> None:
    layers: list[Any] = [("conv", pc.Conv2d(1, 2, 3, padding=1))]
    net = pc.ConvNet(layers, (1, 6, 6), seed=0)
    x, _ = make_data(30)
    t = (x[:, 0] > 0).astype(np.uint8)
    t[:, 0] = 255
    loss = CrossEntropy(class_weight=[1, 2], ignore_index=255)
    trainer = pc.Trainer(net, pc.optim.Adam(0.05), batch_size=7, loss=loss, metrics=["miou"])
    history = trainer.fit(x, t, epochs=15, validation=(x, t))
    assert history[-1]["loss"] < history[0]["loss"] / 2
    kept, guess = t != 255, net.predict(x).argmax(axis=1)
    assert history[-1]["val_accuracy"] == np.mean((guess == t)[kept])
    ious = [
        np.sum((guess == k) & (t == k)) / np.sum(kept & ((guess == k) | (t == k))) for k in (0, 1)
    ]
    assert history.column("val_miou")[-1] == pytest.approx(np.mean(ious), rel=1e-12)
    assert history[-1]["val_loss"] == pytest.approx(loss(net.predict(x), t)[0], rel=1e-6)
    plain = t % 2
    assert net.accuracy(x, plain) == np.mean(guess == plain)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": CrossEntropy()}, ValueError, r"the network makes \(4, 4, 4\) of an image"),
        ({"loss": CrossEntropy}, TypeError, "make one of it"),
        ({"loss": "mse"}, TypeError, "loss is 'mse': wanted a callable"),
        ({"loss": CrossEntropy(), "label_smoothing": 0.1}, ValueError, "loss and label_smoothing"),
        ({"loss": lambda *_: 3.0}, TypeError, "loss returned 3.0"),
        ({"loss": lambda _, t: (3.0, t)}, ValueError, "gradient of shape"),
        ({"clip_norm": 0}, ValueError, "clip_norm is 0"),
        ({"clip_norm": math.inf}, ValueError, "clip_norm is inf"),
        ({"accumulate": 0}, ValueError, "accumulate is 0"),
        ({"accumulate": 1.5}, TypeError, "accumulate is 1.5"),
        ({"ema": 1}, ValueError, "ema is 1"),
        ({"metrics": "f1"}, TypeError, "metrics is 'f1'"),
        ({"metrics": ["top"]}, ValueError, "metrics has 'top'"),
        ({"metrics": ["top5"]}, ValueError, "'top5', but the network has 4 classes"),
        ({"metrics": ["mae"]}, ValueError, "metrics has 'mae', which does not fit"),
        ({"metrics": ["f1", "f1"]}, ValueError, "two columns 'f1'"),
        ({"metrics": [lambda *_: 0.0]}, ValueError, "a function named '<lambda>'"),
        ({"metrics": [3]}, TypeError, "metrics has 3"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    net = pc.ConvNet([("conv", pc.Conv2d(1, 4, 3))], (1, 6, 6))
    with pytest.raises(error, match=message):
        pc.Trainer(net, pc.optim.SGD(0.1), **change).fit(*make_data(), epochs=1)


def test_a_network_does_not_end_in_what_the_loss_contains() -> None:
    net = pc.ConvNet(
        [("flat", pc.Flatten()), ("fc", pc.Linear(36, 2)), ("s", pc.Sigmoid())], (1, 6, 6)
    )
    pc.Trainer(net, pc.optim.SGD(0.1))
    with pytest.raises(ValueError, match="the last layer is Sigmoid, but the loss contains it"):
        pc.Trainer(net, pc.optim.SGD(0.1), loss=BinaryCrossEntropy())


def test_weights_of_samples_are_those_of_repetition() -> None:
    x, t = make_data(6)
    weight = np.array([1, 2, 0, 1, 3, 1])
    nets = [make_net(), make_net()]
    first = pc.Trainer(nets[0], pc.optim.SGD(0.1)).step(x, t, weight)
    second = pc.Trainer(nets[1], pc.optim.SGD(0.1)).step(
        np.repeat(x, weight, 0), np.repeat(t, weight)
    )
    assert first == pytest.approx(second, rel=1e-6)
    assert_same(nets[0], copies(nets[1]), rtol=1e-5, atol=1e-6)


# Clipping


def test_clipping_is_by_the_norm_of_all_gradients() -> None:
    rng = np.random.default_rng(0)
    for dtype, factor in ((np.float32, 1.0), (np.float64, 1e-3), (np.float32, 1e25)):
        grads = {str(k): (factor * rng.standard_normal((50, k))).astype(dtype) for k in (1, 2000)}
        before = {name: grad.copy() for name, grad in grads.items()}
        norm = math.sqrt(sum(float((g.astype(float) ** 2).sum()) for g in grads.values()))
        assert clip(grads, 2 * norm) == pytest.approx(norm, rel=1e-12)
        assert all(np.array_equal(grads[name], before[name]) for name in grads)
        clip(grads, norm / 3)
        for name, grad in grads.items():
            np.testing.assert_allclose(grad, before[name] / 3, rtol=1e-6)


@pytest.mark.parametrize("large", [False, True])
def test_an_update_with_clipping(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if large:  # its gradient is needed whole before it may be used
        monkeypatch.setattr(fusion, "_LARGE_WEIGHT", 64 * K * 4)
    net, twin = make_net(), make_net()
    assert ("updated in backward" in net.summary()) == large
    x, t = make_data()
    pc.Trainer(net, pc.optim.SGD(1.0), clip_norm=0.01).step(x, t)
    grads = twin.gradient(x, t)
    norm = math.sqrt(sum(float((g.astype(float) ** 2).sum()) for g in grads.values()))
    assert norm > 0.01
    for name, array in net.params.items():
        wanted = twin.params[name] - 0.01 / norm * grads[name]
        np.testing.assert_allclose(array, wanted, rtol=1e-6, atol=1e-8, err_msg=name)


# Accumulation


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("loss", [None, CrossEntropy(class_weight=[1, 5, 0.2], ignore_index=2)])
def test_accumulated_batches_are_one_large_batch(
    monkeypatch: pytest.MonkeyPatch, large: bool, loss: Any
) -> None:
    if large:
        monkeypatch.setattr(fusion, "_LARGE_WEIGHT", 64 * K * 4)
    x, t = make_data(22)
    nets = [make_net(), make_net()]
    histories = []
    for net, size, k in ((nets[0], 12, 1), (nets[1], 4, 3)):
        settings: dict[str, Any] = {"batch_size": size, "accumulate": k, "loss": loss}
        trainer = pc.Trainer(net, pc.optim.Adam(0.01), clip_norm=1.0, **settings)
        histories.append(trainer.fit(x, t, epochs=3))
    assert_same(nets[0], copies(nets[1]), rtol=1e-4, atol=1e-5)
    assert histories[0][-1]["loss"] == pytest.approx(histories[1][-1]["loss"], rel=1e-4)


def test_steps_wait_for_their_update() -> None:
    x, t = make_data()
    net = make_net()
    trainer = pc.Trainer(net, pc.optim.SGD(0.1), accumulate=3)
    before = copies(net)
    trainer.step(x, t)
    trainer.step(x, t)
    assert_same(net, before)
    assert trainer.optimizer.steps == 0
    trainer.step(x, t)
    assert trainer.optimizer.steps == 1
    assert not np.array_equal(net.params["fc.weight"], before["fc.weight"])


# Averages


def test_the_average_of_weights() -> None:
    x, t = make_data()
    net = make_net(norm=True)
    trainer = pc.Trainer(net, pc.optim.SGD(0.5), ema=0.75)
    assert trainer.average is None
    trainer.step(x, t)
    average = {name: array.astype(np.float64) for name, array in copies(net).items()}
    for _ in range(4):
        trainer.step(x, t)
        for name, array in copies(net).items():
            average[name] += 0.25 * (array - average[name])
    assert trainer.average is not None
    assert trainer.average.keys() == net.params.keys() | net.buffers.keys()
    for name, array in trainer.average.items():
        np.testing.assert_allclose(array, average[name], rtol=1e-5, atol=1e-6, err_msg=name)
    own = copies(net)
    twin = net.astype(np.float32)
    for name, array in {**twin.params, **twin.buffers}.items():
        array[...] = trainer.average[name]
    assert trainer.evaluate(x, t) == pc.Trainer(twin, pc.optim.SGD(1)).evaluate(x, t)
    assert_same(net, own)


class Looks(pc.Callback):
    """Keeps the weights that it sees after every epoch, and after every batch."""

    def __init__(self, *, averaged: bool = True) -> None:
        self.averaged = averaged
        self.epochs: list[Any] = []
        self.batches: list[Any] = []

    def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
        self.batches.append(copies(trainer.net))

    def on_epoch_end(self, trainer: pc.Trainer, record: Any) -> None:
        if not self.averaged:
            return
        assert trainer.average is not None
        assert record["val_loss"] == trainer.evaluate(*make_data())[0]
        self.epochs.append(copies(trainer.net))


def test_the_average_is_what_is_evaluated_and_left() -> None:
    x, t = make_data()
    looks, plain = Looks(), Looks(averaged=False)
    net = make_net(norm=True)
    trainer = pc.Trainer(net, pc.optim.Adam(0.05), batch_size=8, ema=0.9)
    trainer.fit(x, t, epochs=2, validation=(x, t), callbacks=[looks])
    pc.Trainer(make_net(norm=True), pc.optim.Adam(0.05), batch_size=8).fit(
        x, t, epochs=2, callbacks=[plain]
    )
    for mine, theirs in zip(looks.batches, plain.batches, strict=True):
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    average = dict(plain.batches[0])
    for later in plain.batches[1:]:
        average = {name: a + 0.1 * (later[name] - a) for name, a in average.items()}
    assert_same(net, looks.epochs[1])
    assert_same(net, average, rtol=1e-5, atol=1e-6)


def test_early_stopping_brings_the_best_average_back() -> None:
    x, t = make_data()
    looks, net = Looks(), make_net()
    trainer = pc.Trainer(net, pc.optim.SGD(3.0), batch_size=8, ema=0.5)
    stopping = pc.EarlyStopping(patience=2, restore_best=True)
    trainer.fit(x, t, epochs=30, validation=(x, t), callbacks=[looks, stopping])
    assert_same(net, looks.epochs[stopping.best_epoch - 1])
    assert trainer.evaluate(x, t)[0] == stopping.best


def test_an_average_keeps_the_bits_of_what_does_not_change() -> None:
    x, t = make_data()
    net = make_net()
    before = net.params["conv.weight"].copy()
    trainer = pc.Trainer(net, pc.optim.SGD(0.1, rates={"conv.*": 0.0}), batch_size=5, ema=0.9)
    trainer.fit(x, t, epochs=2)
    np.testing.assert_array_equal(net.params["conv.weight"], before)


SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "average": lambda: {"ema": 0.8},
    "accumulated": lambda: {"accumulate": 4, "clip_norm": 0.5},
    "both": lambda: {"ema": 0.8, "accumulate": 2},
    "metrics": lambda: {"metrics": ["top2", "f1"], "loss": CrossEntropy(ignore_index=1)},
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("every", [None, 1])
def test_runs_are_resumed_to_the_same_bits(
    settings: str, every: int | None, tmp_path: Path
) -> None:
    class Interrupt(pc.Callback):
        def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
            if trainer.epoch == 2 and trainer.steps == 3:
                trainer.pause = True

    x, t = make_data(23)

    def run(epochs: int, *callbacks: pc.Callback, **where: Any) -> tuple[Any, pc.ConvNet]:
        net = make_net(norm=True)
        trainer = pc.Trainer(net, pc.optim.Adam(0.02), batch_size=5, **SETTINGS[settings]())
        callbacks = (*callbacks, pc.schedules.Plateau(patience=0, factor=0.5))
        return trainer.fit(
            x, t, epochs=epochs, validation=(x, t), callbacks=callbacks, **where
        ), net

    wanted, whole = run(4)
    where = {"checkpoint": tmp_path / "run.st", "checkpoint_every": every, "resume": True}
    run(4, Interrupt(), **where)
    found, net = run(4, **where)
    assert_same(net, copies(whole))
    timed = ("seconds", "images_per_second")
    for a, b in zip(found, wanted, strict=True):
        assert {k: v for k, v in a.items() if k not in timed} == {
            k: v for k, v in b.items() if k not in timed
        }


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    x, t = make_data()
    path = tmp_path / "run.st"
    pc.Trainer(make_net(), pc.optim.SGD(0.1)).fit(x, t, epochs=1, checkpoint=path)
    changes: list[dict[str, Any]] = [
        {"loss": CrossEntropy(class_weight=[1, 2, 3])},
        {"metrics": ["f1"]}, {"clip_norm": 1}, {"accumulate": 2}, {"ema": 0.5},
    ]  # fmt: skip
    for change in changes:
        trainer = pc.Trainer(make_net(), pc.optim.SGD(0.1), **change)
        with pytest.raises(ValueError, match=f"has {next(iter(change))} "):
            trainer.fit(x, t, epochs=2, checkpoint=path, resume=True)
    pc.Trainer(make_net(), pc.optim.SGD(0.1), loss=CrossEntropy()).fit(
        x, t, epochs=2, checkpoint=path, resume=True
    )


# Rates by parameter

OPTIMIZERS: list[Callable[..., pc.optim.Optimizer]] = [
    lambda **rates: pc.optim.SGD(0.1, 0.9, nesterov=True, weight_decay=0.1, **rates),
    lambda **rates: pc.optim.AdaGrad(0.1, weight_decay=0.1, **rates),
    lambda **rates: pc.optim.RMSprop(0.1, weight_decay=0.1, **rates),
    lambda **rates: pc.optim.Adam(0.1, weight_decay=0.1, **rates),
    lambda **rates: pc.optim.AdamW(0.1, weight_decay=0.1, **rates),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_rates_are_those_of_an_optimiser_for_each_group(
    make: Callable[..., pc.optim.Optimizer],
) -> None:
    rng = np.random.default_rng(1)
    names = ["body.conv.weight", "body.conv.bias", "head.weight", "head.bias"]
    params = {name: rng.standard_normal((3, 2)).astype(np.float32) for name in names}
    twins = {name: array.copy() for name, array in params.items()}
    grouped = make(rates={"head.*": 10.0, "*.bias": 0.5})
    alone = {name: make() for name in names}
    for name, factor in zip(names, (1.0, 0.5, 10.0, 5.0), strict=True):
        alone[name].lr *= factor
    for _ in range(3):
        grads = {name: rng.standard_normal((3, 2)).astype(np.float32) for name in names}
        grouped.update(params, grads)
        for name in names:
            alone[name].update({name: twins[name]}, {name: grads[name]})
    for name in names:
        np.testing.assert_array_equal(params[name], twins[name], err_msg=name)
    assert grouped.lr == 0.1
    other = make()
    other.load_state_dict(grouped.state_dict())
    assert other.rates == grouped.rates
    assert "rates={'head.*': 10.0" in repr(grouped)


def test_rates_that_match_nothing_are_an_error_at_the_first_update() -> None:
    net, (x, t) = make_net(), make_data()
    before = copies(net)
    for settings in ({}, {"clip_norm": 1.0}):
        trainer = pc.Trainer(net, pc.optim.SGD(0.1, rates={"head.*": 10}), **settings)
        with pytest.raises(ValueError, match=r"rates has 'head\.\*', which matches none of .*fc.w"):
            trainer.step(x, t)
    assert_same(net, before)
    for bad, error in (({"a": -1}, ValueError), ({1: 1}, TypeError), ([2], TypeError)):
        with pytest.raises(error, match=r"^rates"):
            pc.optim.Adam(rates=bad)  # type: ignore[arg-type]


def test_rates_are_kept_in_a_checkpoint(tmp_path: Path) -> None:
    x, t = make_data()

    def fit(epochs: int, rates: Any) -> pc.ConvNet:
        net = make_net()
        trainer = pc.Trainer(net, pc.optim.Adam(0.01, rates=rates))
        trainer.fit(x, t, epochs=epochs, checkpoint=tmp_path / "run.st", resume=True)
        return net

    fit(1, {"fc.*": 3.0})
    with pytest.warns(UserWarning, match=r"goes on with the rates \{'fc.\*': 3.0\}"):
        net = fit(2, {"fc.*": 1.0})
    (tmp_path / "run.st").unlink()
    assert_same(net, copies(fit(2, {"fc.*": 3.0})))


# Plateau


def test_plateau_lowers_the_rate_and_gives_it_back() -> None:
    trainer = pc.Trainer(make_net(), pc.optim.SGD(0.8))
    plateau = pc.schedules.Plateau(0.5, 1, monitor="val_accuracy", lowest=0.15)
    plateau.on_fit_begin(trainer)
    rates = []
    values = [0.1, 0.2, 0.2, 0.1, 0.3, math.nan, 0.3, 0.3, 0.3, 0.3, 0.3]
    for epoch, value in enumerate(values, start=1):
        record: Any = {"epoch": epoch, "val_accuracy": value, "val_loss": 1.0}
        plateau.on_epoch_end(trainer, record)
        rates.append(trainer.optimizer.lr)
    assert rates == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.15, 0.15, 0.15]
    plateau.on_fit_end(trainer)
    assert trainer.optimizer.lr == 0.8


def test_plateau_is_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    values = np.random.default_rng(0).random(60)
    trainer, theirs = pc.Trainer(make_net(), pc.optim.SGD(1.0)), torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([theirs], 1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.7, patience=3, threshold=0.01, threshold_mode="abs"
    )
    plateau = pc.schedules.Plateau(0.7, 3, min_delta=0.01)
    plateau.on_fit_begin(trainer)
    for epoch, value in enumerate(values, start=1):
        record: Any = {"epoch": epoch, "val_loss": float(value)}
        plateau.on_epoch_end(trainer, record)
        schedule.step(float(value))
        assert trainer.optimizer.lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
