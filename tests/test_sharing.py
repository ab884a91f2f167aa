"""Networks, optimisers and trainers in several threads: right results, or one clear error.

A layer that waits in its forward or backward simulates a thread that is suspended there.
"""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn._arguments import Array
from pocketcnn._sharing import Sharing

RNG = np.random.default_rng(5)
X = RNG.random((6, 1, 8, 8)).astype(np.float32)
T = np.arange(6) % 3


class Gate(pc.Layer):
    """Passes its input on; if told to, only after `go` was set."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_in = ""
        self.here, self.go = threading.Event(), threading.Event()

    def _stop(self, place: str) -> None:
        if self.waits_in == place:
            self.waits_in = ""
            self.here.set()
            assert self.go.wait(60)

    def forward(self, x: Array, training: bool = False) -> Array:
        self._stop("forward")
        return x

    def backward(self, grad: Array) -> Array:
        self._stop("backward")
        return grad

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape


def network() -> pc.ConvNet:
    layers = [
        ("conv", pc.Conv2d(1, 4, 3)),
        ("norm", pc.BatchNorm2d(4)),
        ("relu", pc.ReLU()),
        ("gate", Gate()),
        ("flat", pc.Flatten()),
        ("out", pc.Linear(144, 3)),
    ]
    return pc.ConvNet(layers, input_shape=(1, 8, 8), seed=1)


@contextmanager
def put_aside(
    net: pc.ConvNet, place: str, work: Callable[[], Any]
) -> Iterator[tuple[Future[Any], Callable[[], Any]]]:
    """Work in another thread that waits in the network's gate; the second lets it continue."""
    gate = net.layers["gate"]
    assert isinstance(gate, Gate)
    gate.waits_in = place
    with ThreadPoolExecutor(1, thread_name_prefix="other") as pool:
        future = pool.submit(work)
        assert gate.here.wait(60)

        def finish() -> Any:
            gate.go.set()
            return future.result(60)

        try:
            yield future, finish
        finally:
            gate.go.set()


DEEDS: dict[str, Callable[[pc.ConvNet], Any]] = {
    "gradient": lambda net: net.gradient(X, T),
    "value_and_gradient": lambda net: net.value_and_gradient(X, T),
    "loss": lambda net: net.loss(X, T),
    "forward": lambda net: net.forward(X, training=True),
    "step": lambda net: pc.Trainer(net, pc.optim.SGD(0.1)).step(X, T),
    "fit": lambda net: pc.Trainer(net, pc.optim.SGD(0.1)).fit(X, T, epochs=1),
    "predict": lambda net: net.predict(X),
    "accuracy": lambda net: net.accuracy(X, T),
    "activations": lambda net: net.activations(X),
}


@pytest.mark.parametrize("place", ["forward", "backward"])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_second_thread_is_refused_and_the_first_is_right(deed: str, place: str) -> None:
    net = network()
    expected = network().gradient(X, T)
    with put_aside(net, place, lambda: net.gradient(X, T)) as (_, finish):
        with pytest.raises(RuntimeError, match=r"the network is in a .* of thread 'other.*copy"):
            DEEDS[deed](net)
        got = finish()
    assert all(np.array_equal(got[name], expected[name]) for name in expected)
    DEEDS[deed](net)  # now it is allowed


def test_a_thread_that_predicts_is_waited_for() -> None:
    net, untrained = network(), network()
    expected, gradient = untrained.predict(X), network().gradient(X, T)
    with (
        put_aside(net, "forward", lambda: net.predict(X)) as (_, finish),
        ThreadPoolExecutor(1) as pool,
    ):
        trained = pool.submit(lambda: net.gradient(X, T))
        assert np.array_equal(finish(), expected)
        got = trained.result(60)
    assert all(np.array_equal(got[name], gradient[name]) for name in gradient)


def test_any_number_of_threads_predict() -> None:
    net = pc.models.compact_resnet(input_shape=(3, 16, 16), seed=2)
    images = [RNG.random((5, 3, 16, 16)).astype(np.float32) for _ in range(8)]
    expected = [net.predict(x) for x in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            for got, wanted in zip(pool.map(net.predict, images), expected, strict=True):
                assert np.array_equal(got, wanted)


def test_many_threads_ask_for_gradients() -> None:
    """Each gets the gradients of its own batch or the error, never a mixture."""
    net = pc.ConvNet(
        [
            ("c", pc.Conv2d(1, 4, 3)),
            ("r", pc.ReLU()),
            ("f", pc.Flatten()),
            ("o", pc.Linear(144, 3)),
        ],
        (1, 8, 8),
    )
    batches = [RNG.random((6, 1, 8, 8)).astype(np.float32) for _ in range(4)]
    expected = [{k: g.copy() for k, g in net.gradient(x, T).items()} for x in batches]

    def work(i: int) -> tuple[int, int]:
        right = refused = 0
        for _ in range(60):
            try:
                got = net.gradient(batches[i], T)
            except RuntimeError as error:
                refused += "the network is in a" in str(error)
            else:
                right += all(np.array_equal(got[k], g) for k, g in expected[i].items())
        return right, refused

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(work, range(4)))
    assert all(right + refused == 60 for right, refused in counts), counts
    assert sum(right for right, _ in counts) > 0


def _elsewhere(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(60)


@pytest.mark.parametrize("between", ["forward", "predict"])
def test_backward_of_another_threads_forward_is_refused(between: str) -> None:
    net = network()
    grad = np.ones_like(net.forward(X, training=True))
    _elsewhere(lambda: DEEDS[between](net))
    with pytest.raises(RuntimeError, match="forward before it: of the same thread"):
        net.backward(grad)


class Slow(pc.Callback):
    def __init__(self) -> None:
        self.here, self.go = threading.Event(), threading.Event()

    def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
        self.here.set()
        assert self.go.wait(60)


def test_a_trainer_runs_once_at_a_time() -> None:
    trainer = pc.Trainer(network(), pc.optim.SGD(0.1))
    slow = Slow()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(lambda: trainer.fit(X, T, epochs=2, callbacks=[slow]))
        assert slow.here.wait(60)
        with pytest.raises(RuntimeError, match="the trainer is in a run of thread"):
            trainer.fit(X, T, epochs=1)
        with pytest.raises(RuntimeError, match="the trainer is in a run of thread"):
            trainer.step(X, T)
        slow.go.set()
        assert len(run.result(60)) == 2


def test_an_optimiser_updates_once_at_a_time() -> None:
    class Waiting(dict[str, Array]):
        def __init__(self, arrays: dict[str, Array]) -> None:
            super().__init__(arrays)
            self.here, self.go = threading.Event(), threading.Event()

        def __getitem__(self, name: str) -> Array:
            self.here.set()
            assert self.go.wait(60)
            return super().__getitem__(name)

    optimizer = pc.optim.SGD(1.0)
    param, grads = np.zeros(3), Waiting({"w": np.ones(3)})
    with ThreadPoolExecutor(1) as pool:
        update = pool.submit(lambda: optimizer.update({"w": param}, grads))
        assert grads.here.wait(60)
        with pytest.raises(RuntimeError, match="the optimiser is in an update of thread"):
            optimizer.update({"w": np.zeros(3)}, {"w": np.ones(3)})
        grads.go.set()
        update.result(60)
    assert np.array_equal(param, -np.ones(3))
    assert optimizer.steps == 1


def test_the_same_thread_may_nest() -> None:
    sharing = Sharing("it", "wait")
    with sharing.change("a"), sharing.change("b"), sharing.read("c"):
        pass
    with sharing.read("c"), sharing.change("d"):
        pass
    _elsewhere(lambda: sharing.change("d"))  # no lasting effect


def test_a_reader_that_never_ends_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example if an interrupt came at the wrong moment."""
    monkeypatch.setattr("pocketcnn._sharing._PATIENCE", 0.01)
    sharing = Sharing("it", "wait")
    _elsewhere(lambda: sharing.begin_reading("a look"))
    with pytest.raises(RuntimeError, match="it is in a look of another thread: wait"):
        sharing.claim("a change")
    _elsewhere(lambda: sharing.begin_reading("a look"))  # and nothing is claimed


def test_an_error_leaves_nothing_behind() -> None:
    net = network()
    with pytest.raises(ValueError, match="shape"):
        net.gradient(X[:, :, 1:], T)
    with pytest.raises(ValueError, match="shape"):
        net.predict(X[:, :, 1:])
    _elsewhere(lambda: net.gradient(X, T))


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_nobodys(twin: Callable[[Sharing], Sharing]) -> None:
    sharing = Sharing("it", "wait")
    with sharing.change("a"):
        _elsewhere(lambda: twin(sharing).change("b"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("deed", ["gradient", "predict"])
def test_the_child_of_a_fork_does_not_inherit_what_threads_do(deed: str) -> None:
    net = network()
    expected = network().gradient(X, T)
    with put_aside(net, "forward", lambda: DEEDS[deed](net)):
        child = os.fork()
        if child == 0:
            try:
                got = net.gradient(X, T)
                right = all(np.array_equal(got[name], expected[name]) for name in expected)
                os._exit(0 if right else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
