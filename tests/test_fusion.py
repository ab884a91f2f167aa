"""Fused layers give what the layers give one by one, and a network says what it fused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.layers import Layer
from pocketcnn.network import fusion
from pocketcnn.network.fusion import fuse
from pocketcnn.network.stages import ConvStage, LargeLinear, LayerStage

# Name, settings of the convolution, of the pooling or None, input shape, batch. The batches of 9
# and more are cut into slices that pass through the cache; the others run step by step.
CASES: list[tuple[str, dict[str, Any], dict[str, Any] | None, tuple[int, int, int], int]] = [
    ("book", {"kernel_size": 5}, {"kernel_size": 2}, (1, 28, 28), 20),
    ("one image", {"kernel_size": 3, "padding": 1}, {"kernel_size": 2}, (2, 9, 11), 1),
    ("no pooling", {"kernel_size": 3, "padding": "same"}, None, (3, 10, 9), 17),
    ("overlap", {"kernel_size": 3}, {"kernel_size": 3, "stride": 2, "padding": 1}, (4, 13, 12), 33),
    ("ceil", {"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "ceil_mode": True}, (2, 9, 9), 10),
    ("over", {"kernel_size": 2}, {"kernel_size": 4, "stride": 3, "ceil_mode": True}, (2, 3, 4), 10),
    ("groups", {"kernel_size": 3, "groups": 2}, {"kernel_size": 2}, (4, 12, 12), 12),
    ("stride", {"kernel_size": 3, "stride": 2, "dilation": 2}, None, (2, 15, 14), 9),
    ("no bias", {"kernel_size": 3, "bias": False}, {"kernel_size": 2}, (1, 8, 8), 11),
    ("empty", {"kernel_size": 3}, {"kernel_size": 2}, (1, 8, 8), 0),
    ("dilated across", {"kernel_size": 3, "dilation": (1, 2)}, {"kernel_size": 2}, (1, 28, 28), 9),
    ("dilated down", {"kernel_size": 3, "dilation": (2, 1)}, {"kernel_size": 2}, (2, 14, 13), 3),
    ("strided across", {"kernel_size": 3, "stride": (1, 2)}, {"kernel_size": 2}, (2, 14, 13), 9),
    ("large maps", {"kernel_size": 3, "padding": 1}, {"kernel_size": 2}, (3, 160, 160), 8),
]


def _layers(conv: dict[str, Any], pool: dict[str, Any] | None, channels: int) -> dict[str, Layer]:
    layers: dict[str, Layer] = {"conv": pc.Conv2d(channels, 6, **conv), "relu": pc.ReLU()}
    if pool is not None:
        layers["pool"] = pc.MaxPool2d(**pool)
    return layers


def _assert_close(actual: Any, wanted: Any, dtype: Any, terms: int, scale: float) -> None:
    """Sums of `terms` products of up to `scale`, added in another order: 8 u sqrt(terms) scale."""
    bound = 8 * float(np.finfo(dtype).eps) * np.sqrt(terms) * scale
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_fused_layers_equal_the_layers_one_by_one(case: Any, dtype: Any) -> None:
    _, conv_settings, pool_settings, shape, n = case
    rng = np.random.default_rng(7)
    layers = _layers(conv_settings, pool_settings, shape[0])
    for layer in layers.values():
        layer.initialize(np.random.default_rng(1), dtype=dtype)
    shapes = [shape]
    for layer in layers.values():
        shapes.append(layer.output_shape(shapes[-1]))
    stages, _ = fuse(layers, shapes[:-1])
    assert len(stages) == 1
    x = rng.standard_normal((n, *shape)).astype(dtype)
    grad = rng.standard_normal((n, *shapes[-1])).astype(dtype)

    fused = stages[0].forward(x, True)
    fused_dx = stages[0].backward(grad)
    conv = layers["conv"]
    fused_grads = {key: array.copy() for key, array in conv.grads.items()}

    wanted, flowing = x, grad
    for layer in layers.values():
        wanted = layer.forward(wanted, True)
    for layer in reversed(layers.values()):
        flowing = layer.backward(flowing)

    taps = conv.params["weight"][0].size
    _assert_close(fused, wanted, dtype, taps, 4.0)
    _assert_close(fused_dx, flowing, dtype, 6 * taps, 6.0)
    pixels = max(1, n * int(np.prod(layers["relu"].output_shape(shapes[1])[1:])))
    for key, array in conv.grads.items():
        _assert_close(fused_grads[key], array, dtype, pixels, 8.0)


# Name, what follows the convolution, the shape of the input, the batch.
NORMALIZED: list[tuple[str, list[Layer], tuple[int, int, int], int]] = [
    ("norm", [pc.BatchNorm2d(6)], (3, 9, 10), 4),
    ("rectified", [pc.BatchNorm2d(6), pc.ReLU()], (3, 9, 10), 20),
    ("pooled", [pc.BatchNorm2d(6), pc.ReLU(), pc.MaxPool2d(2)], (3, 9, 10), 20),
    ("averaged", [pc.BatchNorm2d(6), pc.ReLU(), pc.AvgPool2d(3, 2, 1)], (3, 9, 10), 20),
    ("tanh", [pc.BatchNorm2d(6), pc.Tanh()], (3, 9, 10), 20),
    ("pooled tanh", [pc.BatchNorm2d(6), pc.Tanh(), pc.MaxPool2d(3, 2)], (3, 9, 10), 9),
    ("averaged sigmoid", [pc.BatchNorm2d(6), pc.Sigmoid(), pc.AvgPool2d(2)], (3, 9, 10), 3),
    ("clipped", [pc.BatchNorm2d(6), pc.ReLU6()], (3, 9, 10), 20),
    ("leaking", [pc.BatchNorm2d(6), pc.LeakyReLU(0.2), pc.MaxPool2d(2)], (3, 9, 10), 20),
    ("gated", [pc.BatchNorm2d(6), pc.SiLU()], (3, 9, 10), 20),
    ("pooled gate", [pc.BatchNorm2d(6), pc.HardSwish(), pc.MaxPool2d(2)], (3, 9, 10), 9),
    ("averaged gate", [pc.BatchNorm2d(6), pc.GELU(), pc.AvgPool2d(2)], (3, 9, 10), 3),
    ("pooled without activation", [pc.BatchNorm2d(6), pc.MaxPool2d(2)], (3, 9, 10), 20),
]


def _normalized(following: list[Layer], dtype: Any) -> dict[str, Layer]:
    """A chain with random parameters and running means."""
    layers = {"conv": pc.Conv2d(3, 6, 3, padding=1)} | {
        f"layer{i}": layer.astype(dtype) for i, layer in enumerate(following)
    }
    rng = np.random.default_rng(5)
    for layer in layers.values():
        layer.initialize(rng, dtype=dtype)
        for array in layer.state().values():
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    return layers


def _run_layers(layers: dict[str, Layer], x: Any, grad: Any, *, training: bool) -> list[Any]:
    """Output, gradient of the input, and all other gradients and buffers."""
    for layer in layers.values():
        x = layer.forward(x, training)
    for layer in reversed(layers.values()):
        grad = layer.backward(grad)
    kept = [
        a for layer in layers.values() for a in (*layer.grads.values(), *layer.buffers.values())
    ]
    return [x, grad, *kept]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", NORMALIZED, ids=[case[0] for case in NORMALIZED])
def test_normalized_convolution_equals_its_layers(case: Any, dtype: Any, training: bool) -> None:
    _, following, shape, n = case
    layers, twin = _normalized(following, dtype), _normalized(following, dtype)
    shapes = [shape]
    for layer in layers.values():
        shapes.append(layer.output_shape(shapes[-1]))
    stages, notes = fuse(layers, shapes[:-1])
    assert [type(stage) for stage in stages] == [ConvStage]
    assert len(notes) == len(following)
    rng = np.random.default_rng(7)
    x = rng.standard_normal((n, *shape)).astype(dtype)
    grad = rng.standard_normal((n, *shapes[-1])).astype(dtype)
    out = stages[0].forward(x, training)
    results = [out, stages[0].backward(grad)]
    for layer in layers.values():
        results += [*layer.grads.values(), *layer.buffers.values()]
    for actual, wanted in zip(results, _run_layers(twin, x, grad, training=training), strict=True):
        scale = float(np.abs(wanted).max())
        _assert_close(actual, wanted, dtype, 27, scale)


FROM_INPUT = (pc.SiLU, pc.GELU, pc.HardSwish)
ACTIVATIONS = [
    pc.LeakyReLU(0.2), pc.ELU(1.5), pc.ReLU6(), pc.SiLU(), pc.GELU(), pc.GELU("tanh"),
    pc.HardSigmoid(), pc.HardSwish(),
]  # fmt: skip


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("n", [0, 3, 17])
@pytest.mark.parametrize("pool", [None, pc.MaxPool2d(2), pc.AvgPool2d(3, 2, 1)], ids=repr)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_activated_convolution_equals_its_layers(
    activation: Layer, pool: Layer | None, n: int, training: bool
) -> None:
    layers: dict[str, Layer] = {"conv": pc.Conv2d(3, 6, 3, padding=1), "activation": activation}
    if pool is not None:
        layers["pool"] = pool
    layers["conv"].initialize(np.random.default_rng(1))
    shapes: list[tuple[int, ...]] = [(3, 9, 10)]
    for layer in layers.values():
        shapes.append(layer.output_shape(shapes[-1]))
    stages, notes = fuse(layers, shapes[:-1])
    assert [type(stage) for stage in stages] == [ConvStage]
    assert set(notes.values()) == {"fused with conv"}
    rng = np.random.default_rng(n)
    x = 4 * rng.standard_normal((n, *shapes[0]), dtype=np.float32)
    grad = rng.standard_normal((n, *shapes[-1]), dtype=np.float32)
    results = [stages[0].forward(x, training), stages[0].backward(grad)]
    results += [array.copy() for array in layers["conv"].grads.values()]
    wanted = _run_layers(layers, x, grad, training=training)
    np.testing.assert_array_equal(results[0], wanted[0])
    for actual, right in zip(results[1:], wanted[1:], strict=True):
        if isinstance(activation, FROM_INPUT):  # layer by layer
            np.testing.assert_array_equal(actual, right)
        else:
            _assert_close(actual, right, np.float32, 90 * max(n, 1), 8.0)


def test_a_gate_keeps_nothing_when_the_stage_is_cleared() -> None:
    conv, gate = pc.Conv2d(1, 2, 3), pc.SiLU()
    stage = ConvStage(conv, None, gate, None, (1, 8, 8))
    y = stage.forward(np.ones((2, 1, 8, 8), np.float32), True)
    stage.clear()
    for part in (stage, conv, gate):
        with pytest.raises(RuntimeError, match="forward"):
            part.backward(np.ones_like(y))


# The activation, settings of the convolution and of the pooling, input shape, batch.
AVERAGED: list[tuple[Layer, dict[str, Any], dict[str, Any], tuple[int, int, int], int]] = [
    (pc.Sigmoid(), {"kernel_size": 5, "padding": 2}, {"kernel_size": 2}, (1, 28, 28), 20),
    (pc.Tanh(), {"kernel_size": 5}, {"kernel_size": 2}, (6, 14, 14), 33),
    (pc.ReLU(), {"kernel_size": 3}, {"kernel_size": 3, "stride": 2, "padding": 1}, (3, 12, 13), 9),
    (pc.Tanh(), {"kernel_size": 3, "groups": 2}, {"kernel_size": 2}, (4, 9, 9), 3),
    (pc.Sigmoid(), {"kernel_size": 3}, {"kernel_size": 2}, (1, 8, 8), 0),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("case", AVERAGED, ids=[repr(case[0]) + str(case[4]) for case in AVERAGED])
def test_averaged_convolution_equals_its_layers(
    case: Any, count_include_pad: bool, dtype: Any
) -> None:
    activation, conv, pool, shape, n = case
    layers: dict[str, Layer] = {
        "conv": pc.Conv2d(shape[0], 6, **conv),
        "activation": activation,
        "pool": pc.AvgPool2d(**pool, count_include_pad=count_include_pad),
    }
    for layer in layers.values():
        layer.initialize(np.random.default_rng(1), dtype=dtype)
    shapes = [shape]
    for layer in layers.values():
        shapes.append(layer.output_shape(shapes[-1]))
    stages, notes = fuse(layers, shapes[:-1])
    assert [type(stage) for stage in stages] == [ConvStage]
    assert notes == {"activation": "fused with conv", "pool": "fused with conv"}
    rng = np.random.default_rng(7)
    x = rng.standard_normal((n, *shape)).astype(dtype)
    grad = rng.standard_normal((n, *shapes[-1])).astype(dtype)
    results = [stages[0].forward(x, True), stages[0].backward(grad)]
    results += [array.copy() for array in layers["conv"].grads.values()]
    wanted = _run_layers(layers, x, grad, training=True)
    pixels = max(1, n * int(np.prod(shapes[1][1:])))
    for actual, right, terms in zip(results, wanted, (150, 900, pixels, pixels), strict=True):
        _assert_close(actual, right, dtype, terms, 4.0)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("rectified", [False, True])
def test_fused_residual_equals_its_layers(rectified: bool, training: bool) -> None:
    def make() -> dict[str, Layer]:
        body: list[Layer] = [pc.Conv2d(3, 6, 3, padding=1, stride=2), pc.BatchNorm2d(6), pc.ReLU()]
        body += [pc.Conv2d(6, 6, 3, padding=1), pc.ReLU(), pc.Dropout(0.4)]
        around = [pc.Conv2d(3, 6, 1, stride=2), pc.BatchNorm2d(6)]
        layers: dict[str, Layer] = {"block": pc.Residual(body, around)}
        if rectified:
            layers["relu"] = pc.ReLU()
        for layer in layers.values():
            layer.initialize(np.random.default_rng(3), dtype=np.float64)
        return layers

    layers, twin = make(), make()
    stages, notes = fuse(layers, [(3, 8, 8), (6, 4, 4)])
    assert len(stages) == 1
    assert notes["block.body.1"] == "fused with body.0"
    rng = np.random.default_rng(8)
    x, grad = rng.standard_normal((5, 3, 8, 8)), rng.standard_normal((5, 6, 4, 4))
    out = stages[0].forward(x, training)
    results = [out, stages[0].backward(grad)]
    for layer in layers.values():
        results += [*layer.grads.values(), *layer.buffers.values()]
    for actual, wanted in zip(results, _run_layers(twin, x, grad, training=training), strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-11, atol=1e-11)


def test_fused_normalisation_follows_parameters_that_change_in_place() -> None:
    layers = [("conv", pc.Conv2d(1, 4, 3)), ("norm", pc.BatchNorm2d(4)), ("relu", pc.ReLU())]
    net = pc.ConvNet([*layers, ("flat", pc.Flatten()), ("fc", pc.Linear(144, 3))], (1, 8, 8))
    x = np.random.default_rng(1).standard_normal((6, 1, 8, 8), dtype=np.float32)
    rng = np.random.default_rng(2)
    for name, array in {**net.params, **net.buffers}.items():
        before = net.predict(x)
        array += rng.uniform(0.5, 1, array.shape).astype(np.float32)
        after = net.predict(x)
        assert not np.array_equal(after, before), name
        np.testing.assert_allclose(after, list(net.activations(x).values())[-1], rtol=1e-4)
    assert "fused with conv" in net.summary()


@pytest.mark.parametrize("n", [3, 17])
def test_blocks_behind_blocks_give_the_gradients_of_the_layers(n: int) -> None:
    layers: dict[str, Layer] = {
        "conv1": pc.Conv2d(2, 6, 3, padding=1),
        "relu1": pc.ReLU(),
        "conv2": pc.Conv2d(6, 7, 3),
        "relu2": pc.ReLU(),
        "pool2": pc.MaxPool2d(2),
        "conv3": pc.Conv2d(7, 3, 3),
        "relu3": pc.ReLU(),
    }
    net = pc.ConvNet([*layers.items(), ("flat", pc.Flatten())], (2, 12, 12), dtype=np.float64)
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, 2, 12, 12))
    grad = rng.standard_normal((n, *net.output_shape))
    net.forward(x, True)
    net.backward(grad)
    fused = {name: array.copy() for name, array in net.grads.items()}

    flowing: Any = x
    for layer in net.layers.values():
        flowing = layer.forward(flowing, True)
    flowing = grad
    for layer in reversed(net.layers.values()):
        flowing = layer.backward(flowing)
    for name, array in net.grads.items():
        # Sums of at most n * 144 products, all layers' together, of numbers around 1.
        np.testing.assert_allclose(fused[name], array, rtol=0, atol=1e-12 * n * 144, err_msg=name)
        assert np.abs(array).max() > 1e-3


def test_bits_do_not_depend_on_threads() -> None:
    x = np.random.default_rng(0).standard_normal((40, 1, 28, 28), dtype=np.float32)
    t = np.arange(40) % 10
    results = []
    for threads in (1, 2, 3, 8):
        net = pc.models.simple_convnet(seed=3)
        with pc.num_threads(threads):
            loss, grads = net.value_and_gradient(x, t)
        results.append((loss, {key: array.tobytes() for key, array in grads.items()}))
    assert all(result == results[0] for result in results[1:])


def test_first_convolution_computes_no_input_gradient() -> None:
    net = pc.models.simple_convnet()
    stages, _ = fuse(net.layers, net.graph.shapes[:-1])
    first = stages[0]
    assert isinstance(first, ConvStage)
    y = first.forward(np.zeros((2, 1, 28, 28), np.float32), True)
    assert first.backward(np.ones_like(y)) is None


def test_summary_says_what_is_fused() -> None:
    summary = pc.models.deep_convnet(seed=None).summary()
    assert "fused with conv1" in summary
    assert "note" in summary.splitlines()[0]


@pytest.mark.parametrize(
    "following",
    [
        [pc.Tanh(), pc.ReLU(), pc.MaxPool2d(2)],
        [pc.Sigmoid(), pc.MaxPool2d(2)],
        [pc.MaxPool2d(2), pc.ReLU()],
        [pc.AvgPool2d(2)],
        [pc.Dropout(0.5), pc.ReLU()],
        [type("Own", (pc.ReLU,), {})()],
        [pc.PReLU(2)],
    ],
    ids=repr,
)
def test_what_is_not_a_block_stays_as_it_is(following: list[Layer]) -> None:
    layers: dict[str, Layer] = {"conv": pc.Conv2d(1, 2, 3)}
    layers |= {f"layer{i}": layer for i, layer in enumerate(following)}
    shapes: list[tuple[int, ...]] = [(1, 8, 8)]
    for layer in layers.values():
        shapes.append(layer.output_shape(shapes[-1]))
    stages, notes = fuse(layers, shapes[:-1])
    assert [stage.layer for stage in stages if isinstance(stage, LayerStage)] == [*layers.values()]
    assert notes == {}


@pytest.mark.parametrize("activation", [pc.ReLU(), pc.Tanh(), pc.SiLU()])
@pytest.mark.parametrize("norm", [None, pc.BatchNorm2d(2)])
def test_backward_needs_a_forward(norm: Any, activation: Layer) -> None:
    stage = ConvStage(pc.Conv2d(1, 2, 3), norm, activation, pc.AvgPool2d(1), (1, 8, 8))
    with pytest.raises(RuntimeError, match="forward"):
        stage.backward(np.ones((1, 2, 6, 6), np.float32))


def test_a_large_linear_in_a_residual_is_updated_in_backward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fusion, "_LARGE_WEIGHT", 1)
    around = pc.Residual([("fc", pc.Linear(4, 4)), ("act", pc.Tanh())])
    net = pc.ConvNet([("block", around)], (4,))
    assert isinstance(next(net._flow.stages)._body[0], LargeLinear)
    x = np.random.default_rng(2).standard_normal((5, 4), dtype=np.float32)
    grad = np.ones((5, 4), np.float32)
    net.forward(x, True)
    net.backward(grad)
    wanted = {name: array.copy() for name, array in net.grads.items()}
    used = {}

    def update(params: Any, grads: Any) -> None:
        assert params.keys() == grads.keys()
        assert all(array is net.params[name] for name, array in params.items())
        used.update(grads)

    net.forward(x, True)
    net.backward(grad, update)
    assert used.keys() == wanted.keys()
    np.testing.assert_array_equal(used["block.body.fc.bias"], wanted["block.body.fc.bias"])
    assert net.summary().count("updated in backward") == 1


@pytest.mark.parametrize("kind", [pc.SiLU, pc.GELU, pc.HardSwish])
def test_the_relu_before_a_block_that_trains_layer_by_layer(kind: type[Layer]) -> None:
    """Nobody but the first block does the part of its ReLU."""
    layers = [
        ("conv1", pc.Conv2d(1, 4, 3)),
        ("relu", pc.ReLU()),
        ("conv2", pc.Conv2d(4, 3, 3)),
        ("act", kind()),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(12, 3)),
    ]
    net = pc.ConvNet(layers, (1, 6, 6), seed=1, dtype=np.float64)
    x = np.random.default_rng(2).standard_normal((4, 1, 6, 6))
    check = net.check_gradients(x, np.array([0, 1, 2, 0]), verbose=False)
    assert check.largest_error < 1e-5, check
