"""Networks of ``pocketcnn.scratch`` that a reader has modified, as is possible with the book's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference
import reference_scratch
from pocketcnn import scratch
from pocketcnn.scratch import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Pooling,
    Relu,
    Sigmoid,
    SimpleConvNet,
)

LABELS = np.array([1, 0, 3])
CONV = {"filter_num": 3, "filter_size": 2, "pad": 0, "stride": 1}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(75)


def simple_net() -> SimpleConvNet:
    np.random.seed(0)
    return SimpleConvNet((2, 9, 7), CONV, hidden_size=6, output_size=4, weight_init_std=0.3)


def images(rng: np.random.Generator) -> Any:
    return rng.standard_normal((3, 2, 9, 7))


def insert(net: Any, before: str, **layers: Any) -> None:
    """Put layers in front of another."""
    changed = {}
    for name, layer in net.layers.items():
        if name == before:
            changed.update(layers)
        changed[name] = layer
    net.layers = changed


def assert_gradients(net: Any, x: Any, t: Any = LABELS) -> dict[str, Any]:
    """Compare with the central differences of the network's own loss, masks being the same."""

    def loss() -> float:
        np.random.seed(3)
        return float(net.loss(x, t))

    np.random.seed(3)
    grads: dict[str, Any] = net.gradient(x, t)
    assert grads.keys() == net.params.keys()
    for name, value in net.params.items():
        places = [tuple(np.random.default_rng(k).integers(0, value.shape)) for k in range(6)]
        slopes = reference_scratch.central_differences(loss, value, places)
        found = [grads[name][place] for place in places]
        np.testing.assert_allclose(found, slopes, rtol=1e-4, atol=1e-6, err_msg=name)
    return grads


def chain_output(layers: list[Any], x: Any) -> Any:
    """The probabilities of a chain in training, from the definitions; masks from np.random."""
    for layer in layers:
        match type(layer).__name__:
            case "Convolution":
                x = reference.conv2d(x, layer.W, layer.b, layer.stride, layer.pad)
            case "Pooling":
                size = (layer.pool_h, layer.pool_w)
                x, _ = reference.max_pool2d(x, size, layer.stride, layer.pad)
            case "Affine":
                x = reference_scratch.affine(x, layer.W, layer.b)
            case "BatchNormalization":
                x = reference_scratch.batch_norm(x, layer.gamma, layer.beta)
            case "Dropout":
                x = x * (np.random.rand(*x.shape) > layer.dropout_ratio)
            case "Sigmoid":
                x = reference.sigmoid(x)
            case _:
                x = reference.relu(x)
    return reference.softmax(x)


class RandomNet(SimpleConvNet):
    """A random chain in chapter 7's network."""

    def __init__(self, rng: np.random.Generator, x: Any, classes: int) -> None:
        self.params, self.layers, self.last_layer = {}, {}, scratch.SoftmaxWithLoss()
        shape = x.shape[1:]
        for _ in range(rng.integers(2, 7)):
            kinds = [self.activation, self.dropout, self.norm, self.affine]
            if len(shape) == 3 and min(shape[1:]) > 1:
                kinds += 2 * [self.convolution, self.pooling]
            shape = kinds[rng.integers(len(kinds))](rng, shape)
        self.affine(rng, shape, classes)
        if rng.integers(2):
            self.params = dict(reversed(self.params.items()))

    def add(self, layer: Any, **params: Any) -> None:
        number = len(self.layers)
        self.layers[f"layer{number}"] = layer
        self.params.update({f"{name}{number}": value for name, value in params.items()})

    def convolution(self, rng: np.random.Generator, shape: Any) -> Any:
        filters, size, pad, stride = rng.integers((1, 1, 0, 1), (4, 3, 2, 3))
        W, b = rng.standard_normal((filters, shape[0], size, size)), rng.standard_normal(filters)
        self.add(Convolution(W, b, int(stride), int(pad)), W=W, b=b)
        self.add(Relu())
        return filters, *((n + 2 * pad - size) // stride + 1 for n in shape[1:])

    def pooling(self, rng: np.random.Generator, shape: Any) -> Any:
        stride = int(rng.integers(1, 3))
        self.add(Pooling(2, 2, stride))
        return shape[0], *((n - 2) // stride + 1 for n in shape[1:])

    def affine(self, rng: np.random.Generator, shape: Any, outputs: int = 5) -> Any:
        inputs = int(np.prod(shape))
        W, b = rng.standard_normal((inputs, outputs)) / inputs**0.5, rng.standard_normal(outputs)
        self.add(Affine(W, b), W=W, b=b)
        return (outputs,)

    def norm(self, rng: np.random.Generator, shape: Any) -> Any:
        size = int(np.prod(shape))
        gamma, beta = rng.standard_normal(size), rng.standard_normal(size)
        self.add(BatchNormalization(gamma, beta), gamma=gamma, beta=beta)
        return shape

    def activation(self, rng: np.random.Generator, shape: Any) -> Any:
        self.add(Relu() if rng.integers(2) else Sigmoid())
        return shape

    def dropout(self, rng: np.random.Generator, shape: Any) -> Any:
        self.add(Dropout(0.3))
        return shape


@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed: int) -> None:
    """Loss and gradients are those of the definitions, in one call or in the reader's loop."""
    rng = np.random.default_rng([76, seed])
    x = rng.standard_normal((int(rng.integers(3, 5)), 2, 5, 4))
    if rng.integers(2):
        x = np.asfortranarray(x)
    labels = rng.integers(0, 3, len(x))
    net = RandomNet(rng, x, 3)
    layers = list(net.layers.values())

    def output() -> Any:
        np.random.seed(seed)
        return chain_output(layers, x)

    def loss() -> float:
        """Without the 1e-7 of the book's loss, which its gradient leaves out."""
        return float(-np.mean(np.log(output()[np.arange(len(x)), labels])))

    expected = reference_scratch.cross_entropy_error(output(), labels)
    np.random.seed(seed)
    assert net.loss(x, labels) == pytest.approx(expected, rel=1e-9), layers
    net.predict(x[:1])
    np.random.seed(seed)
    grads = net.gradient(x, labels)
    for name, value in net.params.items():
        places = [tuple(rng.integers(0, value.shape)) for _ in range(2)]
        slopes = reference_scratch.central_differences(loss, value, places)
        found = [grads[name][place] for place in places]
        np.testing.assert_allclose(found, slopes, rtol=1e-4, atol=1e-6, err_msg=f"{name} {layers}")
    np.random.seed(seed)
    net.loss(x, labels)
    for _ in range(2):  # a second backward gives the same as the first
        dout = net.last_layer.backward(1)
        for layer in reversed(layers):
            dout = layer.backward(dout)
        for name, place in net._places().items():
            [(layer, attribute)] = place
            mine = getattr(layer, f"d{attribute}")
            np.testing.assert_allclose(mine, grads[name], rtol=1e-9, atol=1e-12, err_msg=name)
    assert dout.shape == x.shape


def test_a_layer_put_in_between(rng: np.random.Generator) -> None:
    net = simple_net()
    W, b = net.params["W4"], net.params["b4"] = 0.3 * rng.standard_normal((6, 6)), np.zeros(6)
    insert(net, "Affine2", Between=Affine(W, b), Relu3=Relu())
    grads = assert_gradients(net, images(rng))
    assert not np.allclose(grads["W4"], 0)


def test_renamed_parameters_in_another_order(rng: np.random.Generator) -> None:
    net = simple_net()
    net.params = {f"my_{name}": net.params[name] for name in ("b3", "W1", "W3", "b2", "b1", "W2")}
    assert_gradients(net, images(rng))


@pytest.mark.parametrize("kind", ["dropout", "norm"])
def test_layers_of_two_modes_put_into_the_simple_net(kind: str, rng: np.random.Generator) -> None:
    net, x = simple_net(), images(rng)
    layer: Any = Dropout(0.5)
    if kind == "norm":
        gamma, beta = net.params["gamma"], net.params["beta"] = np.ones(6), np.zeros(6)
        layer = BatchNormalization(gamma, beta)
    insert(net, "Relu2", New=layer)
    np.random.seed(1)
    net.loss(x, LABELS)  # as in training
    kept = layer.mask if kind == "dropout" else layer.xn
    assert kept.shape == (3, 6)
    assert_gradients(net, x)
    np.testing.assert_array_equal(net.predict(x), net.predict(x))  # draws nothing


def test_a_shared_array_has_the_sum_of_its_gradients(rng: np.random.Generator) -> None:
    net = simple_net()
    W, b = net.params["W4"], net.params["b4"] = 0.3 * rng.standard_normal((6, 6)), np.zeros(6)
    insert(net, "Affine2", A=Affine(W, b), Relu3=Relu(), B=Affine(W, b), Relu4=Relu())
    assert_gradients(net, images(rng))


@pytest.mark.parametrize("whole", [False, True])
def test_a_layer_that_comes_twice(whole: bool, rng: np.random.Generator) -> None:
    net = simple_net()
    W, b = net.params["W4"], net.params["b4"] = 0.3 * rng.standard_normal((6, 6)), np.zeros(6)
    relu, affine = Relu(), Affine(W, b)
    twice = Both(affine, Relu()) if whole else affine
    insert(net, "Affine2", A=twice, Relu3=relu, B=twice, Relu4=relu)
    grads = assert_gradients(net, images(rng))
    np.testing.assert_array_equal(affine.dW, grads["W4"])


class Both:
    """A reader's layer that consists of two."""

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.others = first, [second]

    def forward(self, x: Any) -> Any:
        return self.others[0].forward(self.first.forward(x))

    def backward(self, dout: Any) -> Any:
        return self.first.backward(self.others[0].backward(dout))


class Scale:
    """A reader's layer with a parameter of its own."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def forward(self, x: Any, train_flg: bool = False) -> Any:
        self.x, self.trains = x, train_flg
        return self.a * x

    def backward(self, dout: Any) -> Any:
        self.da = (dout * self.x).sum(axis=0)
        return dout * self.a


def test_a_readers_own_layers(rng: np.random.Generator, tmp_path: Path) -> None:
    net, x = simple_net(), images(rng)
    net.params["a"] = rng.standard_normal(6)
    scale = Scale(net.params["a"])
    insert(net, "Relu2", Scale=Both(scale, Sigmoid()), Plain=Relu())
    net.save_params(tmp_path / "p.pkl")
    net.params["a"] *= 2
    net.load_params(tmp_path / "p.pkl")  # before a gradient: `da` is yet to come
    assert scale.a is net.params["a"]
    assert_gradients(net, x)
    net.layers["Scale"] = scale
    net.predict(x)
    assert not scale.trains
    net.loss(x, LABELS)
    assert scale.trains


class OwnFirst(Affine):
    """Does not know of `input_grad`."""

    def backward(self, dout: Any) -> Any:  # type: ignore[override]
        return super().backward(dout)


def test_a_first_layer_of_a_readers_class(rng: np.random.Generator) -> None:
    net = scratch.TwoLayerNet(5, 6, 4, 0.3)
    net.layers["Affine1"] = OwnFirst(net.params["W1"], net.params["b1"])
    assert_gradients(net, rng.standard_normal((3, 5)))


class OwnPredict(SimpleConvNet):
    """Passes through its layers by itself, as the book prints it."""

    def predict(self, x: Any) -> Any:  # type: ignore[override]
        for layer in self.layers.values():
            x = layer.forward(x)
        return x


def test_a_readers_own_predict(rng: np.random.Generator) -> None:
    np.random.seed(0)
    net = OwnPredict((2, 9, 7), CONV, 6, 4, 0.3)
    assert_gradients(net, images(rng))


def test_a_parameter_in_no_layer_is_an_error(rng: np.random.Generator, tmp_path: Path) -> None:
    net, x = simple_net(), images(rng)
    net.params["W9"] = np.ones(2)
    with pytest.raises(ValueError, match="params has 'W9', but no layer holds that very array"):
        net.gradient(x, LABELS)
    net.save_params(tmp_path / "p.pkl")
    net.params["W9"] = np.zeros(2)
    net.load_params(tmp_path / "p.pkl")  # as the book does: it is in params
    assert net.params["W9"].tolist() == [1, 1]
    del net.params["W9"]
    net.layers["Affine2"] = Affine(np.ones((6, 4)), np.zeros(4))
    with pytest.raises(ValueError, match="params has 'W3', but no layer"):
        net.gradient(x, LABELS)


def test_a_view_of_a_parameter_is_an_error(tmp_path: Path) -> None:
    net = scratch.TwoLayerNet(4, 6, 4, 0.3)
    del net.params["W2"]
    net.layers["Affine2"].W = net.params["W1"].T
    net.save_params(tmp_path / "p.pkl")
    message = r"W of Affine is a view of params\['W1'\]"
    with pytest.raises(ValueError, match=message):
        net.gradient(np.ones((3, 4)), LABELS)
    with pytest.raises(ValueError, match=message):
        net.load_params(tmp_path / "p.pkl")


def test_parameters_exchanged_in_the_dict_alone_keep_their_layers(
    rng: np.random.Generator,
) -> None:
    """Like the book's gradient, which reads the layers by name."""
    net, x = simple_net(), images(rng)
    expected = net.gradient(x, LABELS)
    net.params = {name: value.copy() for name, value in net.params.items()}
    for name, grad in net.gradient(x, LABELS).items():
        np.testing.assert_array_equal(grad, expected[name])


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_of_a_network_are_networks(
    clone: Callable[[Any], Any], rng: np.random.Generator
) -> None:
    net, x = simple_net(), images(rng)
    expected = net.gradient(x, LABELS)
    twin = clone(net)
    for name, grad in twin.gradient(x, LABELS).items():
        np.testing.assert_array_equal(grad, expected[name])
    twin.params["W1"] *= 2
    assert twin.layers["Conv1"].W is twin.params["W1"]
    assert not np.array_equal(net.params["W1"], twin.params["W1"])


def test_load_params_binds_each_layer_to_its_own(rng: np.random.Generator, tmp_path: Path) -> None:
    net, x = simple_net(), images(rng)
    W, b = net.params["W4"], net.params["b4"] = 0.3 * rng.standard_normal((6, 6)), np.zeros(6)
    insert(net, "Affine2", Between=Affine(W, b), Relu3=Relu())
    expected = net.predict(x)
    net.save_params(tmp_path / "p.pkl")
    for value in net.params.values():
        value[...] = 0
    net.load_params(tmp_path / "p.pkl")
    np.testing.assert_array_equal(net.predict(x), expected)
    assert net.layers["Between"].W is net.params["W4"]
    assert net.layers["Affine2"].W is net.params["W3"]
    assert_gradients(net, x)


@pytest.mark.parametrize("wrong", ["shape", "names", "tied"])
def test_load_params_refuses_before_it_changes(wrong: str, tmp_path: Path) -> None:
    net = simple_net()
    others = {name: value + 1 for name, value in net.params.items()}
    if wrong == "shape":
        others["b3"] = np.zeros(5)
    elif wrong == "names":
        others["W4"] = np.zeros(3)
    else:
        net.params["W4"] = net.params["W3"]
        others["W4"] = others["W3"] + 1
    scratch.save_params(others, tmp_path / "p.pkl")
    before = {name: value.copy() for name, value in net.params.items()}
    arrays = dict(net.params)
    with pytest.raises(ValueError, match=r"p\.pkl has "):
        net.load_params(tmp_path / "p.pkl")
    for name, value in net.params.items():
        assert value is arrays[name]
        np.testing.assert_array_equal(value, before[name])
    assert net.layers["Affine2"].W is net.params["W3"]


def test_weight_decay_of_an_added_layer(rng: np.random.Generator) -> None:
    np.random.seed(0)
    net = scratch.MultiLayerNet(5, [6, 6], 4, weight_decay_lambda=0.3)
    W, b = net.params["W9"], net.params["b9"] = rng.standard_normal((6, 6)), np.zeros(6)
    insert(net, "Affine2", New=Affine(W, b), Again=Affine(W, b))
    assert_gradients(net, rng.standard_normal((3, 5)))
    plain = net.layers["Affine1"].dW
    assert not np.array_equal(net.gradient(np.ones((3, 5)), LABELS)["W1"], plain)


@pytest.mark.parametrize("step", ["loss", "gradient", "predict"])
@pytest.mark.parametrize("kind", [scratch.SimpleConvNet, scratch.DeepConvNet])
def test_a_readers_loop_after_a_pass(kind: Any, step: str, rng: np.random.Generator) -> None:
    """The gradient of the image, by the layers' own backward, is that of the loss."""
    np.random.seed(1)
    net = kind((1, 14, 14))
    if step == "predict":
        net.layers = [layer for layer in net._chain() if not isinstance(layer, Dropout)]
    x, t = rng.standard_normal((2, 1, 14, 14)), np.array([1, 7])
    np.random.seed(2)
    if step == "predict":
        net.last_layer.forward(net.predict(x), t)
    else:
        getattr(net, step)(x, t)
    if step == "gradient":
        for value in net.params.values():
            value *= 1.0001  # an optimiser's step does not change what was kept
            value /= 1.0001
    dout = net.last_layer.backward(1)
    for layer in reversed(net._chain()):
        dout = layer.backward(dout)

    def loss() -> float:
        np.random.seed(2)
        return float(net.loss(x, t))

    places = [tuple(rng.integers(0, x.shape)) for _ in range(8)]
    slopes = reference_scratch.central_differences(loss, x, places)
    np.testing.assert_allclose([dout[p] for p in places], slopes, rtol=1e-4, atol=1e-7)


def test_backward_after_a_pass_outside_training(rng: np.random.Generator) -> None:
    """It differentiates that pass, not the training pass before it."""
    x, gamma = rng.standard_normal((4, 5)), rng.standard_normal(5)
    dropout, norm = Dropout(0.25), BatchNormalization(gamma, np.zeros(5))
    for layer in (dropout, norm):
        layer.forward(rng.standard_normal((6, 5)))
        layer.forward(x, train_flg=False)
    np.testing.assert_allclose(dropout.backward(x), 0.75 * x)
    scale = gamma / np.sqrt(norm.running_var + 1e-6)
    np.testing.assert_allclose(norm.backward(x), scale * x, rtol=1e-12)
    xn = (x - norm.running_mean) / np.sqrt(norm.running_var + 1e-6)
    np.testing.assert_allclose(norm.dgamma, (xn * x).sum(axis=0), rtol=1e-12)
    assert dropout.mask.shape == (6, 5)
    dropout.forward(x)
    np.testing.assert_array_equal(dropout.backward(x), x * dropout.mask)


class LeakyRelu(Relu):
    """From a reader's notebook; the book's Relu sets `mask` in this way."""

    def __init__(self, slope: float) -> None:
        self.mask = None
        self.slope = slope

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.where(self.mask, self.slope * x, x)

    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, self.slope * dout, dout)


class HardRelu(Relu):
    """Fills `mask` and leaves the rest to the book's class."""

    def __init__(self) -> None:
        self.mask = None

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0.5
        return np.where(self.mask, 0, x)


class BooksConvolution(Convolution):
    """With the forward of chapter 7, filters doubled, and the book's own attributes."""

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W, self.b, self.stride, self.pad = W, b, stride, pad
        self.x = self.col = self.col_W = self.dW = self.db = None

    def forward(self, x: Any) -> Any:
        filters, _, height, width = self.W.shape
        self.x = x
        self.col = scratch.im2col(x, height, width, self.stride, self.pad)
        self.col_W = 2 * self.W.reshape(filters, -1).T
        out = np.dot(self.col, self.col_W) + self.b
        oh = (x.shape[2] + 2 * self.pad - height) // self.stride + 1
        return out.reshape(len(x), oh, -1, filters).transpose(0, 3, 1, 2)


class BooksPooling(Pooling):
    """With the forward of chapter 7."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 1, pad: int = 0) -> None:
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad
        self.x = self.arg_max = None

    def forward(self, x: Any) -> Any:
        oh = (x.shape[2] - self.pool_h) // self.stride + 1
        col = scratch.im2col(x, self.pool_h, self.pool_w, self.stride, self.pad)
        col = col.reshape(-1, self.pool_h * self.pool_w)
        self.x, self.arg_max = x, col.argmax(axis=1)
        return col.max(axis=1).reshape(len(x), oh, -1, x.shape[1]).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    "make",
    [
        lambda _: LeakyRelu(0.1),
        lambda _: HardRelu(),
        lambda rng: BooksConvolution(rng.standard_normal((3, 2, 3, 2)), np.ones(3), 2, 1),
        lambda _: BooksPooling(2, 3, 2),
        lambda _: BooksPooling(3, 2, 1),
    ],
)
def test_classes_of_readers_that_set_the_books_attributes(
    make: Callable[[Any], Any], rng: np.random.Generator
) -> None:
    layer, x = make(rng), rng.standard_normal((2, 2, 7, 7))
    repr(layer)
    dout = rng.standard_normal(layer.forward(x).shape)
    dx = layer.backward(dout)
    places = [tuple(rng.integers(0, x.shape)) for _ in range(30)]

    def total() -> float:
        return float(np.sum(layer.forward(x) * dout))

    slopes = reference_scratch.central_differences(total, x, places)
    np.testing.assert_allclose([dx[p] for p in places], slopes, rtol=1e-6, atol=1e-7)
    if isinstance(layer, Convolution):
        # As the book has it: col.T @ dout, whatever the filters became in col_W.
        layer.forward(x)
        layer.backward(dout)
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, 3)
        np.testing.assert_allclose(layer.dW.reshape(3, -1), rows.T @ layer.col, rtol=1e-10)
        np.testing.assert_allclose(layer.db, rows.sum(axis=0), rtol=1e-10)


def test_attributes_may_be_replaced(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3))
    relu = Relu()
    relu.forward(x)
    relu.mask = np.array([[True, False, False], [False, True, True]])
    np.testing.assert_array_equal(relu.backward(np.ones((2, 3))), ~relu.mask)
    relu.forward(x)
    np.testing.assert_array_equal(relu.backward(np.ones((2, 3))), x > 0)
    two = scratch.TwoLayerNet(3, 2, 2)
    two.lastLayer = last = scratch.SoftmaxWithLoss()
    assert two.last_layer is last
    conv = Convolution(np.ones((1, 1, 2, 2)), np.zeros(1))
    conv.bias = "a reader's own"


def test_wrapped_layers_are_called(rng: np.random.Generator) -> None:
    """A forward assigned to an instance is not skipped by the fused call."""
    net, x, seen = simple_net(), images(rng), []
    relu = net.layers["Relu1"]
    plain = relu.forward
    relu.forward = lambda x: seen.append(x.shape) or plain(x)
    assert_gradients(net, x)
    assert seen[0] == (3, 3, 8, 6)


def test_integers_are_computed_in_float64(rng: np.random.Generator) -> None:
    """As NumPy does, which the book uses."""
    x = rng.integers(0, 2**30, (2, 2, 5, 5))
    W, b = rng.integers(0, 99, (3, 2, 2, 2)), np.ones(3, np.int64)
    conv = Convolution(W, b)
    out = conv.forward(x)
    exact = reference.conv2d(x.astype(np.float64), W.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(out, exact, rtol=1e-15)
    matrix = rng.integers(0, 2**30, (50, 3))
    np.testing.assert_allclose(
        Affine(matrix, b).forward(x), x.reshape(2, 50) @ matrix.astype(float) + 1
    )
    assert conv.forward(x.astype(np.uint8)).dtype == np.float64


def test_one_image_and_a_network_of_nothing(rng: np.random.Generator) -> None:
    net = simple_net()
    assert_gradients(net, images(rng)[:1], LABELS[:1])
    net.params, net.layers = {}, {}
    scores = rng.standard_normal((3, 4))
    np.testing.assert_array_equal(net.predict(scores), scores)
    assert net.gradient(scores, LABELS) == {}


def test_layers_and_networks_show_their_settings() -> None:
    assert repr(Convolution(np.ones((4, 3, 5, 5)), np.zeros(4), 2)) == (
        "Convolution(W (4, 3, 5, 5), b (4,), stride=2, pad=0)"
    )
    assert repr(Pooling(2, 3, stride=2)) == "Pooling(pool_h=2, pool_w=3, stride=2, pad=0)"
    assert repr(Dropout(0.3)) == "Dropout(dropout_ratio=0.3)"
    lines = repr(scratch.TwoLayerNet(3, 2, 2)).splitlines()
    assert lines[:2] == ["TwoLayerNet(", "  Affine1: Affine(W (3, 2), b (2,))"]
