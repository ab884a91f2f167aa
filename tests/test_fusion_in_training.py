"""What training computes as one operation: depthwise convolutions between normalisations, sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import _core
from pocketcnn.layers import Layer
from pocketcnn.network.depthwise import DepthwiseStage
from pocketcnn.network.fusion import fuse
from pocketcnn.network.residual import FusedResidual
from pocketcnn.network.stages import ConvStage
from reference_net import Reference

SEED = 11
IMAGE = (5, 7, 6)


def _normalised(channels: int, filters: int, activation: Layer | None, **conv: Any) -> list[Layer]:
    layers: list[Layer] = [pc.Conv2d(channels, filters, **conv), pc.BatchNorm2d(filters, eps=1e-3)]
    return layers if activation is None else [*layers, activation]


def _inverted(inner: Layer | None, outer: Layer | None, **depthwise: Any) -> list[Layer]:
    """1x1 to 20 channels, depthwise, 1x1, each normalised."""
    return [
        *_normalised(5, 20, inner, kernel_size=1, bias=False),
        *_normalised(20, 20, outer, groups=20, **depthwise),
        *_normalised(20, 5, None, kernel_size=1),
    ]


def _bottleneck(inner: Layer | None, outer: Layer | None) -> list[Layer]:
    """1x1, 3x3 and 1x1, each normalised: the middle convolutions take what another one does."""
    return [
        *_normalised(5, 8, inner, kernel_size=1, bias=False),
        *_normalised(8, 6, outer, **THREE),
        *_normalised(6, 5, None, kernel_size=1),
    ]


THREE = {"kernel_size": 3, "padding": 1}
NETS: dict[str, Callable[[], list[Layer]]] = {
    "relu6": lambda: _inverted(pc.ReLU6(), pc.ReLU6(), **THREE, bias=False),
    "relu": lambda: _inverted(pc.ReLU(), pc.ReLU(), **THREE),
    "bare": lambda: _inverted(None, None, **THREE),
    "mixed": lambda: _inverted(pc.ReLU(), None, kernel_size=5, padding=2),
    "strided": lambda: _inverted(pc.ReLU6(), pc.ReLU(), **THREE, stride=2),
    "dilated": lambda: _inverted(pc.ReLU(), pc.ReLU(), kernel_size=3, dilation=2, bias=False),
    "residual": lambda: [pc.Residual(_inverted(pc.ReLU6(), pc.ReLU6(), **THREE))],
    "rectified": lambda: [pc.Residual(_inverted(pc.ReLU(), pc.ReLU(), **THREE)), pc.ReLU()],
    "bottleneck": lambda: _bottleneck(pc.ReLU(), pc.ReLU6()),
    "bare bottleneck": lambda: _bottleneck(None, None),
    "residual bottleneck": lambda: [pc.Residual(_bottleneck(pc.ReLU(), pc.ReLU())), pc.ReLU()],
    "residuals": lambda: [
        pc.Residual(_bottleneck(pc.ReLU(), pc.ReLU())),
        pc.ReLU(),
        pc.Residual(_normalised(5, 7, None, **THREE), _normalised(5, 7, None, kernel_size=1)),
        pc.ReLU(),
        pc.Residual(_normalised(7, 7, None, kernel_size=1)),
        pc.Residual(_normalised(7, 7, None, kernel_size=1)),
        pc.ReLU(),
    ],
    "behind others": lambda: [
        *_normalised(5, 5, pc.ReLU(), **THREE),
        *_inverted(pc.ReLU(), pc.ReLU(), **THREE),
    ],
    "projected": lambda: [
        pc.Residual(
            _normalised(5, 7, None, **THREE, stride=2),
            _normalised(5, 7, None, kernel_size=1, stride=2, bias=False),
        ),
        pc.ReLU(),
    ],
}


def _network(layers: list[Layer], dtype: Any) -> pc.ConvNet:
    """A network with random parameters and running means."""
    net = pc.ConvNet(_named([*layers, pc.Flatten(), pc.Linear(_features(layers), 3)]), IMAGE)
    if dtype == np.float64:
        net = net.astype(dtype)
    rng = np.random.default_rng(SEED)
    for name, array in {**net.params, **net.buffers}.items():
        if not name.endswith("weight") or array.ndim == 1:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    return net


def _named(layers: list[Layer]) -> list[tuple[str, Layer]]:
    return [(f"layer{i}", layer) for i, layer in enumerate(layers)]


def _features(layers: list[Layer]) -> int:
    shape: tuple[int, ...] = IMAGE
    for layer in layers:
        shape = layer.output_shape(shape)
    return int(np.prod(shape))


def _gradients(net: pc.ConvNet, x: Any, grad: Any) -> dict[str, Any]:
    """The output in training, all gradients and running statistics."""
    out = net.forward(x, training=True)
    net.backward(grad)
    return {"out": out, **net.grads, **net.buffers}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETS)
def test_gradients_are_those_of_the_definitions(name: str, dtype: Any) -> None:
    net = _network(NETS[name](), dtype)
    state = {key: a.copy() for key, a in {**net.params, **net.buffers}.items()}
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((4, *IMAGE)).astype(dtype)
    grad = rng.standard_normal((4, 3)).astype(dtype)
    found = _gradients(net, x, grad)
    reference = Reference(net.layers, net.inputs, state)
    wanted = {"out": reference.forward(x, {})}
    reference.backward(grad)
    wanted |= {**reference.grads, **{key: reference.state[key] for key in net.buffers}}
    assert found.keys() == wanted.keys()
    # A value that single precision puts on the other side of a kink would change the gradient.
    assert reference.margin > 100 * np.finfo(dtype).eps, f"seed {SEED}"
    # Biases in front of a normalisation have gradients whose terms cancel.
    largest = max(float(np.abs(array).max()) for array in reference.grads.values())
    for key, array in found.items():
        scale = largest if key.endswith("bias") else float(np.abs(wanted[key]).max())
        error = float(np.abs(array - wanted[key]).max()) / scale
        assert error < 2000 * np.finfo(dtype).eps, (key, error)


def _chain(name: str) -> tuple[dict[str, Layer], list[Any]]:
    layers = dict(_named(NETS[name]()))
    shapes: list[Any] = [IMAGE]
    for layer in layers.values():
        layer.initialize(np.random.default_rng(SEED))
        shapes.append(layer.output_shape(shapes[-1]))
    return layers, shapes


JOINED = ("relu6", "relu", "bare", "mixed", "strided", "dilated")
KINDS: dict[str, list[type]] = {
    **{name: [DepthwiseStage, ConvStage] for name in JOINED},
    "bottleneck": [ConvStage] * 3,
    "bare bottleneck": [ConvStage] * 3,
    "residuals": [FusedResidual] * 4,
    "behind others": [ConvStage, DepthwiseStage, ConvStage],
}


@pytest.mark.parametrize("name", KINDS)
def test_the_bits_are_those_of_the_layers(name: str) -> None:
    layers, shapes = _chain(name)
    stages, _ = fuse(layers, shapes[:-1])
    assert [type(stage) for stage in stages] == KINDS[name]
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((4, *IMAGE)).astype(np.float32)
    grad = rng.standard_normal((4, *shapes[-1])).astype(np.float32)
    results = []
    alone: list[Any] = [*layers.values()]
    for steps in ([*stages], alone):
        for layer in layers.values():
            layer.initialize(np.random.default_rng(SEED))
        out, flowing = x, grad
        for step in steps:
            out = step.forward(out, True)
        for step in reversed(steps):
            flowing = step.backward(flowing)
        kept = [(*layer.grads.values(), *layer.buffers.values()) for layer in layers.values()]
        results.append([out, flowing, *(a.copy() for arrays in kept for a in arrays)])
    for fused, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(fused, wanted)


def _mebibytes_in_use() -> float:
    return _core.memory_use()[0] / 2**20


def test_what_a_normalisation_can_compute_again_is_not_kept() -> None:
    """Three convolutions' results remain, which the normalisations need, and the output."""
    layers = [
        *_normalised(8, 8, pc.ReLU(), **THREE),
        *_normalised(8, 8, pc.ReLU(), **THREE),
        *_normalised(8, 8, pc.ReLU(), **THREE),
    ]
    net = pc.ConvNet(_named([*layers, pc.GlobalAvgPool2d(), pc.Flatten()]), (8, 64, 64))
    x = np.random.default_rng(SEED).standard_normal((8, 8, 64, 64)).astype(np.float32)
    before = _mebibytes_in_use()
    out = net.forward(x, training=True)
    assert 3 < _mebibytes_in_use() - before < 3.5
    net.backward(np.ones_like(out))
    assert _mebibytes_in_use() - before < 0.5


def test_large_gradients_are_let_go_when_a_step_begins() -> None:
    net = pc.ConvNet([("flatten", pc.Flatten()), ("fc", pc.Linear(3072, 128))], (3, 32, 32))
    trainer = pc.Trainer(net, pc.optim.SGD(1e-5), batch_size=2)
    x, t = np.ones((2, 3, 32, 32), np.float32), np.zeros(2, int)
    trainer.step(x, t)
    first = net.grads["fc.weight"]
    assert first.any()
    before = _mebibytes_in_use()
    net.drop_gradients()
    assert not net.grads["fc.weight"].any()
    assert first.any()
    del first
    assert _mebibytes_in_use() < before - 1
    trainer.step(x, t)
    assert net.grads["fc.weight"].any()


def test_the_bits_do_not_depend_on_threads() -> None:
    net = _network(NETS["rectified"](), np.float32)
    start = {key: a.copy() for key, a in net.buffers.items()}
    x = np.random.default_rng(SEED).standard_normal((64, *IMAGE)).astype(np.float32)
    grad = np.ones((64, 3), np.float32)
    before, results = pc.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            pc.set_num_threads(threads)
            for key, array in net.buffers.items():
                array[...] = start[key]
            results.append({key: a.copy() for key, a in _gradients(net, x, grad).items()})
    finally:
        pc.set_num_threads(before)
    for result in results[1:]:
        for key, array in result.items():
            np.testing.assert_array_equal(array, results[0][key], err_msg=key)


@pytest.mark.parametrize("name", ["relu6", "residual"])
def test_inference_and_its_gradient_are_those_of_the_definitions(name: str) -> None:
    net = _network(NETS[name](), np.float64)
    rng = np.random.default_rng(SEED)
    x, grad = rng.standard_normal((3, *IMAGE)), rng.standard_normal((3, 3))
    reference = Reference(net.layers, net.inputs, {**net.params, **net.buffers})
    np.testing.assert_allclose(net.forward(x), reference.forward(x), rtol=1e-11)
    net.backward(grad)
    reference.backward(grad)
    for key, array in net.grads.items():
        np.testing.assert_allclose(array, reference.grads[key], rtol=1e-9, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("place", [0, 1, 3, 4])
def test_frozen_layers_run_one_by_one(place: int) -> None:
    layers, shapes = _chain("relu")
    layers[f"layer{place}"].frozen = True
    stages, _ = fuse(layers, shapes[:-1])
    assert not any(isinstance(stage, DepthwiseStage) for stage in stages)


def test_only_depthwise_convolutions_join() -> None:
    layers = [
        *_normalised(5, 20, pc.ReLU(), kernel_size=1),
        *_normalised(20, 20, None, kernel_size=1, groups=10),
    ]
    with_pool = [*_normalised(5, 20, pc.ReLU(), kernel_size=1), pc.MaxPool2d(2)]
    with_pool += _normalised(20, 20, None, kernel_size=3, groups=20)
    for chain in (layers, with_pool):
        named = dict(_named(chain))
        shapes: list[Any] = [IMAGE]
        for layer in chain:
            shapes.append(layer.output_shape(shapes[-1]))
        assert [type(stage) for stage in fuse(named, shapes[:-1])[0]] == [ConvStage, ConvStage]


def test_two_values_a_channel_are_needed() -> None:
    layers = _inverted(pc.ReLU(), pc.ReLU(), kernel_size=3)
    net = pc.ConvNet(_named([*layers, pc.Flatten(), pc.Linear(5, 2)]), (5, 3, 3))
    with pytest.raises(ValueError, match="two"):
        net.forward(np.ones((1, 5, 3, 3), np.float32), training=True)


@pytest.mark.parametrize("name", ["relu", "rectified"])
def test_backward_needs_a_forward_and_forgets(name: str) -> None:
    layers, shapes = _chain(name)
    stage = fuse(layers, shapes[:-1])[0][0]
    assert isinstance(stage, (DepthwiseStage, FusedResidual))
    y = stage.forward(np.ones((2, *IMAGE), np.float32), True)
    stage.clear()
    with pytest.raises(RuntimeError, match="forward"):
        stage.backward(np.ones_like(y))
