"""Frozen layers, new heads, and heads that are trained on features."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.layers import Layer
from pocketcnn.network.fusion import fuse_graph

Array = np.ndarray[Any, Any]


def make_net(dtype: Any = np.float64, seed: int = 3) -> pc.ConvNet:
    """Blocks with and without a normalisation, a Residual, and a head with Dropout."""
    body = [
        ("conv1", pc.Conv2d(6, 6, 3, padding=1, bias=False)),
        ("bn1", pc.BatchNorm2d(6)),
        ("relu", pc.ReLU()),
        ("conv2", pc.Conv2d(6, 6, 3, padding=1)),
    ]
    layers = [
        ("conv1", pc.Conv2d(2, 4, 3, padding=1)),
        ("relu1", pc.ReLU()),
        ("pool1", pc.MaxPool2d(2)),
        ("conv2", pc.Conv2d(4, 6, 3, padding=1, bias=False)),
        ("bn2", pc.BatchNorm2d(6)),
        ("relu2", pc.ReLU()),
        ("block", pc.Residual(body)),
        ("relu3", pc.ReLU()),
        ("flat", pc.Flatten()),
        ("fc1", pc.Linear(54, 8)),
        ("relu4", pc.ReLU()),
        ("drop", pc.Dropout(0.3)),
        ("fc2", pc.Linear(8, 3)),
    ]
    net = pc.ConvNet(layers, (2, 6, 6), seed=seed, dtype=dtype)
    net.classes = ["a", "b", "c"]
    return net


def batch(samples: int = 8) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((samples, 2, 6, 6)), rng.integers(0, 3, samples)


def state(net: pc.ConvNet) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in {**net.params, **net.buffers}.items()}


def changed(before: dict[str, bytes], net: pc.ConvNet) -> set[str]:
    return {name.rpartition(".")[0] for name, held in state(net).items() if held != before[name]}


OPTIMIZERS = [
    pc.optim.SGD(0.1, momentum=0.9, weight_decay=0.1),
    pc.optim.AdamW(0.01, weight_decay=0.1),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["SGD", "AdamW"])
@pytest.mark.parametrize(
    ("patterns", "trained"),
    [
        (["*conv*"], {"bn2", "block.body.bn1", "fc1", "fc2"}),
        (
            ["conv?", "bn*"],
            {"block.body.conv1", "block.body.bn1", "block.body.conv2", "fc1", "fc2"},
        ),
        (["block"], {"conv1", "conv2", "bn2", "fc1", "fc2"}),
        (["[cbdrpf]*1", "conv2", "bn2", "block*"], {"fc2"}),
        (["*"], set()),
    ],
)
def test_frozen_layers_keep_their_bits(
    patterns: list[str], trained: set[str], optimizer: pc.optim.Optimizer
) -> None:
    net, (x, t) = make_net(), batch()
    trainer = pc.Trainer(net, pickle.loads(pickle.dumps(optimizer)), batch_size=4)
    trainer.fit(x, t, epochs=1)  # momentum that would move them on
    net.freeze(*patterns)
    before = state(net)
    trainer.fit(x, t, epochs=2)
    assert changed(before, net) == trained
    assert {name.rpartition(".")[0] for name in net.trainable} == trained
    net.unfreeze("*")
    assert not net.frozen
    trainer.fit(x, t, epochs=1)
    assert changed(before, net) == {name.rpartition(".")[0] for name in net.params}


@pytest.mark.parametrize(
    "patterns",
    [["*conv*"], ["bn2"], ["block.body.bn1", "fc1"], ["conv1", "relu1", "pool1", "drop"], ["fc*"]],
)
def test_gradients_are_the_numerical_ones(patterns: list[str]) -> None:
    net, (x, t) = make_net(), batch()
    for array in net.buffers.values():
        array[...] = np.random.default_rng(5).uniform(0.5, 1.5, array.shape)
    net.freeze(*patterns)
    check = net.check_gradients(x, t, verbose=False)
    assert {row.name for row in check} == net.trainable.keys()
    assert check.largest_error < 1e-5, check


class Spy(Layer):
    """Counts the passes that it takes part in."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def forward(self, x: Array, training: bool = False) -> Array:
        self.calls.append(f"forward {training}")
        return x

    def backward(self, grad: Array) -> Array:
        self.calls.append("backward")
        return grad

    def output_shape(self, input_shape: Any) -> Any:
        return input_shape


@pytest.mark.parametrize("graph", [False, True])
def test_below_the_lowest_trained_layer_no_gradient_is_computed(graph: bool) -> None:
    below, between = Spy(), Spy()
    layers: list[Any] = [("conv1", pc.Conv2d(2, 2, 3, padding=1)), ("below", below)]
    layers += [("join", pc.Add(), ["below", "input"])] if graph else []
    layers += [("flat", pc.Flatten()), ("fc1", pc.Linear(72, 4))]
    layers += [("between", between), ("fc2", pc.Linear(4, 3))]
    net, (x, t) = pc.ConvNet(layers, (2, 6, 6)), batch()
    net.freeze("conv1", "b*", "fc2")
    assert net.frozen == ["conv1", "below", "between", "fc2"]
    _, grads = net.value_and_gradient(x, t)
    assert grads.keys() == net.trainable.keys() == {"fc1.weight", "fc1.bias"}
    assert below.calls == ["forward False"]
    assert between.calls == ["forward False", "backward"]
    assert all(
        not layer.grads["weight"].any() for layer in (net.layers["conv1"], net.layers["fc2"])
    )


def test_the_scores_of_frozen_layers_are_those_of_inference() -> None:
    net, (x, t) = make_net(), batch()
    net.freeze("*")
    scores = net.predict(x)
    np.testing.assert_array_equal(net.forward(x, training=True), scores)
    loss, grads = net.value_and_gradient(x, t)
    assert grads == {}
    assert loss == pc.losses.cross_entropy(scores, t)[0]


def test_a_large_layer_that_is_frozen_is_not_updated_in_backward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pocketcnn.network import fusion

    monkeypatch.setattr(fusion, "_LARGE_WEIGHT", 1)
    net, (x, t) = make_net(), batch()
    assert fuse_graph(net.graph)[1]["fc1"] == "updated in backward"
    net.freeze("fc1")
    before = state(net)
    pc.Trainer(net, pc.optim.SGD(0.1, weight_decay=0.1)).step(x, t)
    assert "fc1" not in changed(before, net)
    assert "fc2" in changed(before, net)


def test_copies_are_frozen_and_files_are_not(tmp_path: Any) -> None:
    net = make_net()
    net.freeze("conv*", "block")
    wanted = ["conv1", "conv2", "block", "block.body.conv1", "block.body.bn1"]
    wanted += ["block.body.relu", "block.body.conv2"]
    assert net.frozen == wanted
    assert net.astype(np.float32).frozen == wanted
    assert pickle.loads(pickle.dumps(net)).frozen == wanted
    net.save(tmp_path / "net.safetensors")
    assert pc.load(tmp_path / "net.safetensors").frozen == []


def test_the_summary_says_what_is_frozen() -> None:
    net = make_net()
    assert "frozen" not in net.summary()
    net.freeze("conv*")
    lines = net.summary().splitlines()
    assert [line.split()[0] for line in lines if line.endswith("frozen")] == [
        "conv1",
        "conv2",
        "total",
    ]
    assert lines[-1].endswith("292 parameters frozen")


@pytest.mark.parametrize(
    ("patterns", "error", "message"),
    [
        ((), ValueError, "no pattern is given: wanted names of layers, such as 'conv\\*'"),
        (
            ("conv", "*"),
            ValueError,
            "no layer's name matches 'conv': there are conv1, relu1, pool1",
        ),
        (("*", "CONV1"), ValueError, "no layer's name matches 'CONV1'"),
        (("*", 3), TypeError, "a pattern is 3, but must be a string"),
    ],
)
def test_patterns_that_match_nothing(patterns: Any, error: Any, message: str) -> None:
    net = make_net()
    with pytest.raises(error, match=message):
        net.freeze(*patterns)
    assert not net.frozen
    with pytest.raises(error, match=message):
        net.unfreeze(*patterns)


def test_networks_that_share_layers_follow_each_other() -> None:
    """Each computes the gradients that it needs, whichever was made or used last."""
    net, (x, t) = make_net(), batch()
    wanted = {name: grad.copy() for name, grad in net.gradient(x, t).items()}
    head = net.head("relu3")
    net.layers["drop"].rng = make_net().generators["drop"]  # the mask of the first gradient
    for name, grad in net.gradient(x, t).items():
        np.testing.assert_array_equal(grad, wanted[name], err_msg=name)
    head.freeze("fc1")
    assert "fc1.weight" not in net.gradient(x, t)
    net.unfreeze("*")
    assert "fc1.weight" in head.gradient(np.ones((2, 6, 3, 3)), np.array([0, 1]))


def test_a_run_goes_on_with_the_same_layers_frozen(tmp_path: Any) -> None:
    path, (x, t) = tmp_path / "run.safetensors", batch()

    def train(epochs: int, *frozen: str) -> pc.ConvNet:
        net = make_net()
        if frozen:
            net.freeze(*frozen)
        trainer = pc.Trainer(net, pc.optim.SGD(0.1, momentum=0.9), batch_size=4)
        trainer.fit(x, t, epochs=epochs, checkpoint=path, resume=True)
        return net

    train(1, "conv1", "bn2")
    with pytest.raises(ValueError, match=r"has frozen \['conv1', 'bn2'\], but this run has \[\]"):
        train(2)
    interrupted = train(2, "conv1", "bn2")
    path.unlink()
    assert state(train(2, "conv1", "bn2")) == state(interrupted)


@pytest.mark.parametrize("settings", [{"clip_norm": 0.1}, {"accumulate": 2}, {"ema": 0.7}])
def test_frozen_layers_keep_their_bits_with_every_kind_of_update(settings: Any) -> None:
    net, (x, t) = make_net(), batch()
    net.freeze("*1", "bn2")
    before = state(net)
    optimizer = pc.optim.SGD(0.1, momentum=0.9, weight_decay=0.1, rates={"conv*": 0.1})
    pc.Trainer(net, optimizer, batch_size=4, **settings).fit(x, t, epochs=2)
    assert changed(before, net) == {"conv2", "block.body.conv2", "fc2"}


# Heads


def test_a_new_head_leaves_the_rest() -> None:
    net, (x, _) = make_net(np.float32), batch()
    net.freeze("conv1", "fc2")
    before, frozen, below = state(net), net.frozen, net.features(x, "drop")
    assert net.replace_head(5, seed=7) is net
    assert net.output_shape == (5,)
    assert net.classes is None
    assert net.frozen == [name for name in frozen if name != "fc2"]
    assert {name for name, held in state(net).items() if held != before[name]} == {
        "fc2.weight",
        "fc2.bias",
    }
    drawn = np.random.default_rng(7)
    fresh = pc.Linear(8, 5)
    fresh.initialize(drawn, auto="xavier")
    np.testing.assert_array_equal(net.params["fc2.weight"], fresh.weight)
    np.testing.assert_allclose(
        net.predict(x), pc.functional.linear(below, fresh.weight), rtol=1e-5, atol=1e-6
    )
    net.classes = list("vwxyz")


def test_a_new_head_of_a_network_that_makes_maps() -> None:
    net = pc.models.unet(input_shape=(1, 16, 16), width=2, depth=2)
    net.replace_head(4)
    assert net.output_shape == (4, 16, 16)


def test_a_new_head_in_front_of_layers_without_weights() -> None:
    layers: list[Any] = [("conv", pc.Conv2d(2, 7, 1)), ("pool", pc.GlobalAvgPool2d())]
    net = pc.ConvNet([*layers, ("flat", pc.Flatten())], (2, 6, 6))
    assert net.replace_head(3).output_shape == (3,)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([("conv", pc.Conv2d(2, 3, 3)), ("flat", pc.Flatten())], "wanted a Linear or a Conv2d"),
        ([("flat", pc.Flatten())], "no layer has weights"),
        (
            [("conv", pc.Conv2d(2, 2, 1)), ("sum", pc.Add(), ["conv", "input"])],
            "layer 'sum' joins what 'conv' gives with something else",
        ),
        (
            [("conv", pc.Conv2d(2, 4, 1)), ("flat", pc.Flatten())],
            r"with 5 outputs of layer 'conv' the network gives \(180,\)",
        ),
    ],
)
def test_heads_that_cannot_be_replaced(layers: list[Any], message: str) -> None:
    net = pc.ConvNet(layers, (2, 6, 6), seed=None)
    summary = net.summary()
    with pytest.raises(ValueError, match=message):
        net.replace_head(5)
    assert net.summary() == summary
    with pytest.raises((ValueError, TypeError), match="num_classes"):
        net.replace_head(0)


def test_a_head_trained_on_features_is_the_network_trained_with_the_rest_frozen() -> None:
    x, t = batch(20)
    whole, cut = make_net(), make_net()
    for net in (whole, cut):
        net.freeze("*")
        net.unfreeze("fc*", "drop")
    pc.Trainer(whole, pc.optim.SGD(0.1, momentum=0.9), batch_size=5).fit(x, t, epochs=3)
    features, head = cut.features(x), cut.head()
    assert list(head.layers) == ["fc1", "relu4", "drop", "fc2"]
    assert head.classes == cut.classes
    pc.Trainer(head, pc.optim.SGD(0.1, momentum=0.9), batch_size=5).fit(features, t, epochs=3)
    for name, array in whole.params.items():
        np.testing.assert_allclose(cut.params[name], array, rtol=0, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(head.predict(features), cut.predict(x), rtol=0, atol=1e-12)


def test_features_are_what_a_layer_gives() -> None:
    net, (x, t) = make_net(np.float32), batch(11)
    seen = net.activations(x)
    for name, wanted in seen.items():
        np.testing.assert_allclose(net.features(x, name), wanted, rtol=1e-5, atol=1e-5)
    features, targets = net.features(pc.data.Arrays(x, t), "relu2", batch_size=4)
    np.testing.assert_array_equal(features, net.features(x, "relu2", batch_size=4))
    np.testing.assert_array_equal(targets, t)


def test_the_frozen_part_of_a_graph_ends_where_one_value_is_left() -> None:
    layers: list[Any] = [
        ("conv1", pc.Conv2d(2, 4, 3, padding=1)),
        ("conv2", pc.Conv2d(4, 4, 3, padding=1)),
        ("sum", pc.Add(), ["conv1", "conv2"]),
        ("conv3", pc.Conv2d(4, 4, 3, padding=1)),
        ("join", pc.Concat(), ["sum", "conv3"]),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(288, 3)),
    ]
    net, (x, _) = pc.ConvNet(layers, (2, 6, 6)), batch()
    with pytest.raises(ValueError, match="the first layers are not frozen: freeze them"):
        net.features(x)
    net.freeze("conv?")
    assert list(net.head().layers) == ["fc"]
    net.unfreeze("conv3")
    assert list(net.head().layers) == ["conv3", "join", "flat", "fc"]
    np.testing.assert_allclose(net.head().predict(net.features(x)), net.predict(x), rtol=1e-5)
    with pytest.raises(ValueError, match="layer 'join' takes 'sum', which is before 'conv3'"):
        net.head("conv3")
    with pytest.raises(ValueError, match="layer 'fc' is the last"):
        net.head("fc")
    with pytest.raises(ValueError, match="upto is 'conv9', but the layers are conv1, conv2"):
        net.features(x, "conv9")
    with pytest.raises(TypeError, match="upto is 3"):
        net.features(x, 3)  # type: ignore[call-overload]
    net.freeze("*")
    with pytest.raises(ValueError, match="no layer is trained"):
        net.head()
