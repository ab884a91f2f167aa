"""`Normalize` in front of a convolution, which does it while it reads its images.

The reference of values is naive NumPy in float64; bits are those of one layer after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn as pc
from pocketcnn.functional import conv2d_plan
from pocketcnn.layers import Layer
from pocketcnn.network.depthwise import DepthwiseStage
from pocketcnn.network.fusion import fuse
from pocketcnn.network.stages import ConvStage, LayerStage, Stage, Untrained
from reference_net import Reference

Array = npt.NDArray[Any]

# Settings of the convolution, channels, height, width.
WINDOWS: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "one channel": ({"kernel_size": 5}, (1, 28, 28)),
    "two channels": ({"kernel_size": 3, "padding": 1}, (2, 13, 17)),
    "strided": ({"kernel_size": 3, "stride": 2, "padding": 1}, (3, 33, 32)),
    "large kernel": ({"kernel_size": 7, "stride": 2, "padding": 3}, (3, 37, 35)),
    "four channels": ({"kernel_size": 11, "stride": 4, "padding": 2}, (4, 39, 41)),
    "asymmetric": (
        {"kernel_size": (4, 3), "padding": ((3, 0), (1, 2)), "stride": (1, 2)},
        (3, 9, 40),
    ),
    "dilated": ({"kernel_size": 3, "padding": 4, "dilation": (2, 3)}, (3, 20, 19)),
    "groups": ({"kernel_size": 3, "padding": 1, "groups": 2}, (4, 12, 15)),
    "depthwise": ({"kernel_size": 3, "padding": 1, "groups": 12}, (12, 20, 21)),
    "one pixel": ({"kernel_size": 1}, (3, 12, 14)),
    "tiles": ({"kernel_size": 3, "padding": 1}, (16, 18, 18)),
}
DEVIATIONS = [0.0, 1.0, 100.0]


def units(channels: int, deviations: float) -> pc.Normalize:
    """Means of so many deviations, of either sign, with deviations of their own."""
    rng = np.random.default_rng(channels)
    std = rng.uniform(0.2, 60, channels)
    return pc.Normalize(std * deviations * rng.choice([-1, 1], channels), std)


def pixels(layer: pc.Normalize, n: int, size: tuple[int, int], dtype: npt.DTypeLike) -> Array:
    x = np.random.default_rng(n).uniform(-2, 2, (n, len(layer.mean), *size))
    mean, std = (np.reshape(a, (-1, 1, 1)) for a in (layer.mean, layer.std))
    return (x * std + mean).astype(dtype)


def drawn(net: pc.ConvNet) -> pc.ConvNet:
    rng = np.random.default_rng(6)
    for name, array in {**net.params, **net.buffers}.items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1, 1], array.shape)
        if "var" in name:
            np.abs(array, out=array)
    return net


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("deviations", DEVIATIONS)
@pytest.mark.parametrize("window", WINDOWS)
def test_inference(window: str, deviations: float, norm: bool, dtype: Any) -> None:
    settings, (channels, *size) = WINDOWS[window]
    first = units(channels, deviations)
    conv = pc.Conv2d(channels, 12, **settings)
    between = [("norm", pc.BatchNorm2d(12))] if norm else []
    layers = [("units", first), ("conv", conv), *between, ("relu", pc.ReLU())]
    net = drawn(pc.ConvNet(layers, input_shape=(channels, *size), dtype=dtype))
    assert [type(stage) for stage in net._flow.stages] == [ConvStage]
    compiled = net.compile()
    for n in (1, 9):
        x = pixels(first, n, (size[0], size[1]), dtype)
        by_layer = x
        for layer in net.layers.values():
            by_layer = layer.forward(by_layer)
        scores = net.predict(x)
        assert scores.tobytes() == by_layer.tobytes()
        assert net.forward(x).tobytes() == by_layer.tobytes()

        wanted = Reference(net.layers, net.inputs, {**net.params, **net.buffers}).forward(
            x.astype(np.float64)
        )
        terms = conv.param_shapes["weight"][1:]
        bound = 8 * np.finfo(dtype).eps * np.sqrt(np.prod(terms)) * np.abs(wanted).max()
        np.testing.assert_allclose(scores, wanted, rtol=0, atol=bound)
        by_threads = set()
        for threads in (1, 2, 3):
            with pc.num_threads(threads):
                assert net.predict(x).tobytes() == scores.tobytes()
                by_threads.add(compiled(x).tobytes())
        assert len(by_threads) == 1
        np.testing.assert_allclose(compiled(x), wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("window", ["strided", "large kernel", "asymmetric", "one channel"])
def test_a_compiled_network_has_the_bits_of_its_layers(window: str) -> None:
    """Where nothing is folded into weights, and images stay planes."""
    settings, (channels, *size) = WINDOWS[window]
    first = units(channels, 100)
    layers = [("units", first), ("conv", pc.Conv2d(channels, 32, **settings)), ("relu", pc.ReLU())]
    net = drawn(pc.ConvNet(layers, input_shape=(channels, *size)))
    for n in (1, 9):
        x = pixels(first, n, (size[0], size[1]), np.float32)
        assert net.compile()(x).tobytes() == net.predict(x).tobytes()


def test_ways_that_normalise_and_ways_that_do_not() -> None:
    """The cases above meet both."""
    names = set()
    for settings, (channels, *size) in WINDOWS.values():
        weight = pc.Conv2d(channels, 12, **settings).param_shapes["weight"]
        rest = {key: value for key, value in settings.items() if key != "kernel_size"}
        names.add(conv2d_plan((9, channels, *size), weight, **rest).forward.algorithm)
    assert names >= {"direct", "im2col", "depthwise", "winograd"}


def chains() -> list[list[Layer]]:
    """What follows the `Normalize`: blocks that train as one operation, and some that do not."""
    conv = {"kernel_size": 3, "padding": 1}
    return [
        [pc.Conv2d(3, 6, **conv), pc.ReLU(), pc.MaxPool2d(2)],
        [pc.Conv2d(3, 6, **conv), pc.BatchNorm2d(6), pc.ReLU6()],
        [pc.Conv2d(3, 6, **conv), pc.SiLU()],
        [
            *(pc.Conv2d(3, 6, **conv), pc.BatchNorm2d(6), pc.ReLU()),
            *(pc.Conv2d(6, 6, groups=6, **conv), pc.BatchNorm2d(6), pc.ReLU()),
        ],
    ]


@pytest.mark.parametrize("chain", range(4))
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("input_grad", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_have_the_bits_of_two_stages(
    chain: int, training: bool, input_grad: bool, dtype: Any
) -> None:
    first = units(3, 3)
    x = pixels(first, 9, (10, 12), dtype)
    found = []
    for together in (True, False):
        layers: dict[str, Layer] = {"units": first}
        layers |= {str(i): layer for i, layer in enumerate(chains()[chain])}
        shapes = [(3, 10, 12)]
        for layer in layers.values():
            layer.initialize(np.random.default_rng(8), dtype=dtype)
            shapes.append(layer.output_shape(shapes[-1]))
        layers["0"].needs_input_grad = input_grad
        stages: list[Stage] = []
        if not together:
            stages.append(LayerStage(layers.pop("units")))
            del shapes[0]
        stages += fuse(layers, shapes[:-1])[0]
        kind = DepthwiseStage if len(layers) > 6 - (not together) else ConvStage
        assert [type(stage) for stage in stages[-1:]] == [kind]
        assert len(stages) == (1 if together else 2)
        out: Any = x
        for stage in stages:
            out = stage.forward(out, training)
        grad: Any = np.random.default_rng(9).standard_normal(out.shape).astype(dtype)
        for stage in reversed(stages):
            grad = None if grad is None else stage.backward(grad)
            stage.clear()
        assert (grad is not None) == input_grad
        gradients = [a for layer in layers.values() for a in layer.grads.values()]
        found.append([a.tobytes() for a in (out, *gradients, *[grad] * input_grad)])
    assert found[0] == found[1]


def test_between_two_blocks() -> None:
    """The second block's gradient does nothing for a ReLU that is not right in front of it."""
    layers = [
        ("conv1", pc.Conv2d(2, 3, 3, padding=1)),
        ("relu1", pc.ReLU()),
        ("units", units(3, 1)),
        ("conv2", pc.Conv2d(3, 4, 3, padding=1)),
        ("relu2", pc.ReLU()),
    ]
    net = drawn(pc.ConvNet(layers, input_shape=(2, 9, 8), dtype=np.float64))
    assert [type(stage) for stage in net._flow.stages] == [ConvStage, ConvStage]
    x = np.random.default_rng(1).standard_normal((5, 2, 9, 8))
    out = net.forward(x, training=True)
    grad = np.random.default_rng(2).standard_normal(out.shape)
    net.backward(grad)
    fused = {name: array.copy() for name, array in net.grads.items()}
    by_layer: Any = x
    for layer in net.layers.values():
        by_layer = layer.forward(by_layer, True)
    for layer in reversed(net.layers.values()):
        grad = layer.backward(grad)
    np.testing.assert_allclose(out, by_layer, rtol=0, atol=1e-12 * np.abs(out).max())
    for name, array in net.grads.items():
        np.testing.assert_allclose(fused[name], array, rtol=0, atol=1e-12 * np.abs(array).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_readers(dtype: Any) -> None:
    """Nothing is fused with what another layer reads too."""
    layers: list[Any] = [
        ("units", units(2, 5)),
        ("conv", pc.Conv2d(2, 4, 3, padding=1)),
        ("relu", pc.ReLU()),
        ("join", pc.Concat(), ["relu", "units"]),
    ]
    net = drawn(pc.ConvNet(layers, input_shape=(2, 9, 8), dtype=dtype))
    assert [type(stage) for stage in net._flow.stages] == [Untrained, ConvStage, LayerStage]
    x = pixels(layers[0][1], 3, (9, 8), dtype)
    between = net.layers["units"].forward(x)
    block = net.layers["relu"].forward(net.layers["conv"].forward(between))
    wanted = np.concatenate([block, between], axis=1)
    assert net.predict(x).tobytes() == wanted.tobytes()
    np.testing.assert_allclose(net.compile()(x), wanted, rtol=1e-5, atol=1e-5)


def test_what_is_not_finite_passes() -> None:
    first = units(3, 1)
    layers = [("units", first), ("conv", pc.Conv2d(3, 8, 3, padding=1)), ("relu", pc.ReLU())]
    net = drawn(pc.ConvNet(layers, input_shape=(3, 16, 17)))
    x = pixels(first, 2, (16, 17), np.float32)
    x[0, 1, 3, 4], x[1, 0, 9, 9], x[1, 2, 15, 16] = np.nan, np.inf, -np.inf
    by_layer = x
    for layer in net.layers.values():
        by_layer = layer.forward(by_layer)
    assert np.isnan(by_layer).any()
    assert np.isfinite(by_layer).any()
    np.testing.assert_array_equal(net.predict(x), by_layer)
    np.testing.assert_array_equal(net.compile()(x), by_layer)


def test_pixels_of_8_bits() -> None:
    """They count as numbers of the network's type."""
    first = pc.Normalize((127.5,) * 3, (60.0,) * 3)
    layers = [("units", first), ("conv", pc.Conv2d(3, 8, 3, padding=1)), ("relu", pc.ReLU())]
    net = drawn(pc.ConvNet(layers, input_shape=(3, 16, 17)))
    x = np.random.default_rng(3).integers(0, 256, (4, 3, 16, 17), np.uint8)
    assert net.predict(x).tobytes() == net.predict(x.astype(np.float32)).tobytes()
    assert net.compile()(x).tobytes() == net.predict(x).tobytes()


def test_the_summary_tells() -> None:
    layers = [("units", units(1, 1)), ("conv", pc.Conv2d(1, 2, 3)), ("relu", pc.ReLU())]
    notes = pc.ConvNet(layers, input_shape=(1, 6, 6))._fusion_notes
    assert notes == {"conv": "fused with units", "relu": "fused with units"}
