"""`ConvNet.compile`: the same scores as by definition, from one native call.

Random networks are compared with float64 references by fuzz_networks.py.
"""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn as pc
from pocketcnn import _core
from reference_net import Reference

Array = npt.NDArray[Any]


def small_net(dtype: npt.DTypeLike = np.float32) -> pc.ConvNet:
    """A graph with statistics of its own: normalisations, groups, a residual, a gate, a join."""
    shortcut = [("conv", pc.Conv2d(12, 12, 1, bias=False)), ("norm", pc.BatchNorm2d(12))]
    body = [("conv", pc.Conv2d(12, 12, 3, padding=1, groups=3)), ("norm", pc.BatchNorm2d(12))]
    net = pc.ConvNet(
        [
            ("scale", pc.Normalize((0.5, 0.25, -1.0), (2.0, 1.0, 0.5))),
            ("conv", pc.Conv2d(3, 12, 3, padding=1)),
            ("norm", pc.BatchNorm2d(12)),
            ("relu", pc.ReLU6()),
            ("pool", pc.MaxPool2d(2)),
            ("block", pc.Residual(body, shortcut)),
            ("relu2", pc.ReLU()),
            ("squeeze", pc.GlobalAvgPool2d(), "relu2"),
            ("excite", pc.Conv2d(12, 12, 1)),
            ("gate", pc.HardSigmoid()),
            ("gated", pc.Multiply(), ["relu2", "gate"]),
            ("join", pc.Concat(), ["gated", "pool"]),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(24 * 36, 4)),
        ],
        input_shape=(3, 12, 12),
        seed=3,
        dtype=dtype,
    )
    rng = np.random.default_rng(4)
    for name, array in {**net.params, **net.buffers}.items():
        if "norm" in name:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    return net


def images(n: int, shape: tuple[int, ...] = (3, 12, 12)) -> Array:
    return np.random.default_rng(n).standard_normal((n, *shape))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_scores_are_those_of_the_definition(dtype: npt.DTypeLike, tolerance: float, n: int) -> None:
    net, x = small_net(dtype), images(n).astype(dtype)
    wanted = Reference(net.layers, net.inputs, {**net.params, **net.buffers}).forward(x)
    scale = np.abs(wanted).max()
    for compiled in (net.compile(), net.compile(n), net.compile(batch_size=4)):
        for scores in (compiled(x), compiled.predict(x), compiled.predict(x, batch_size=3)):
            assert scores.dtype == dtype
            np.testing.assert_allclose(scores / scale, wanted / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "name", ["simple_convnet", "lenet5", "deep_convnet", "compact_resnet", "alexnet", "vgg16",
             "resnet18", "resnet50", "mobilenet_v2", "efficientnet_lite0", "unet"]
)  # fmt: skip
def test_named_networks(name: str) -> None:
    """As the layers one by one have it, which have tests of their own."""
    sizes = {"alexnet": (3, 67, 67), "vgg16": (3, 32, 32), "unet": (1, 16, 16)}
    mnist = name in ("simple_convnet", "lenet5", "deep_convnet")
    shape = (1, 28, 28) if mnist else sizes.get(name, (3, 40, 40))
    net = getattr(pc.models, name)(input_shape=shape)
    rng = np.random.default_rng(7)
    for key, array in net.buffers.items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) * (1 if "var" in key else 0.1)
    x = images(3, shape).astype(np.float32)
    wanted = list(net.astype(np.float64).activations(x).values())[-1]
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(net.compile()(x) / scale, wanted / scale, rtol=0, atol=2e-5)


def mobile_net(dtype: npt.DTypeLike) -> pc.ConvNet:
    """1x1 and depthwise convolutions, and what lies between them in networks for small machines."""

    def conv(name: str, layer: pc.Conv2d, source: str, *after: Any) -> list[Any]:
        norm = (f"{name}_norm", pc.BatchNorm2d(layer.out_channels))
        return [(name, layer, source), norm, *after]

    def depthwise(channels: int, kernel: int, stride: int = 1) -> pc.Conv2d:
        return pc.Conv2d(
            channels, channels, kernel, stride=stride, padding=kernel // 2, groups=channels
        )

    net = pc.ConvNet(
        [
            *conv("stem", pc.Conv2d(3, 10, 3, padding=1), "input", ("r1", pc.ReLU6())),
            *conv("deep1", depthwise(10, 3), "r1", ("r2", pc.ReLU6())),
            *conv("thin1", pc.Conv2d(10, 12, 1), "r2"),
            *conv("wide2", pc.Conv2d(12, 70, 1), "thin1_norm", ("r3", pc.SiLU())),
            *conv("deep2", depthwise(70, 5), "r3", ("r4", pc.SiLU())),
            ("squeeze", pc.GlobalAvgPool2d(), "r4"),
            ("excite", pc.Conv2d(70, 70, 1)),
            ("gate", pc.HardSigmoid()),
            ("gated", pc.Multiply(), ["gate", "r4"]),
            *conv("thin2", pc.Conv2d(70, 12, 1), "gated"),
            ("sum2", pc.Add(), ["thin1_norm", "thin2_norm"]),
            ("r5", pc.HardSwish()),
            *conv("wide3", pc.Conv2d(12, 70, 1), "r5", ("r6", pc.LeakyReLU(0.1))),
            *conv("deep3", depthwise(70, 3), "r6", ("r7", pc.ReLU())),
            *conv("thin3", pc.Conv2d(70, 12, 1), "r7"),
            ("sum3", pc.Add(), ["thin3_norm", "r5"]),
            ("r8", pc.ReLU()),
            ("twice", pc.Add(), ["r8", "r8"]),
            ("side", pc.MaxPool2d(2), "r8"),
            *conv("wide4", pc.Conv2d(12, 90, 1), "twice", ("r9", pc.ReLU6())),
            *conv("deep4", depthwise(90, 3, 2), "r9", ("r10", pc.ReLU6())),
            *conv("thin4", pc.Conv2d(90, 20, 1), "r10"),
            ("join", pc.Concat(), ["thin4_norm", "side"]),
            ("out", pc.Conv2d(32, 5, 1)),
        ],
        input_shape=(3, 20, 22),
        seed=6,
        dtype=dtype,
    )
    rng = np.random.default_rng(8)
    for name, array in {**net.params, **net.buffers}.items():
        if "norm" in name:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    return net


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_mobile_blocks(dtype: npt.DTypeLike, tolerance: float, n: int) -> None:
    net, x = mobile_net(dtype), images(n, (3, 20, 22)).astype(dtype)
    wanted = Reference(net.layers, net.inputs, {**net.params, **net.buffers}).forward(x)
    scale = np.abs(wanted).max()
    compiled = net.compile()
    scores = []
    for threads in (1, 2, 3):
        with pc.num_threads(threads):
            scores.append(compiled(x))
    np.testing.assert_allclose(scores[0] / scale, wanted / scale, rtol=0, atol=tolerance)
    assert {array.tobytes() for array in scores} == {scores[0].tobytes()}


@pytest.mark.parametrize("mean", [(0.0, 0.0), (127.0, -3.0), (1e5, 1e5)])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("norm", [False, True])
def test_units_of_the_images(
    mean: tuple[float, float], padding: int, groups: int, norm: bool
) -> None:
    """`Normalize` before a convolution: zeros around the image stand for means, digits stay."""
    rng = np.random.default_rng(11)
    after = [("norm", pc.BatchNorm2d(4))] if norm else []
    net = pc.ConvNet(
        [
            ("units", pc.Normalize(mean, (60.0, 2.0))),
            ("conv", pc.Conv2d(2, 4, 3, padding=padding, groups=groups)),
            *after,
            ("relu", pc.ReLU()),
        ],
        input_shape=(2, 9, 8),
        seed=5,
    )
    for name, array in {**net.params, **net.buffers}.items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) * (rng.integers(0, 2, array.shape) * 2 - 1)
        if "var" in name:
            np.abs(array, out=array)
    units = rng.uniform(-2, 2, (5, 2, 9, 8))
    pixels = units * np.array([60.0, 2.0]).reshape(2, 1, 1) + np.reshape(mean, (2, 1, 1))
    x = pixels.astype(np.float32)
    wanted = Reference(net.layers, net.inputs, {**net.params, **net.buffers}).forward(
        x.astype(np.float64)
    )
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(net.compile()(x) / scale, wanted / scale, rtol=0, atol=2e-6)


def rounded_to_8_bits(x: Array) -> Array:
    fraction, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.round(fraction * 256) / 256, exponent)


@pytest.mark.parametrize("n", [1, 3, 40])
def test_weights_of_16_bits(n: int) -> None:
    """Large fully connected layers have their weights rounded; smaller ones do not."""
    layers = [("fc1", pc.Linear(2000, 700)), ("relu", pc.ReLU()), ("fc2", pc.Linear(700, 5))]
    net = pc.ConvNet(layers, input_shape=(2000,), seed=1)
    net.params["fc1.bias"][...] = np.linspace(-1, 1, 700)
    x = images(n, (2000,)).astype(np.float32)
    w1 = rounded_to_8_bits(net.params["fc1.weight"])
    assert np.abs(w1 / net.params["fc1.weight"] - 1).max() > 0.003
    hidden = np.maximum(x.astype(np.float64) @ w1.T + net.params["fc1.bias"], 0)
    wanted = hidden @ net.params["fc2.weight"].T.astype(np.float64) + net.params["fc2.bias"]
    scale = np.abs(wanted).max()
    compiled = net.compile(storage="bfloat16")
    np.testing.assert_allclose(compiled(x) / scale, wanted / scale, rtol=0, atol=2e-6)
    assert np.abs(net.compile()(x) - wanted).max() / scale > 1e-4
    scores = set()
    for threads in (1, 2, 3):
        with pc.num_threads(threads):
            scores.add(compiled(x).tobytes())
    assert len(scores) == 1


def test_weights_of_16_bits_are_the_nearest() -> None:
    """Ties go to even, infinities and NaN stay, what is too large becomes infinite."""
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8], np.float32)
    odd = np.array([np.inf, -np.inf, 3.4e38, 2.0**-132, -0.0], np.float32)
    net = pc.ConvNet([("fc", pc.Linear(1024, 1024, bias=False))], input_shape=(1024,), seed=0)
    weight = net.params["fc.weight"]
    weight[...] = 0
    weight[:3, 0] = ties
    weight[3:8, 0] = odd
    weight[8, 0] = np.nan
    x = np.zeros((1, 1024), np.float32)
    x[0, 0] = 1
    scores = net.compile(storage="bfloat16")(x)[0]
    np.testing.assert_array_equal(scores[:3], [1, 1 + 2**-6, -1])
    np.testing.assert_array_equal(scores[3:6], [np.inf, -np.inf, np.inf])
    assert scores[6] == 2.0**-132  # not a normal number, but exact
    assert np.isnan(scores[8])
    assert not scores[9:].any()


def test_bad_storage() -> None:
    with pytest.raises(ValueError, match="storage is 'float16', but must be None or 'bfloat16'"):
        small_net().compile(storage="float16")
    with pytest.raises(ValueError, match="storage is 'bfloat16', but the network is of float64"):
        small_net(np.float64).compile(storage="bfloat16")


def test_later_changes_do_not_reach_it() -> None:
    net, x = small_net(), images(2)
    compiled = net.compile()
    before = compiled(x)
    for array in {**net.params, **net.buffers}.values():
        array[...] = 0
    net.replace_head(2)
    net.classes = ["a", "b"]
    assert compiled(x).tobytes() == before.tobytes()
    assert compiled.classes is None


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("n", [1, 8, 33])
def test_same_bits_for_any_number_of_threads(n: int) -> None:
    compiled, x = pc.models.compact_resnet().compile(), images(n, (3, 32, 32))
    scores = []
    for threads in (1, 2, 3):
        with pc.num_threads(threads):
            scores.append(compiled(x).tobytes())
    assert scores[1:] == scores[:-1]


def test_many_threads_use_one_at_once() -> None:
    """Each call has memory of its own, also the first, which may make weights ready."""
    net = pc.models.deep_convnet()
    x = images(16, (1, 28, 28)).astype(np.float32)
    for _ in range(5):
        compiled = net.compile()
        alone = [net.compile()(x[: i + 1]).tobytes() for i in range(16)]
        with ThreadPoolExecutor(8) as pool:
            parts = [x[: i % 16 + 1] for i in range(64)]
            together = [scores.tobytes() for scores in pool.map(compiled, parts)]
        assert together == alone * 4


def test_what_it_knows_of_the_network() -> None:
    net = small_net(np.float64)
    net.classes = ["one", "two", "three", "four"]
    net.preprocessing = pc.Preprocessing(scale="raw", resize="crop")
    compiled = net.compile()
    assert compiled.input_shape == (3, 12, 12)
    assert compiled.output_shape == (4,)
    assert compiled.dtype == np.float64
    assert compiled.classes == net.classes
    assert compiled.preprocessing == net.preprocessing
    assert repr(compiled) == (
        "CompiledNet(input_shape=(3, 12, 12), output_shape=(4,), dtype=float64)"
    )


def test_input_of_any_kind() -> None:
    compiled = small_net().compile()
    x = (images(4) * 10).astype(np.uint8)
    wanted = compiled(x.astype(np.float32)).tobytes()
    for given in (x, x.tolist(), np.asfortranarray(x), x.astype(">f8"), x.astype(np.float16)):
        assert compiled(given).tobytes() == wanted
    assert compiled(x[:0]).shape == (0, 4)
    assert not np.shares_memory(*[compiled(x) for _ in range(2)])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 3, 12, 11)), ValueError, r"x has shape \(2, 3, 12, 11\)"),
        (np.zeros((3, 12, 12)), ValueError, r"x has shape \(3, 12, 12\)"),
        (np.array("images"), TypeError, "x has dtype"),
    ],
)
def test_bad_input(x: Array, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small_net().compile()(x)


@pytest.mark.parametrize("bad", [0, -1])
def test_bad_batch_sizes(bad: int) -> None:
    net = small_net()
    with pytest.raises(ValueError, match=f"batch_size is {bad}"):
        net.compile(bad)
    with pytest.raises(ValueError, match=f"batch_size is {bad}"):
        net.compile().predict(images(1), bad)


def test_a_layer_of_the_users_own_is_refused() -> None:
    class OfOnesOwn(pc.layers.Layer):
        def forward(self, x: Array, training: bool = False) -> Array:
            return 2 * x

        def backward(self, grad: Array) -> Array:
            return 2 * grad

        def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
            return input_shape

    net = pc.ConvNet([("flat", pc.Flatten()), ("twice", OfOnesOwn())], input_shape=(1, 2, 2))
    with pytest.raises(ValueError, match="layer 'twice' is of the class 'OfOnesOwn'"):
        net.compile()


def test_it_is_neither_pickled_nor_copied() -> None:
    compiled = small_net().compile()
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="compile the network again"):
            attempt(compiled)


def test_the_native_session_trusts_nobody() -> None:
    architecture = {
        "input_shape": [4],
        "dtype": "float32",
        "layers": [
            {"name": "fc", "kind": "Linear", "config": {"in_features": 4, "out_features": 2}}
        ],
    }
    weight, bias = np.ones((2, 4), np.float32), np.zeros(2, np.float32)
    whole = {"fc.weight": weight, "fc.bias": bias}
    session = _core.Session(architecture, whole, narrow=False)
    assert session.predict(np.ones((3, 4), np.float32), 0).tolist() == [[4.0, 4.0]] * 3
    with pytest.raises(ValueError, match=r"x has shape \(3, 5\)"):
        session.predict(np.ones((3, 5), np.float32), 0)
    with pytest.raises(ValueError, match="batch_size is -1"):
        session.predict(np.ones((3, 4), np.float32), -1)
    with pytest.raises(TypeError):
        session.predict(np.ones((3, 4)), 0)
    with pytest.raises(ValueError, match="missing"):
        _core.Session(architecture, {"fc.weight": weight}, narrow=False)
    with pytest.raises(ValueError, match="no layer has the tensor 'other'"):
        _core.Session(architecture, {**whole, "other": bias}, narrow=False)
    with pytest.raises(ValueError, match="has shape"):
        _core.Session(architecture, {**whole, "fc.bias": weight}, narrow=False)
    with pytest.raises(TypeError, match="float32 and float64"):
        _core.Session(architecture, {**whole, "fc.bias": np.zeros(2)}, narrow=False)
    with pytest.raises(ValueError, match="dtype is 'float16'"):
        _core.Session({**architecture, "dtype": "float16"}, whole, narrow=False)
