"""Graphs of ONNX read as networks, beside onnx.reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import fuzz_networks
import pocketcnn as pc

RNG = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    """A node of names with spaces between them; "-" is one that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, output.split(), name=f"the {op}", **attributes)


def model_of(
    nodes: list[Any], shape: tuple[Any, ...], weights: dict[str, Any], opset: int = 17
) -> Any:
    """A model from "x" to what its last node makes."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def read(model: Any, folder: Path, **options: Any) -> pc.ConvNet:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return pc.onnx.load(path, **options)


def check(
    model: Any, folder: Path, sample: tuple[int, ...], kinds: str | None = None, **options: Any
) -> pc.ConvNet:
    """Read a model; compare scores with onnx.reference and the layers with their names."""
    net = read(model, folder, **options)
    x = normal(2, *sample)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    actual = net.predict(x)
    assert actual.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * max(scale, 1e-3))
    if kinds is not None:
        assert [type(layer).__name__ for layer in net.layers.values()] == kinds.split()
    return net


# Formulas that are layers

HALF = np.float32(0.5)
FORMULAS = {
    "silu": ([node("Sigmoid", "x", "s"), node("Mul", "x s", "y")], {}, "SiLU"),
    "hard swish": (
        [node("HardSigmoid", "x", "s", alpha=1 / 6), node("Mul", "s x", "y")],
        {},
        "HardSwish",
    ),
    "hard swish by clip": (
        [
            node("Add", "x three", "a"),
            node("Clip", "a zero six", "b"),
            node("Mul", "x b", "c"),
            node("Div", "c six", "y"),
        ],
        {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)},
        "HardSwish",
    ),
    "hard sigmoid by clip": (
        [node("Add", "x three", "a"), node("Clip", "a zero six", "b"), node("Div", "b six", "y")],
        {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)},
        "HardSigmoid",
    ),
    "gelu, halved last": (
        [
            node("Div", "x root", "a"),
            node("Erf", "a", "b"),
            node("Add", "b one", "c"),
            node("Mul", "x c", "d"),
            node("Mul", "d half", "y"),
        ],
        {"root": np.float32(math.sqrt(2)), "one": np.float32(1), "half": HALF},
        "GELU",
    ),
    "gelu, halved first": (
        [
            node("Mul", "x half", "h"),
            node("Mul", "x root", "a"),
            node("Erf", "a", "b"),
            node("Add", "one b", "c"),
            node("Mul", "h c", "y"),
        ],
        {"root": np.float32(math.sqrt(0.5)), "one": np.float32(1), "half": HALF},
        "GELU",
    ),
    "gelu, halved in the middle": (
        [
            node("Div", "x root", "a"),
            node("Erf", "a", "b"),
            node("Add", "b one", "c"),
            node("Mul", "c half", "d"),
            node("Mul", "d x", "y"),
        ],
        {"root": np.array([math.sqrt(2)], np.float32), "one": np.float32(1), "half": HALF},
        "GELU",
    ),
    "bounds": (
        [node("Max", "x low", "a"), node("Min", "high a", "y")],
        {"low": np.float32(-0.5), "high": np.float32(0.5)},
        "Clip Clip",
    ),
    "difference of branches": (
        [node("Relu", "x", "a"), node("Sub", "x a", "y")],
        {},
        "ReLU ScaleShift Add",
    ),
    "prelu of two rectifiers": (
        [
            node("Relu", "x", "a"),
            node("Neg", "x", "b"),
            node("Relu", "b", "c"),
            node("Mul", "slopes c", "d"),
            node("Add", "a d", "y"),
        ],
        {"slopes": normal(3, 1, 1)},
        "PReLU",
    ),
    "square": ([node("Mul", "x x", "y")], {}, "Multiply"),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_recognised(name: str, tmp_path: Path) -> None:
    nodes, weights, kinds = FORMULAS[name]
    check(model_of(nodes, ("N", 3, 4, 5), weights), tmp_path, (3, 4, 5), kinds)


# Scales and shifts beside layers

PER_CHANNEL = (4, 1, 1)
FOLDED = {
    "bias after a convolution": ([node("Add", "c t", "y")], "Conv2d"),
    "scale and shift after a convolution": (
        [node("Mul", "c s", "a"), node("Sub", "a t", "y")],
        "Conv2d",
    ),
    "batch norm, scale and shift": (
        [
            node("BatchNormalization", "c g b m v", "n"),
            node("Mul", "n s", "a"),
            node("Add", "a t", "y"),
        ],
        "Conv2d BatchNorm2d",
    ),
    "a number stays": ([node("Mul", "c two", "y")], "Conv2d ScaleShift"),
    "read twice": (
        [node("Mul", "c s", "a"), node("Relu", "c", "r"), node("Add", "a r", "y")],
        "Conv2d Conv2d ReLU Add",
    ),
    "a constant per pixel": ([node("Add", "c pixels", "y")], "Conv2d Reshape Conv2d Reshape"),
}


@pytest.mark.parametrize("name", FOLDED)
def test_scales_and_shifts(name: str, tmp_path: Path) -> None:
    tail, kinds = FOLDED[name]
    weights = {
        "w": normal(4, 3, 3, 3), "s": normal(*PER_CHANNEL), "t": normal(*PER_CHANNEL),
        "g": normal(4), "b": normal(4), "m": normal(4), "v": normal(4) ** 2 + HALF,
        "two": np.float32(2), "pixels": normal(4, 3, 4),
    }  # fmt: skip
    model = model_of([node("Conv", "x w", "c"), *tail], ("N", 3, 5, 6), weights)
    check(model, tmp_path, (3, 5, 6), kinds)


def test_scale_after_a_transposed_convolution_in_groups(tmp_path: Path) -> None:
    weights = {"w": normal(4, 2, 3, 3), "s": normal(*PER_CHANNEL), "t": normal(*PER_CHANNEL)}
    nodes = [
        node("ConvTranspose", "x w", "c", group=2, strides=[2, 2]),
        node("Mul", "c s", "a"),
        node("Add", "a t", "y"),
    ]
    net = read(model_of(nodes, (1, 4, 5, 6), weights), tmp_path)
    assert [*map(type, net.layers.values())] == [pc.ConvTranspose2d]
    # onnx.reference does not know groups: its node tests, which have them, passed without a scale.
    bare = read(model_of(nodes[:1], (1, 4, 5, 6), weights), tmp_path)
    x = normal(2, 4, 5, 6)
    expected = bare.predict(x) * weights["s"] + weights["t"]
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-5, atol=1e-5)


def test_normalised_input(tmp_path: Path) -> None:
    weights = {
        "scale": np.float32(255),
        "mean": np.array([0.4, 0.5, 0.6], np.float32).reshape(1, 3, 1, 1),
        "std": np.array([0.2, 0.3, 0.4], np.float32).reshape(1, 3, 1, 1),
    }
    nodes = [node("Div", "x scale", "a"), node("Sub", "a mean", "b"), node("Div", "b std", "y")]
    net = check(
        model_of(nodes, ("N", 3, "H", "W"), weights),
        tmp_path,
        (3, 4, 5),
        "Normalize",
        input_shape=(3, 4, 5),
    )
    layer = net.layers["the_Div"]
    np.testing.assert_allclose(layer.mean, [102, 127.5, 153], rtol=1e-6)
    np.testing.assert_allclose(layer.std, [51, 76.5, 102], rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.5, -math.inf])
@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool"])
def test_padding_before_a_window(op: str, value: float, tmp_path: Path) -> None:
    weights = {
        "p": np.array([0, 0, 1, 0, 0, 0, 0, 1]),
        "v": np.float32(value),
        "w": normal(2, 3, 3, 3),
    }
    window = node(op, "a w", "y") if op == "Conv" else node(op, "a", "y", kernel_shape=[3, 3])
    model = model_of([node("Pad", "x p v", "a"), window], ("N", 3, 6, 7), weights)
    if math.isinf(value) and op != "MaxPool":
        with pytest.raises(ValueError, match=r"node 'the Pad' \(Pad\): padding of -inf"):
            read(model, tmp_path)
        return
    net = check(model, tmp_path, (3, 6, 7))
    merged = (value == 0 and op != "MaxPool") or math.isinf(value)
    assert (len(net.layers) == 1) is merged


# Layout


def test_channels_last(tmp_path: Path) -> None:
    """As Keras and TensorFlow write networks: images (N, H, W, C) between the layers."""
    weights = {
        "w1": normal(4, 3, 3, 3), "b1": normal(4), "w2": normal(6, 4, 1, 1),
        "w": normal(6 * 3 * 4, 5), "b": normal(5), "shape": np.array([-1, 72]),
    }  # fmt: skip
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w1", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Transpose", "c", "d", perm=[0, 2, 3, 1]),
        node("Add", "d b1", "e"),
        node("Relu", "e", "f"),
        node("Concat", "f f", "g", axis=3),
        node("Slice", "g from to axes", "h"),
        node("Transpose", "h", "i", perm=[0, 3, 1, 2]),
        node("Conv", "i w2", "j"),
        node("Transpose", "j", "k", perm=[0, 2, 3, 1]),
        node("Reshape", "k shape", "l"),
        node("MatMul", "l w", "m"),
        node("Add", "m b", "y"),
    ]
    weights |= {"from": np.array([2]), "to": np.array([6]), "axes": np.array([-1])}
    model = model_of(nodes, ("N", 6, 8, 3), weights)
    net = read(model, tmp_path)
    assert net.input_shape == (3, 6, 8)
    kinds = [type(layer).__name__ for layer in net.layers.values()]
    assert kinds == ["Conv2d", "ReLU", "Concat", "Slice", "Conv2d", "Flatten", "Linear"]
    x = normal(2, 6, 8, 3)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_allclose(net.predict(x.transpose(0, 3, 1, 2)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_random_moves_of_numbers(seed: int, tmp_path: Path) -> None:
    """Reshape and Transpose in any order, with something in between that numbers pass through."""
    rng = np.random.default_rng(seed)
    shape, nodes, weights = (2, 6, 4), [], {}
    name = "x"
    for step in range(rng.integers(2, 7)):
        after = f"v{step}"
        kind = rng.integers(3)
        if kind == 0:
            order = rng.permutation(len(shape))
            nodes.append(node("Transpose", name, after, perm=[0, *(order + 1)]))
            shape = tuple(shape[axis] for axis in order)
        elif kind == 1:
            shape = tuple(
                rng.permutation(
                    [[48], [6, 8], [2, 3, 8], [4, 3, 2, 2], [1, 16, 3]][rng.integers(5)]
                )
            )
            weights[f"s{step}"] = np.array([-1, *shape])
            nodes.append(node("Reshape", f"{name} s{step}", after))
        else:
            constant = normal(*(int(size) if rng.random() < 0.5 else 1 for size in shape))
            weights[f"c{step}"] = constant
            nodes.append(node("Mul", f"{name} c{step}", after))
        name = after
    print(f"seed {seed}")
    check(model_of(nodes, ("N", 2, 6, 4), weights), tmp_path, (2, 6, 4))


def test_shapes_that_are_computed(tmp_path: Path) -> None:
    """Shape, Gather, Unsqueeze and Concat of a free batch axis, as PyTorch writes a view."""
    weights = {
        "w": normal(4, 2, 3, 3), "i0": np.array(0), "zero": np.array([0]), "rest": np.array([-1]),
    }  # fmt: skip
    nodes = [
        node("Conv", "x w", "c"),
        node("Shape", "c", "s"),
        node("Gather", "s i0", "n"),
        node("Unsqueeze", "n zero", "n1"),
        node("Concat", "n1 rest", "shape", axis=0),
        node("Reshape", "c shape", "y"),
    ]
    check(model_of(nodes, ("N", 2, 6, 5), weights), tmp_path, (2, 6, 5), "Conv2d Flatten")


def test_weights_that_are_computed(tmp_path: Path) -> None:
    weights = {
        "q": RNG.integers(-9, 9, (3, 5, 1)).astype(np.int8),
        "scale": np.float32(0.25),
        "zero": np.int8(1),
        "a": np.array([0]),
    }
    nodes = [
        node("DequantizeLinear", "q scale zero", "d"),
        node("Squeeze", "d two", "e"),
        node("Transpose", "e", "w", perm=[1, 0]),
        node("MatMul", "x w", "y"),
    ]
    weights["two"] = np.array([2])
    net = check(model_of(nodes, ("N", 5), weights, opset=21), tmp_path, (5,), "Linear")
    assert net.params["the_MatMul.weight"].shape == (3, 5)


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_opset(opset: int, tmp_path: Path) -> None:
    weights = {
        "w": normal(4, 3, 3, 3),
        "b": normal(4),
        "f": normal(4, 5),
        "low": np.float32(-1),
        "high": np.float32(1),
    }
    attributes = opset < 11
    nodes = [
        node("Conv", "x w b", "c", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Clip", "c", "d", min=-1.0, max=1.0)
        if attributes
        else node("Clip", "c low high", "d"),
        node("GlobalAveragePool", "d", "e"),
        node("Flatten", "e", "g"),
        node("Gemm", "g f", "h") if opset >= 11 else node("MatMul", "g f", "h"),
        node("LeakyRelu", "h", "y", alpha=0.2),
    ]
    check(model_of(nodes, (1, 3, 7, 8), weights, opset), tmp_path, (3, 7, 8))


# What a network is for


def small_model() -> Any:
    weights = {
        "conv1.weight": normal(4, 3, 3, 3), "conv1.bias": normal(4),
        "fc.weight": normal(5, 4), "fc.bias": normal(5),
    }  # fmt: skip
    nodes = [
        node("Conv", "x conv1.weight conv1.bias", "c"),
        node("Relu", "c", "r"),
        node("GlobalAveragePool", "r", "g"),
        node("Flatten", "g", "f"),
        node("Gemm", "f fc.weight fc.bias", "scores", transB=1),
        node("Softmax", "scores", "y"),
    ]
    return model_of(nodes, ("N", 3, 8, 9), weights)


def test_a_network_is_trained_saved_and_exported(tmp_path: Path) -> None:
    net = read(small_model(), tmp_path, output="scores")
    assert [*net.params] == ["conv1.weight", "conv1.bias", "fc.weight", "fc.bias"]
    x, t = normal(8, 3, 8, 9), RNG.integers(0, 5, 8)
    before = net.loss(x, t)
    trainer = pc.Trainer(net, pc.optim.SGD(0.1), batch_size=8)
    for _ in range(5):
        trainer.step(x, t)
    assert net.loss(x, t) < before
    net.save(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(pc.load(tmp_path / "net.safetensors").predict(x), net.predict(x))
    pc.onnx.export(net, tmp_path / "again.onnx")
    again = pc.onnx.load(tmp_path / "again.onnx")
    assert [*again.params] == [*net.params]
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_there_and_back(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    entries, shape = fuzz_networks.draw_layers(rng)
    net = pc.ConvNet(entries, shape, seed=seed)
    pc.onnx.export(net, tmp_path / "net.onnx")
    again = pc.onnx.load(tmp_path / "net.onnx")
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    expected = net.predict(x)
    print(f"seed {seed}")
    scale = max(1e-3, np.abs(expected).max())
    np.testing.assert_allclose(again.predict(x), expected, rtol=0, atol=1e-5 * scale)


def test_names_of_classes_come_along(tmp_path: Path) -> None:
    net = pc.models.lenet5()
    net.classes = [f"digit {k}" for k in range(10)]
    pc.onnx.export(net, tmp_path / "net.onnx")
    assert pc.onnx.load(tmp_path / "net.onnx").classes == net.classes
    assert pc.onnx.load(tmp_path / "net.onnx").preprocessing is None
    net.preprocessing = pc.Preprocessing("raw", "pad")
    pc.onnx.export(net, tmp_path / "net.onnx")
    assert pc.onnx.load(tmp_path / "net.onnx").preprocessing == net.preprocessing


def test_momentum_that_says_not_trained(tmp_path: Path) -> None:
    norm = pc.ConvNet([("bn", pc.BatchNorm2d(2, momentum=0.3))], (2, 3, 3))
    for opset, momentum in ((13, 0.1), (17, 0.3)):
        pc.onnx.export(norm, tmp_path / "net.onnx", opset=opset)
        again = pc.onnx.load(tmp_path / "net.onnx").layers["bn"]
        assert again.momentum == pytest.approx(momentum)


def test_an_output_is_named(tmp_path: Path) -> None:
    model = small_model()
    model.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, None))
    with pytest.raises(ValueError, match="there are 2 outputs: 'y', 'r'; output names the one"):
        read(model, tmp_path)
    assert read(model, tmp_path, output="r").output_shape == (4, 6, 7)
    with pytest.raises(ValueError, match="output is 'z', but the graph has 'y', 'r'"):
        read(model, tmp_path, output="z")


def test_free_sizes_are_given(tmp_path: Path) -> None:
    model = model_of([node("Relu", "x", "y")], ("N", 3, "H", None), {})
    with pytest.raises(ValueError, match=r"shape \(3, \?, \?\) of a sample with free sizes"):
        read(model, tmp_path)
    with pytest.raises(ValueError, match=r"input_shape is \(4, 5, 6\), but the file has \(3, \?"):
        read(model, tmp_path, input_shape=(4, 5, 6))
    assert read(model, tmp_path, input_shape=[3, 5, 6]).input_shape == (3, 5, 6)


def test_float64_stays(tmp_path: Path) -> None:
    model = model_of([node("MatMul", "x w", "y")], ("N", 3), {"w": RNG.normal(size=(3, 2))})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    net = read(model, tmp_path)
    assert net.dtype == np.float64
