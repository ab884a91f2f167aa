"""Batches that are computed in parts, in one process; with several, see test_distributed.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.training.shares import Plan, part

K = 3


def make_net(*, norm: bool = False, dtype: Any = np.float64) -> pc.ConvNet:
    layers: list[Any] = [("conv", pc.Conv2d(1, 4, 3)), ("relu", pc.ReLU()), ("flat", pc.Flatten())]
    if norm:
        layers.insert(1, ("norm", pc.BatchNorm2d(4)))
    return pc.ConvNet([*layers, ("fc", pc.Linear(64, K))], (1, 6, 6), seed=2, dtype=dtype)


def make_data(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((count, 1, 6, 6)), rng.integers(0, K, count)


def trained(net: pc.ConvNet, count: int, **settings: Any) -> dict[str, np.ndarray]:
    """Train for two epochs, with weights of samples, and return parameters and statistics."""
    x, t = make_data(count)
    trainer = pc.Trainer(net, pc.optim.Adam(0.01), **settings)
    trainer.fit(x, t, epochs=2, sample_weight=np.linspace(0.5, 2, count))
    return {**net.params, **net.buffers}


@pytest.mark.parametrize("micro", [1, 3, 4, 30])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_they_make_the_update_of_the_whole_batch(micro: int, accumulate: int) -> None:
    """The last batch has 2 samples, for which some of the micro-batches have none."""
    settings: dict[str, Any] = {"batch_size": 12, "accumulate": accumulate, "clip_norm": 0.5}
    wanted = trained(make_net(), 26, **settings)
    found = trained(make_net(), 26, micro_batches=micro, **settings)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


def test_their_bits_are_those_of_batches_that_are_accumulated() -> None:
    wanted = trained(make_net(dtype=np.float32), 24, batch_size=4, accumulate=3)
    found = trained(make_net(dtype=np.float32), 24, batch_size=12, micro_batches=3)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_each_is_normalised_alone_and_statistics_are_the_mean() -> None:
    x, t = make_data(12)
    net, parts = make_net(norm=True), []
    for index in range(3):
        twin = make_net(norm=True)
        twin.forward(part(x, index, 3), training=True)
        parts.append(twin.buffers)
    pc.Trainer(net, pc.optim.SGD(0.0), micro_batches=3).step(x, t)
    for name, array in net.buffers.items():
        wanted = np.mean([buffers[name] for buffers in parts], axis=0)
        np.testing.assert_allclose(array, wanted, rtol=1e-12, err_msg=name)


def test_a_batch_that_is_not_finite_leaves_nothing_behind() -> None:
    x, t = make_data(12)
    spoilt = x.copy()
    spoilt[7] = np.nan  # in the second of three
    net, twin = make_net(), make_net()
    trainer = pc.Trainer(net, pc.optim.SGD(0.1), micro_batches=3)
    with pytest.raises(FloatingPointError, match="x_batch has 36 values that are not finite"):
        trainer.step(spoilt, t)
    trainer.step(x, t)
    pc.Trainer(twin, pc.optim.SGD(0.1), micro_batches=3).step(x, t)
    for name, array in twin.params.items():
        np.testing.assert_array_equal(net.params[name], array, err_msg=name)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize("samples", [0, 1, 5, 8, 21, 64])
def test_ranks_have_the_same_of_them_in_turn(samples: int, ranks: int) -> None:
    order = np.random.default_rng(0).permutation(samples)
    for rank in range(ranks):
        plan = Plan(samples, samples, 64, 1, rank, ranks, divided=True, micro=8 // ranks)
        (own,) = plan.chosen(order)
        for index in range(plan.micro):
            mine, wanted = part(own, index, plan.micro), part(order, index * ranks + rank, 8)
            np.testing.assert_array_equal(mine, wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"micro_batches": 0}, "micro_batches is 0"),
        ({"micro_batches": 2, "sync_batch_norm": True}, "needs all 2 micro-batches at once"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pc.Trainer(make_net(), pc.optim.SGD(0.1), **settings)
