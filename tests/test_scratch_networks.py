"""The networks of ``pocketcnn.scratch``: draws, losses, gradients, accuracy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import reference
import reference_scratch
from pocketcnn import scratch
from pocketcnn.scratch.blocks import ConvStage, stages

LABELS = np.array([1, 0, 3])
# Small weights keep the right class probable. With a probability near 1e-7, the 1e-7 that the loss
# adds and its gradient ignores would show.
SMALL: dict[str, Any] = {
    "input_dim": (2, 9, 7),
    "conv_param": {"filter_num": 3, "filter_size": 2, "pad": 0, "stride": 1},
    "hidden_size": 6,
    "output_size": 4,
    "weight_init_std": 0.2,
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(73)


def small_net() -> scratch.SimpleConvNet:
    np.random.seed(0)
    return scratch.SimpleConvNet(**SMALL)


def assert_gradients(net: Any, loss: Any, grads: dict[str, Any]) -> None:
    """Compare with central differences of an independent loss, at up to 12 elements each."""
    assert grads.keys() == net.params.keys()
    for name, value in net.params.items():
        assert grads[name].shape == value.shape
        places = np.random.default_rng(0).permutation(list(np.ndindex(value.shape)))[:12]
        places = [tuple(place) for place in places]
        slopes = reference_scratch.central_differences(loss, value, places)
        found = [grads[name][place] for place in places]
        np.testing.assert_allclose(found, slopes, rtol=1e-5, atol=1e-6, err_msg=name)


def test_simple_convnet(rng: np.random.Generator) -> None:
    net, x = small_net(), rng.standard_normal((3, 2, 9, 7))

    def loss() -> float:
        return reference_scratch.simple_convnet_loss(net.params, x, LABELS)

    assert net.loss(x, LABELS) == pytest.approx(loss(), rel=1e-12)
    assert net.loss(x, np.eye(4)[LABELS]) == pytest.approx(loss(), rel=1e-12)
    assert_gradients(net, loss, net.gradient(x, LABELS))
    assert list(net.layers) == ["Conv1", "Relu1", "Pool1", "Affine1", "Relu2", "Affine2"]
    assert net.layers["Conv1"].W is net.params["W1"]


def test_numerical_gradient_agrees(rng: np.random.Generator) -> None:
    net, x = small_net(), rng.standard_normal((2, 2, 9, 7))
    grads = net.gradient(x, LABELS[:2])
    for name, value in net.numerical_gradient(x, LABELS[:2]).items():
        np.testing.assert_allclose(value, grads[name], atol=1e-6, err_msg=name)


def test_weights_are_drawn_in_the_books_order() -> None:
    np.random.seed(4)
    simple = scratch.SimpleConvNet()
    two = scratch.TwoLayerNet(7, 5, 3)
    multi = scratch.MultiLayerNet(7, [5, 4], 3, weight_init_std="xavier")
    extended = scratch.MultiLayerNetExtend(7, [5], 3, weight_init_std="He", use_batchnorm=True)
    np.random.seed(4)
    draws: list[tuple[Any, str, float, tuple[int, ...]]] = [
        (simple, "W1", 0.01, (30, 1, 5, 5)),
        (simple, "W2", 0.01, (4320, 100)),
        (simple, "W3", 0.01, (100, 10)),
        (two, "W1", 0.01, (7, 5)),
        (two, "W2", 0.01, (5, 3)),
        (multi, "W1", np.sqrt(1 / 7), (7, 5)),
        (multi, "W2", np.sqrt(1 / 5), (5, 4)),
        (multi, "W3", np.sqrt(1 / 4), (4, 3)),
        (extended, "W1", np.sqrt(2 / 7), (7, 5)),
        (extended, "W2", np.sqrt(2 / 5), (5, 3)),
    ]
    for net, name, std, shape in draws:
        np.testing.assert_array_equal(net.params[name], std * np.random.randn(*shape))
    assert not simple.params["b2"].any()
    assert two.lastLayer is two.last_layer


def test_deep_convnet() -> None:
    np.random.seed(6)
    net = scratch.DeepConvNet()
    np.random.seed(6)
    channels = [1, 16, 16, 32, 32, 64, 64]
    for number, (before, after) in enumerate(pairwise(channels), start=1):
        W = np.sqrt(2 / (9 * before)) * np.random.randn(after, before, 3, 3)
        np.testing.assert_array_equal(net.params[f"W{number}"], W)
    W = np.sqrt(2 / 1024) * np.random.randn(1024, 50)
    np.testing.assert_array_equal(net.params["W7"], W)
    kinds = "".join(type(layer).__name__[0] for layer in net.layers)
    assert kinds == "CRCRP" * 3 + "ARDAD"


def test_passes_in_blocks_are_those_of_the_layers_one_by_one(rng: np.random.Generator) -> None:
    np.random.seed(8)
    net = scratch.DeepConvNet()
    x = rng.random((3, 1, 28, 28)).astype(np.float32)
    assert sum(isinstance(stage, ConvStage) for stage in stages(net.layers)) == 6
    np.random.seed(9)
    grads = net.gradient(x, LABELS)
    np.random.seed(9)
    out: Any = x
    for layer in net.layers:
        out = layer.forward(out)
    net.last_layer.forward(out, LABELS)
    dout: Any = net.last_layer.backward()
    for layer in reversed(net.layers):
        dout = layer.backward(dout)
    weighted = [layer for layer in net.layers if hasattr(layer, "W")]
    for number, layer in enumerate(weighted, start=1):
        largest = np.abs(layer.dW).max()
        np.testing.assert_allclose(
            grads[f"W{number}"], layer.dW, atol=1e-12 * largest, err_msg=str(number)
        )
        np.testing.assert_allclose(grads[f"b{number}"], layer.db, atol=1e-12)


def test_what_the_layers_keep_after_a_pass(rng: np.random.Generator) -> None:
    net, x = small_net(), rng.standard_normal((2, 2, 9, 7))
    grads = net.gradient(x, LABELS[:2])
    conv, pool = net.layers["Conv1"], net.layers["Pool1"]
    assert conv.x is x
    assert conv.dW is grads["W1"]
    assert net.layers["Affine1"].x.shape == (2, 36)
    assert net.layers["Affine2"].db is grads["b3"]
    relu = net.layers["Relu1"]
    kept = relu.mask, pool.x, pool.arg_max
    maps = reference.relu(reference.conv2d(x, net.params["W1"], net.params["b1"]))
    np.testing.assert_array_equal(kept[0], maps == 0)
    np.testing.assert_allclose(kept[1], maps, rtol=1e-12, atol=1e-14)
    assert kept[2].shape == (2 * 4 * 3 * 3,)
    pool.forward(relu.forward(conv.forward(x)))
    np.testing.assert_array_equal(kept[2], pool.arg_max)


@pytest.mark.parametrize(("decay", "normalised"), [(0.0, False), (0.1, False), (0.1, True)])
def test_multi_layer_nets(decay: float, normalised: bool, rng: np.random.Generator) -> None:
    np.random.seed(10)
    sizes = (5, [6, 4], 4)
    net: Any
    if normalised:
        net = scratch.MultiLayerNetExtend(*sizes, weight_decay_lambda=decay, use_batchnorm=True)
    else:
        net = scratch.MultiLayerNet(*sizes, weight_decay_lambda=decay)
    x = rng.standard_normal((3, 5))

    def loss() -> float:
        return reference_scratch.multi_layer_loss(net.params, x, LABELS, decay, normalised)

    options = {"train_flg": True} if normalised else {}
    assert net.loss(x, LABELS, **options) == pytest.approx(loss(), rel=1e-12)
    assert_gradients(net, loss, net.gradient(x, LABELS))


def test_dropout_masks_are_the_same_in_every_loss_of_a_numerical_gradient(
    rng: np.random.Generator,
) -> None:
    np.random.seed(11)
    net = scratch.MultiLayerNetExtend(5, [6], 4, activation="sigmoid", use_dropout=True)
    x = rng.standard_normal((3, 5))
    np.random.seed(12)
    expected = net.gradient(x, LABELS)
    np.random.seed(12)
    for name, value in net.numerical_gradient(x, LABELS).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_accuracy_counts_the_last_partial_batch(batch_size: int, rng: np.random.Generator) -> None:
    net, x = small_net(), rng.standard_normal((5, 2, 9, 7))
    t = net.predict(x).argmax(axis=1)
    t[0] = (t[0] + 1) % 4
    assert net.accuracy(x, t, batch_size) == 0.8
    assert net.accuracy(x, np.eye(4)[t], batch_size) == 0.8


def test_half_floats(rng: np.random.Generator) -> None:
    net, x = small_net(), rng.standard_normal((3, 2, 9, 7)).astype(np.float16)
    expected = net.predict(x)
    assert expected.dtype == np.float64
    for layer in net.layers.values():
        if hasattr(layer, "W"):
            layer.W, layer.b = layer.W.astype(np.float16), layer.b.astype(np.float16)
    scores = net.predict(x)
    assert scores.dtype == np.float16
    # Ten significant bits through three layers.
    np.testing.assert_allclose(scores, expected, atol=2**-7 * np.abs(expected).max())
    assert {grad.dtype for grad in net.gradient(x, LABELS).values()} == {np.dtype(np.float16)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_dim": (28, 28)}, "input_dim"),
        ({"input_dim": (1, 1, 9)}, "input_dim"),
        ({"conv_param": {"filter_num": 3, "filter_size": 2}}, "conv_param"),
        (
            {"conv_param": {**SMALL["conv_param"], "stride": 0}},
            "stride is 0, but must be at least 1",
        ),
        ({"conv_param": {**SMALL["conv_param"], "pad": -1}}, "pad is -1"),
        ({"conv_param": {**SMALL["conv_param"], "filter_size": 0}}, "filter_size is 0"),
        ({"conv_param": {**SMALL["conv_param"], "filter_num": 0}}, "filter_num is 0"),
        ({"input_dim": (2, 2, 2)}, r"too small: maps of 1 x 1 are left to pool"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scratch.SimpleConvNet(**{**SMALL, **change})


def test_wrong_calls_are_refused() -> None:
    net = small_net()
    with pytest.raises(ValueError, match=r"input_dim is .* too small"):
        scratch.DeepConvNet((1, 2, 2))
    for call in (
        lambda: scratch.conv_output_size(28, 5, 0),
        lambda: scratch.im2col(np.ones((1, 1, 4, 4)), 2, 2, stride=0),
        lambda: scratch.Pooling(2, 2, stride=0).forward(np.ones((1, 1, 4, 4))),
        lambda: scratch.Convolution(np.ones((1, 1, 2, 2)), 0, 0).forward(np.ones((1, 1, 4, 4))),
    ):
        with pytest.raises(ValueError, match="stride is 0, but must be"):
            call()
    with pytest.raises(ValueError, match=r"x has 1 channels, but W \(3, 2, 2, 2\) takes 2"):
        net.predict(np.zeros((1, 1, 9, 7)))
    with pytest.raises(ValueError, match="x has 0 examples"):
        net.accuracy(np.zeros((0, 2, 9, 7)), np.zeros(0, int))
    with pytest.raises(ValueError, match="activation is 'tanh'"):
        scratch.MultiLayerNet(5, [6], 4, activation="tanh")
    with pytest.raises(ValueError, match="weight_init_std is 'best'"):
        scratch.MultiLayerNet(5, [6], 4, weight_init_std="best")
