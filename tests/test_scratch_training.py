"""Optimisers and trainer of ``pocketcnn.scratch``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
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


@each_optimizer
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([5]), r"params\['x'\] has dtype int64"),
        (np.array([True]), r"params\['x'\] has dtype bool"),
        (np.array([5j]), r"params\['x'\] has dtype complex128"),
        (np.array([5], object), r"params\['x'\] has dtype object"),
        ([5], r"params\['x'\] is a list"),
        ([5.0], r"params\['x'\] is a list"),
        ((5.0,), r"params\['x'\] is a tuple"),
        ("5", r"params\['x'\] is a str"),
        (None, r"params\['x'\] is a NoneType"),
    ],
)
def test_what_a_step_would_be_lost_in_is_refused(name: str, value: Any, message: str) -> None:
    """Before anything is changed, including the count of steps."""
    optimizer = getattr(scratch, name)(lr=0.1)
    params = {"W": np.ones(2), "x": value}
    with pytest.raises(TypeError, match=message):
        optimizer.update(params, {"W": np.ones(2), "x": np.array([0.5])})
    assert params["W"].tolist() == [1, 1]
    assert params["x"] is value
    assert getattr(optimizer, "iter", 0) == 0


@each_optimizer
def test_wrong_gradients_change_nothing(name: str) -> None:
    optimizer, params = getattr(scratch, name)(), {"W": np.ones(2), "b": np.ones(3)}
    with pytest.raises(KeyError, match="b"):
        optimizer.update(params, {"W": np.ones(2)})
    with pytest.raises(
        ValueError, match=r"grads\['b'\] has shape \(1,\), but params\['b'\] \(3,\)"
    ):
        optimizer.update(params, {"W": np.ones(2), "b": np.ones(1)})
    params["b"].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\['b'\] is read-only"):
        optimizer.update(params, {"W": np.ones(2), "b": np.ones(3)})
    assert params["W"].tolist() == [1, 1]
    assert getattr(optimizer, "iter", 0) == 0


@each_optimizer
def test_plain_numbers_are_replaced(name: str) -> None:
    for value in (5, 5.0, np.int64(5), np.float32(5)):
        params = {"x": value}
        getattr(scratch, name)(lr=0.1).update(params, {"x": 0.5})
        expected = getattr(reference_scratch, name.lower())(5.0, 0.5, {}, 1, 0.1)
        assert params["x"] == pytest.approx(expected, rel=1e-6)


def test_a_parameter_may_come_later() -> None:
    momentum = scratch.Momentum(0.1)
    params = {"W": np.ones(1)}
    momentum.update(params, {"W": np.ones(1)})
    params["V"] = np.ones(1)
    momentum.update(params, {"W": np.ones(1), "V": np.ones(1)})
    np.testing.assert_allclose([params["W"], params["V"]], [[1 - 0.1 - 0.19], [0.9]])


def test_state_is_none_before_the_first_update() -> None:
    assert scratch.Momentum().v is scratch.AdaGrad().h is scratch.RMSprop().h is None
    adam = scratch.Adam()
    assert adam.m is adam.v is None
    assert adam.iter == 0


class Recorder:
    """A network that records what a trainer calls."""

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


@pytest.mark.parametrize(("examples", "batch"), [(1, 1), (1, 7), (7, 3), (3, 100)])
def test_odd_sizes(examples: int, batch: int) -> None:
    trainer = trainer_of(Recorder(), examples, epochs=2, mini_batch_size=batch)
    trainer.train()
    assert len(trainer.train_loss_list) == int(2 * max(examples / batch, 1))
    assert len(trainer.test_acc_list) == 2


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((4, 3, 4, 4), {}, "x_train has 4 examples and t_train 3"),
        ((4, 4, 2, 4), {}, "x_test has 2 examples and t_test 4"),
        ((0, 0, 4, 4), {}, "x_train has 0 examples"),
        ((4, 4, 4, 4), {"mini_batch_size": 0}, "mini_batch_size is 0"),
        ((4, 4, 4, 4), {"evaluate_sample_num_per_epoch": 0}, "evaluate_sample_num_per_epoch is 0"),
    ],
)
def test_wrong_sizes_are_refused(sizes: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scratch.Trainer(Recorder(), *map(np.arange, sizes), **options)


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


def skipping_net() -> pc.ConvNet:
    """A graph: a value that two layers take, branches that meet twice; smooth everywhere."""
    entries = [
        ("conv", pc.Conv2d(1, 4, 3, padding=1)),
        ("tanh", pc.Tanh()),
        ("side", pc.Conv2d(4, 4, 3, padding=1)),
        ("sum", pc.Add(), ["side", "tanh"]),
        ("join", pc.Concat(), ["sum", "input"]),
        ("pool", pc.AvgPool2d(2)),
        ("flatten", pc.Flatten()),
        ("fc", pc.Linear(5 * 9, 3)),
    ]
    return pc.ConvNet(entries, input_shape=(1, 6, 6), seed=5, dtype=np.float64)


@pytest.mark.parametrize("name", ["SGD", "Momentum"])
def test_trainer_trains_a_graph(name: str, rng: np.random.Generator) -> None:
    """The steps are those by numerical gradients and the book's rule."""
    x, t = rng.standard_normal((12, 1, 6, 6)), rng.integers(0, 3, 12)
    net, other = skipping_net(), skipping_net()
    np.random.seed(3)
    trainer = scratch.Trainer(
        *(net, x, t, x[:5], t[:5]),
        epochs=1,
        mini_batch_size=4,
        optimizer=name,
        optimizer_param={"lr": 0.01},
        verbose=False,
    )
    trainer.train()
    np.random.seed(3)
    step = getattr(reference_scratch, name.lower())
    states: dict[str, Any] = {key: {} for key in other.params}
    for count in range(1, 4):
        chosen = np.random.choice(12, 4)
        batch = x[chosen], t[chosen]
        grads = {
            key: scratch.numerical_gradient(lambda _, batch=batch: other.loss(*batch), value)
            for key, value in other.params.items()
        }
        for key, value in other.params.items():
            value[...] = step(value, grads[key], states[key], count, 0.01)
    for key, value in net.params.items():
        np.testing.assert_allclose(value, other.params[key], atol=1e-6, err_msg=key)
    assert trainer.test_acc_list[0] in np.arange(6) / 5
