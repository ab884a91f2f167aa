"""Large layers are updated while their gradient is made: same bits as afterwards, less memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.network import fusion

OPTIMIZERS: list[Callable[[], pc.optim.Optimizer]] = [
    lambda: pc.optim.SGD(0.1),
    lambda: pc.optim.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    lambda: pc.optim.Adam(0.01),
    lambda: pc.optim.AdamW(0.01),
]


def _net() -> pc.ConvNet:
    layers: list[tuple[str, pc.Layer]] = [
        ("conv", pc.Conv2d(1, 4, 3)),
        ("relu", pc.ReLU()),
        ("flatten", pc.Flatten()),
        ("fc1", pc.Linear(144, 70)),
        ("tanh", pc.Tanh()),
        ("fc2", pc.Linear(70, 61, bias=False)),
        ("fc3", pc.Linear(61, 5)),
    ]
    return pc.ConvNet(layers, (1, 8, 8), seed=1)


@pytest.fixture
def two_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """As fc1 and fc2 of a real network."""
    monkeypatch.setattr(fusion, "_LARGE_WEIGHT", 70 * 61 * 4)


@pytest.mark.usefixtures("two_are_large")
@pytest.mark.parametrize("batch", [1, 3, 40])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_steps_equal_those_of_whole_gradients(
    make: Callable[[], pc.optim.Optimizer], batch: int
) -> None:
    rng = np.random.default_rng(batch)
    x, t = rng.standard_normal((batch, 1, 8, 8)), np.arange(batch) % 5
    net, twin = _net(), _net()
    trainer, optimizer = pc.Trainer(net, make()), make()
    for _ in range(3):
        loss = trainer.step(x, t)
        wanted, grads = twin.value_and_gradient(x, t)
        optimizer.update(twin.params, grads)
        assert loss == wanted
        for name, array in net.params.items():
            np.testing.assert_array_equal(array, twin.params[name], err_msg=name)
    assert trainer.optimizer.steps == optimizer.steps == 3
    assert not net.grads["fc1.weight"].any()
    assert net.grads["conv.weight"].any()
    assert net.summary().count("updated in backward") == 2


@pytest.mark.usefixtures("two_are_large")
def test_an_update_of_ones_own_gets_all_gradients() -> None:
    class Clipped(pc.optim.SGD):
        def update(self, params: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
            seen.update(grads)
            super().update(params, {name: np.clip(g, -1e-3, 1e-3) for name, g in grads.items()})

    seen: dict[str, Any] = {}
    net = _net()
    before = net.params["fc1.weight"].copy()
    pc.Trainer(net, Clipped(1.0)).step(np.ones((2, 1, 8, 8)), [0, 1])
    assert seen.keys() == net.params.keys()
    change = np.abs(net.params["fc1.weight"] - before).max()
    assert 0 < change <= 1.001e-3


@pytest.mark.usefixtures("two_are_large")
def test_an_optimizer_of_ones_own_may_compute_with_the_gradients() -> None:
    class Signs(pc.optim.SGD):
        def _update(self, params: Any, grads: Any, slots: Any) -> None:
            for param, grad in zip(params, grads, strict=True):
                param -= self.lr * np.sign(grad) + 0 * grad

    net, twin = _net(), _net()
    x, t = np.random.default_rng(0).standard_normal((9, 1, 8, 8)), np.arange(9) % 5
    pc.Trainer(net, Signs(0.5)).step(x, t)
    _, grads = twin.value_and_gradient(x, t)
    for name, array in net.params.items():
        wanted = twin.params[name] - 0.5 * np.sign(grads[name])
        np.testing.assert_allclose(array, wanted, rtol=1e-6, atol=1e-7, err_msg=name)


def test_small_layers_keep_their_gradients() -> None:
    net = _net()
    pc.Trainer(net, pc.optim.SGD(0.1)).step(np.ones((2, 1, 8, 8)), [0, 1])
    assert all(array.any() for array in net.grads.values())
    assert "updated in backward" not in net.summary()
