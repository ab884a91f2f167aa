"""What the ranks of a training have in common, with ranks that are threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import functional as F
from pocketcnn.data import Arrays
from pocketcnn.distributed.bfloat16 import from_bfloat16, to_bfloat16
from pocketcnn.training.ranks import Alone, draw_apart, from_first, require_same
from pocketcnn.training.shares import Plan, Shard


class Thread(Alone):
    """A rank in a thread; it knows the others by a list that all of them write into."""

    def __init__(self, rank: int, size: int, values: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size = rank, size  # type: ignore[misc]
        self._values, self._barrier = values, barrier

    def gather(self, value: object) -> list[Any]:
        self._values[self.rank] = value
        self._barrier.wait()
        found = list(self._values)
        self._barrier.wait()
        return found

    def total(self, values: Any) -> Any:
        return np.sum(self.gather(np.array(values, np.float64)), axis=0)


def in_ranks(size: int, work: Callable[[Thread], Any]) -> list[Any]:
    values, barrier = [None] * size, threading.Barrier(size, timeout=60)
    ranks = [Thread(rank, size, values, barrier) for rank in range(size)]
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(work, ranks))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("samples", [1, 4, 23, 24])
def test_ranks_divide_the_batches_of_one(samples: int, size: int) -> None:
    order = np.random.default_rng(0).permutation(samples)
    plans = in_ranks(size, lambda ranks: Plan.of(samples, 4, ranks, divided=True))
    together = 4 * size
    wanted = [order[start : start + together] for start in range(0, samples, together)]
    parts = [plan.chosen(order) for plan in plans]
    for plan, own in zip(plans, parts, strict=True):
        assert plan.batches == len(own) == len(wanted)
        assert max(map(len, own)) <= 4
    for step, batch in enumerate(wanted):
        np.testing.assert_array_equal(np.concatenate([own[step] for own in parts]), batch)


def test_ranks_with_samples_of_their_own_have_as_many_batches() -> None:
    counts = [0, 3, 9]
    plans = in_ranks(3, lambda ranks: Plan.of(counts[ranks.rank], 4, ranks, divided=False))
    for plan, count in zip(plans, counts, strict=True):
        own = plan.chosen(np.arange(count))
        assert [plan.batches, plan.samples, len(own)] == [3, 12, 3]
        np.testing.assert_array_equal(np.concatenate(own), np.arange(count))
    assert [plan.smallest for plan in plans] == [0, 3, 1]


def test_shards_are_the_whole_together() -> None:
    data = Arrays(np.arange(7).reshape(7, 1, 1, 1), np.arange(7))
    shards = [Shard(data, rank, 3) for rank in range(3)]
    x, t = (
        np.concatenate(parts)
        for parts in zip(*(shard.batch(np.arange(len(shard))) for shard in shards), strict=True)
    )
    np.testing.assert_array_equal(x.ravel(), np.arange(7))
    np.testing.assert_array_equal(t, np.concatenate([shard.labels for shard in shards]))


def test_an_error_of_the_first_rank_is_raised_by_all() -> None:
    def work(ranks: Thread) -> str:
        with pytest.raises(OSError, match="disk"):
            from_first(ranks, lambda: (_ for _ in ()).throw(OSError("disk")))
        return from_first(ranks, lambda: f"of {ranks.rank}")

    assert in_ranks(3, work) == ["of 0"] * 3


def test_settings_that_differ_are_named_on_all_ranks() -> None:
    def work(ranks: Thread) -> None:
        with pytest.raises(ValueError, match="seed is 0 on rank 0, but 2 on rank 2"):
            require_same(ranks, {"epochs": 3, "seed": ranks.rank // 2 * 2})

    in_ranks(3, work)


def test_ranks_draw_apart_and_the_first_as_alone() -> None:
    def work(ranks: Thread) -> float:
        rng = np.random.default_rng(5)
        draw_apart(ranks, {"one": rng})
        return float(rng.random())

    drawn = in_ranks(4, work)
    assert len({*drawn}) == 4
    assert drawn[0] == np.random.default_rng(5).random()


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("cuts", [[3], [0], [1, 4]])
def test_batches_normalised_together_are_one_batch(cuts: list[int], rectify: bool) -> None:
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((2, 6, 4, 5, 5)) + 3
    gamma, beta = rng.standard_normal((2, 4))
    mean, variance = np.zeros(4), np.ones(4)
    settings = {"training": True, "rectify": rectify}
    out, cache = F.batch_norm(x, gamma, beta, mean, variance, **settings)
    wanted = (out, *F.batch_norm_backward(grad, cache))

    def work(ranks: Thread) -> tuple[Any, ...]:
        own = slice(*[[0, *cuts, 6][i] for i in (ranks.rank, ranks.rank + 1)])
        running = np.zeros(4), np.ones(4)
        out, cache = F.batch_norm(x[own], gamma, beta, *running, total=ranks.total, **settings)
        found = F.batch_norm_backward(grad[own], cache)
        np.testing.assert_allclose(running, (mean, variance), rtol=1e-12)
        return (out, *found)

    outs, dxs, dgammas, dbetas = zip(*in_ranks(len(cuts) + 1, work), strict=True)
    found = np.concatenate(outs), np.concatenate(dxs), sum(dgammas), sum(dbetas)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_bfloat16_is_the_nearest() -> None:
    """Against the neighbours, which have the next numbers as bits."""
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32) * 1e3
    bits = to_bfloat16(values)
    near, *others = (from_bfloat16(bits + np.uint16(step)) for step in (0, 1, -1 % 2**16))
    for other in others:
        assert (np.abs(near - values) <= np.abs(other - values)).all()
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0], np.float32)
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(special)), special)
    negative_nan = np.array([0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(from_bfloat16(to_bfloat16(negative_nan))).all()


def test_the_rate_of_many_ranks_rises_and_follows() -> None:
    then = pc.schedules.Cosine()
    scaled = pc.distributed.ScaledRate(4, then, warmup=0.1)
    assert scaled.factor(0.0) == 1.0
    assert scaled.factor(0.5) == pytest.approx(4 * then.factor(0.5))
    with pytest.raises(TypeError, match="must be a Schedule"):
        pc.distributed.ScaledRate(4, lambda progress: progress)  # type: ignore[arg-type]
