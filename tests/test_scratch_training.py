"""Optimisers and trainer of ``pocketcnn.scratch``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference_scratch
from pocketcnn import scratch

OPTIMIZERS = ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"]
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(74)


@each_optimizer
def test_steps(name: str, rng: np.random.Generator) -> None:
    """Twenty steps, with the learning rate changed on the way, of an array and of a number."""
    optimizer = getattr(scratch, name)(lr=0.1)
    step = getattr(reference_scratch, name.lower())
    array, number = rng.standard_normal((4, 3)), np.float64(-7.0)
    params: dict[str, Any] = {"W": array.copy(), "x": float(number)}
    W, states = params["W"], ({}, {})
    for count in range(1, 21):
        optimizer.lr = lr = 0.1 if count < 10 else 0.02
        g = rng.standard_normal((4, 3))
        optimizer.update(params, {"W": g, "x": float(number) / 10, "other": None})
        array = step(array, g, states[0], count, lr)
        number = step(number, number / 10, states[1], count, lr)
    assert params["W"] is W
    np.testing.assert_allclose(W, array, rtol=1e-11)
    assert params["x"] == pytest.approx(number, rel=1e-11)
    for key, value in states[0].items():
        np.testing.assert_allclose(getattr(optimizer, key)["W"], value, rtol=1e-11)


@each_optimizer
def test_arrays_of_any_layout_are_updated_in_place(name: str, rng: np.random.Generator) -> None:
    plain = rng.standard_normal((4, 3))
    views = {
        "columns": np.asfortranarray(plain),
        "every other": np.repeat(plain, 2, axis=1)[:, ::2],
        "float32": plain.astype(np.float32),
        "float16": plain.astype(np.float16),
    }
    grad = rng.standard_normal((4, 3))
    expected = {"W": plain.copy()}
    getattr(scratch, name)(lr=0.1).update(expected, {"W": grad})
    for layout, array in views.items():
        params = {"W": array}
        getattr(scratch, name)(lr=np.float64(0.1)).update(params, {"W": grad.copy()})
        assert params["W"] is array
        limit = 8 * float(np.finfo(array.dtype).eps)
        np.testing.assert_allclose(array, expected["W"], rtol=limit, atol=limit, err_msg=layout)


def test_state_is_none_before_the_first_update() -> None:
    assert scratch.Momentum().v is scratch.AdaGrad().h is scratch.RMSprop().h is None
    adam = scratch.Adam()
    assert adam.m is adam.v is None
    assert adam.iter == 0


class Recorder:
    """A network that notes what a trainer asks of it."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {"W": np.zeros(1)}
        self.calls: list[tuple[str, list[int]]] = []

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        self.calls.append(("gradient", x.tolist()))
        return {"W": np.ones(1)}

    def loss(self, x: Any, t: Any) -> float:
        self.calls.append(("loss", x.tolist()))
        return float(self.params["W"][0])

    def accuracy(self, x: Any, t: Any) -> float:
        self.calls.append(("accuracy", x.tolist()))
        return len(x) / 100


def trainer_of(network: Any, examples: int, **options: Any) -> scratch.Trainer:
    x = np.arange(examples)
    return scratch.Trainer(network, x, x, x + 100, x, verbose=False, **options)


def test_trainer_draws_batches_and_evaluates_as_the_book_does() -> None:
    network = Recorder()
    options = {"epochs": 3, "mini_batch_size": 4, "evaluate_sample_num_per_epoch": 5}
    trainer = trainer_of(network, 8, optimizer_param={"lr": 0.5}, **options)
    np.random.seed(1)
    trainer.train()
    np.random.seed(1)
    batches = [np.random.choice(8, 4).tolist() for _ in range(6)]
    assert [x for call, x in network.calls if call == "gradient"] == batches
    assert [x for call, x in network.calls if call == "loss"] == batches
    assert trainer.train_loss_list == [-0.5, -1.0, -1.5, -2.0, -2.5, -3.0]
    assert trainer.train_acc_list == trainer.test_acc_list == [0.05] * 3
    names = [call for call, _ in network.calls]
    epoch = ["gradient", "loss", "accuracy", "accuracy", "gradient", "loss"]
    assert names == epoch * 3
    assert (trainer.current_iter, trainer.current_epoch) == (6, 3)


def test_every_epoch_is_evaluated_though_batches_do_not_divide_the_examples() -> None:
    trainer = trainer_of(Recorder(), 10, epochs=6, mini_batch_size=4)
    trainer.train()
    assert len(trainer.train_loss_list) == 15
    assert len(trainer.train_acc_list) == 6


def test_trainer_prints_when_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.arange(4)
    scratch.Trainer(Recorder(), x, x, x, x, epochs=1, mini_batch_size=2).train()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "train loss: -0.01"
    assert lines[1] == "epoch 1: train accuracy 0.04, test accuracy 0.04"
    assert lines[-1] == "final test accuracy: 0.04"


def test_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="optimizer is 'adamw'"):
        trainer_of(Recorder(), 4, optimizer="adamw")


def test_training_lowers_the_loss(rng: np.random.Generator) -> None:
    t = rng.integers(0, 2, 40)
    x = rng.random((40, 1, 12, 12))
    x[t == 1, :, :6] += 1  # the upper half is bright
    np.random.seed(2)
    net = scratch.SimpleConvNet(
        (1, 12, 12), {"filter_num": 4, "filter_size": 3, "pad": 0, "stride": 1}, 10, 2, 0.1
    )
    before = net.loss(x, t)
    trainer = scratch.Trainer(
        *(net, x, t, x, t),
        **{"epochs": 40, "mini_batch_size": 20, "optimizer": "Adam", "verbose": False},
        optimizer_param={"lr": 0.01},
    )
    trainer.train()
    assert net.loss(x, t) < before / 2
    assert trainer.train_acc_list[-1] >= 0.9
