"""A layer's arrays keep their names, shapes and dtype after any assignment, fused or not."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import functional as F
from pocketcnn.functional import _conv_block as block
from pocketcnn.layers import Layer, Residual

Layers = list[tuple[str, Layer]]

# What follows a convolution of 4 to 6 channels, fused with it or not.
FOLLOWING: dict[str, Callable[[], Layers]] = {
    "nothing": list,
    "relu": lambda: [("relu", pc.ReLU())],
    "max": lambda: [("relu", pc.ReLU()), ("pool", pc.MaxPool2d(2))],
    "average": lambda: [("tanh", pc.Tanh()), ("pool", pc.AvgPool2d(2))],
    "norm": lambda: [("norm", pc.BatchNorm2d(6)), ("relu", pc.ReLU())],
}


def _net(following: str = "max", groups: int = 1, dtype: Any = np.float32) -> pc.ConvNet:
    layers = [("conv", pc.Conv2d(4, 6, 3, groups=groups)), *FOLLOWING[following]()]
    end = [("flat", pc.Flatten()), ("fc", pc.Linear(6 * (4 if "pool" in dict(layers) else 16), 3))]
    return pc.ConvNet([*layers, *end], (4, 6, 6), dtype=dtype)


def _x(n: int = 9) -> Any:
    return np.random.default_rng(1).standard_normal((n, 4, 6, 6)).astype(np.float32)


MISFITS: dict[str, Any] = {
    "fewer channels": np.ones((6, 1, 3, 3)),
    "more channels": np.ones((6, 8, 3, 3)),
    "other filters": np.ones((5, 4, 3, 3)),
    "another kernel": np.ones((6, 4, 5, 5)),
    "an axis less": np.ones((4, 3, 3)),
    "one number": np.float32(1),
    "text": "weights",
    "complex": np.ones((6, 4, 3, 3), complex),
    "nothing": None,
}


@pytest.mark.parametrize("following", FOLLOWING)
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_weight_that_does_not_fit_is_refused_and_changes_nothing(
    following: str, misfit: str, tmp_path: Path
) -> None:
    net, value = _net(following), MISFITS[misfit]
    conv, before = net.layers["conv"], _net(following).predict(_x())
    bias = conv.params["bias"]
    with pytest.raises((ValueError, TypeError), match="weight"):
        conv.params["weight"] = value
    with pytest.raises((ValueError, TypeError), match="weight"):
        conv.params = {"weight": value, "bias": bias}
    with pytest.raises((ValueError, TypeError), match="weight"):
        conv.set_state({"weight": value, "bias": bias})
    with pytest.raises((ValueError, TypeError), match="weight"):
        conv.params.update(weight=value)
    net.gradient(_x(), np.zeros(9, int))
    np.testing.assert_array_equal(_net(following).predict(_x()), before)
    net.save(tmp_path / "net.safetensors")
    pc.load(tmp_path / "net.safetensors")


@pytest.mark.parametrize("following", FOLLOWING)
@pytest.mark.parametrize(
    "form", [np.float32, np.float64, np.float16, ">f4", "fortran", "frozen", "list"]
)
def test_a_weight_that_fits_is_taken_by_value(following: str, form: Any, tmp_path: Path) -> None:
    wanted = np.random.default_rng(2).integers(-3, 4, (6, 4, 3, 3)).astype(np.float32)
    value: Any = wanted.tolist() if form == "list" else wanted.copy()
    if form == "fortran":
        value = np.asfortranarray(value)
    elif form == "frozen":
        value.setflags(write=False)
    elif form != "list":
        value = value.astype(form)
    net, same = _net(following), _net(following)
    same.params["conv.weight"][...] = wanted
    held = net.params["conv.weight"]
    net.layers["conv"].params["weight"] = value
    assert net.params["conv.weight"] is held
    t = np.arange(9) % 3
    for key, grad in net.gradient(_x(), t).items():
        np.testing.assert_array_equal(grad, same.gradient(_x(), t)[key])
    for set_state in (False, True):
        conv = net.layers["conv"]
        if set_state:
            conv.set_state(
                {"weight": value, "bias": np.zeros(6)} if form != "list" else {**conv.params}
            )
        pc.optim.SGD(0.1).update(net.params, net.grads)  # arrays that can be written
        conv.params = {"weight": value, "bias": np.zeros(6)}
        np.testing.assert_array_equal(net.params["conv.weight"], wanted)
        net.save(tmp_path / "net.safetensors")
        loaded = pc.load(tmp_path / "net.safetensors")
        np.testing.assert_array_equal(loaded.predict(_x()), net.predict(_x()))


def test_names_that_a_layer_does_not_have() -> None:
    conv, norm = pc.Conv2d(4, 6, 3), pc.BatchNorm2d(6)
    weight, bias = conv.params["weight"], conv.params["bias"]
    with pytest.raises(ValueError, match=r"no parameter 'wieght'.*weight.*bias"):
        conv.params["wieght"] = weight
    with pytest.raises(ValueError, match="lacks bias"):
        conv.set_state({"weight": weight})
    with pytest.raises(ValueError, match="lacks weight"):
        conv.params = {"bias": bias}
    with pytest.raises(ValueError, match="no gamma"):
        conv.set_state({"weight": weight, "bias": bias, "gamma": bias})
    with pytest.raises(ValueError, match="no gamma"):
        norm.set_state({**norm.state(), "gamma": bias})
    with pytest.raises(ValueError, match="no weight"):
        pc.ReLU().set_state({"weight": weight})
    for take in (
        lambda: conv.params.pop("bias"),
        lambda: conv.params.clear(),
        lambda: conv.params.popitem(),
        lambda: conv.params.__delitem__("weight"),
    ):
        with pytest.raises(TypeError, match="Conv2d keeps every parameter"):
            take()
    assert list(conv.params) == ["weight", "bias"]
    conv.params["weight"] += 1  # the array itself, assigned to itself
    assert conv.weight is weight


def test_a_state_that_is_refused_changes_nothing() -> None:
    block = Residual([("conv", pc.Conv2d(2, 2, 1)), ("norm", pc.BatchNorm2d(2))])
    before = {key: array.copy() for key, array in block.state().items()}
    ones = {key: np.ones(array.shape) for key, array in before.items()}
    for bad in (
        {**ones, "body.norm.weight": np.ones(3)},
        {**ones, "body.norm.running_var": np.ones((2, 1))},
        {**ones, "body.conv.gamma": np.ones(2)},
        {**ones, "weight": np.ones(2)},
        {key: a for key, a in ones.items() if key != "body.norm.bias"},
    ):
        with pytest.raises(ValueError, match=r"norm|gamma|weight"):
            block.set_state(bad)
        for key, array in block.state().items():
            np.testing.assert_array_equal(array, before[key])
    block.set_state(ones)
    block.params["body.conv.bias"] = [5, 6]
    assert block.body["conv"].params["bias"].tolist() == [5, 6]
    block.body["conv"].set_state({"weight": np.zeros((2, 2, 1, 1)), "bias": np.zeros(2)})
    assert not block.params["body.conv.weight"].any()


def test_buffers_keep_their_shape() -> None:
    norm = pc.BatchNorm2d(3)
    for bad in (np.ones(4), np.ones((3, 1)), "mean"):
        with pytest.raises((ValueError, TypeError), match="running_mean"):
            norm.buffers["running_mean"] = bad
        with pytest.raises((ValueError, TypeError), match="running_mean"):
            norm.set_state({**norm.state(), "running_mean": bad})
    norm.buffers["running_mean"] = np.arange(3.0)
    assert norm.running_mean.dtype == np.float32
    assert norm.running_mean.tolist() == [0, 1, 2]


def test_shapes_are_known_without_memory() -> None:
    size = 10**14
    layers = [pc.BatchNorm2d(size), pc.Linear(size, 10), Residual([pc.BatchNorm2d(size)])]
    assert layers[0].state_shapes() == dict.fromkeys(
        ("weight", "bias", "running_mean", "running_var"), (size,)
    )
    assert layers[1].state_shapes() == {"weight": (10, size), "bias": (10,)}
    assert layers[2].state_shapes()["body.0.running_var"] == (size,)
    for layer in layers:
        layer.convert(np.float64)


def test_a_network_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    net = _net()
    net.save(path)
    written = path.read_bytes()
    net.layers["conv"].convert(np.float64)
    with pytest.raises(ValueError, match=r"conv\.weight is float64"):
        net.save(path)
    net = _net()
    net.layers["fc"] = pc.Linear(7, 3)
    with pytest.raises(ValueError, match="fc"):
        net.save(path)
    assert path.read_bytes() == written


class OwnScale(Layer):
    """A user's own layer without shapes and without a way to draw."""

    def __init__(self) -> None:
        super().__init__()
        self.params = {"scale": np.full(1, 3.0)}
        self.buffers["seen"] = np.zeros(1)

    def forward(self, x: Any, training: bool = False) -> Any:
        self._saved = x
        self.buffers["seen"] = self.buffers["seen"] + len(x)
        return x * self.params["scale"]

    def backward(self, grad: Any) -> Any:
        self.grads["scale"] = np.array([(grad * self._recall()).sum()])
        return grad * self.params["scale"]

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape


def test_layers_of_a_users_own(tmp_path: Path) -> None:
    net = pc.ConvNet([("scale", OwnScale()), ("fc", pc.Linear(4, 2))], (4,))
    assert net.params["scale.scale"].tolist() == [3]
    assert net.params["scale.scale"].dtype == np.float32
    x = np.random.default_rng(5).standard_normal((6, 4)).astype(np.float32)
    before = net.loss(x, np.zeros(6, int))
    pc.optim.SGD(0.1).update(net.params, net.gradient(x, np.zeros(6, int)))
    assert net.loss(x, np.zeros(6, int)) < before
    assert net.params["scale.scale"] != 3
    assert net.buffers["scale.seen"] == 18
    double = net.astype(np.float64)
    assert double.buffers["scale.seen"] == 18
    np.testing.assert_allclose(double.predict(x), net.predict(x), rtol=1e-5)
    net.save(tmp_path / "net.safetensors")
    again = pc.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


def test_layers_can_be_copied_and_pickled() -> None:
    conv = pc.Conv2d(1, 2, 3)
    x = np.ones((1, 1, 5, 5), np.float32)
    for twin in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        np.testing.assert_array_equal(twin.forward(x), conv.forward(x))
        twin.params["weight"] = np.zeros((2, 1, 3, 3))
        assert conv.params["weight"].any()
        with pytest.raises(ValueError, match="weight has shape"):
            twin.params["weight"] = np.zeros((2, 1, 3, 4))


@pytest.mark.parametrize("misfit", ["fewer channels", "more channels"])
def test_fused_operations_name_what_does_not_fit(misfit: str) -> None:
    weight = MISFITS[misfit].astype(np.float32)

    def fused() -> None:
        pool = block.BlockPool("average", 2, 2, 0)
        described = block.make_conv_block((4, 6, 6), weight.shape, 1, 0, 1, 1, "tanh", pool)
        block.conv_block(_x(), weight, None, described)

    for call in (lambda: F.conv2d(_x(), weight), fused):
        with pytest.raises(ValueError, match=r"x has 4 channels, but weight \(6, ., 3, 3\) takes"):
            call()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_draws() -> None:
    """A thread that draws must not hold a lock that a forked child would wait for."""
    drawing, go_on = threading.Event(), threading.Event()

    class Slow(pc.Linear):
        def draw_params(self, rng: np.random.Generator, auto: Any) -> dict[str, Any]:
            drawing.set()
            go_on.wait(60)
            return super().draw_params(rng, auto)

    thread = threading.Thread(target=lambda: Slow(2, 2).params)
    thread.start()
    drawing.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            found = pc.Linear(2, 2).params["weight"].shape == (2, 2)
            Residual([("fc", pc.Linear(2, 2))]).params  # noqa: B018 (the first access)
            os._exit(0 if found else 1)
        finally:
            os._exit(2)
    go_on.set()
    _, status = os.waitpid(child, 0)
    thread.join()
    assert status == 0


def test_threads_that_look_first_find_the_same_arrays() -> None:
    conv, found = pc.Conv2d(64, 64, 3), []
    barrier = threading.Barrier(8)

    def look() -> None:
        barrier.wait()
        found.append(conv.params["weight"])

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(array is conv.params["weight"] for array in found)
