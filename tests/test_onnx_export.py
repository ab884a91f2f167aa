"""Networks as ONNX files: valid, and computed alike by evaluators that others wrote.

ONNX's own reference evaluator always takes part, ONNX Runtime where it is installed.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops import op_conv_transpose

import pocketcnn as pc
from fuzz_networks import draw_layers
from pocketcnn.layers import LAYERS, Layer
from pocketcnn.onnx import exporting
from pocketcnn.onnx.exporters.table import EXPORTERS

Array: TypeAlias = npt.NDArray[Any]
Evaluator: TypeAlias = Callable[[Path, Array], Array]

NEWEST = onnx.defs.onnx_opset_version()
OPSETS = range(exporting.OLDEST_OPSET, NEWEST + 1)

# Sums of some thousand products, added in another order, differ by about sqrt(4096) roundings of
# 2**-24 of the largest (see tolerance.py). In float64 too: settings are float32 in ONNX, and an
# error in a scale counts for each of the pixels it is multiplied with, and for two neighbours.
TOLERANCE = 64 * 2.0**-24


class LRN(OpRun):
    """ONNX's definition; the evaluator's own goes over as many channels as there are images."""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        squares = np.zeros_like(x)
        for c in range(x.shape[1]):
            first, last = max(0, c - (size - 1) // 2), c + math.ceil((size - 1) / 2)
            squares[:, c] = (x[:, first : last + 1] ** 2).sum(axis=1)
        return ((x / (bias + alpha / size * squares) ** beta).astype(x.dtype),)


class ConvTranspose(op_conv_transpose.ConvTranspose):
    """Group by group; the evaluator's own takes no more than one filter of a group."""

    def _run(self, x, w, b=None, group=1, **settings):
        biases = [None] * group if b is None else np.split(b, group)
        parts = zip(np.split(x, group, axis=1), np.split(w, group), biases, strict=True)
        maps = [super(ConvTranspose, self)._run(*part, group=1, **settings)[0] for part in parts]
        return (np.concatenate(maps, axis=1),)


def by_reference(path: Path, x: Array) -> Array:
    return ReferenceEvaluator(str(path), new_ops=[LRN, ConvTranspose]).run(None, {"input": x})[0]


def by_runtime(path: Path, x: Array) -> Array:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # newer opsets than it knows are a warning
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


@pytest.fixture(
    params=[
        by_reference,
        pytest.param(
            by_runtime,
            marks=pytest.mark.skipif(
                find_spec("onnxruntime") is None, reason="onnxruntime is not installed"
            ),
        ),
    ]
)
def evaluate(request: pytest.FixtureRequest) -> Evaluator:
    return request.param


def randomize(net: pc.ConvNet, rng: np.random.Generator) -> None:
    """Exchange the zeros and ones of a new network for other numbers."""
    for name, array in {**net.params, **net.buffers}.items():
        if array.ndim == 1:
            signs = 1 if name.endswith("running_var") else rng.choice([-1, 1], array.shape)
            array[...] = rng.uniform(0.5, 1.5, array.shape) * signs


def check(
    net: pc.ConvNet,
    evaluate: Evaluator,
    path: Path,
    opset: int = 17,
    *,
    batches: tuple[int, ...] = (3, 1),
    tolerance: float = TOLERANCE,
) -> onnx.ModelProto:
    """Export, validate, and compare with `predict`; the number of images is free."""
    pc.onnx.export(net, path, opset)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", opset)]
    for n in batches:
        x = np.random.default_rng(n).normal(scale=3, size=(n, *net.input_shape)).astype(net.dtype)
        expected, actual = net.predict(x), evaluate(path, x)
        assert actual.dtype == expected.dtype
        largest = max(np.abs(expected).max(), 1e-3)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * largest)
    return model


MAPS, ROW = (4, 7, 9), (6,)
SIDES = ((1, 0), (2, 1))

LAYER_CASES: list[tuple[Layer, tuple[int, ...]]] = [
    (pc.Conv2d(4, 6, 3), MAPS),
    (pc.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=SIDES, dilation=(1, 2)), MAPS),
    (pc.Conv2d(4, 8, 3, padding="same", stride=2, groups=2, bias=False), MAPS),
    (pc.Conv2d(4, 4, 4, padding="same", groups=4), MAPS),
    (pc.ConvTranspose2d(4, 3, 3), MAPS),
    (pc.ConvTranspose2d(4, 6, (3, 2), (2, 3), SIDES, (1, 2), (1, 2), groups=2), MAPS),
    (pc.ConvTranspose2d(4, 3, 3, stride=2, padding="same", bias=False), MAPS),
    (pc.ConvTranspose2d(4, 3, 4, stride=3, padding="same", output_padding=1), MAPS),
    (pc.ConvTranspose2d(4, 3, 2, stride=4, padding="same", output_padding=(0, 1)), MAPS),
    (pc.MaxPool2d(2), MAPS),
    (pc.MaxPool2d(3, 2, padding=1, ceil_mode=True), MAPS),
    (pc.MaxPool2d((2, 3), (3, 2), padding=((1, 0), (0, 2)), ceil_mode=True), MAPS),
    (pc.MaxPool2d(3, 2, padding="same"), MAPS),
    (pc.MaxPool2d(5, 4, ceil_mode=True), (2, 3, 4)),
    *(
        (pc.AvgPool2d(kernel, stride, padding, ceil_mode, count), MAPS)
        for kernel, stride, padding in [
            (2, None, 0),
            (3, 2, 1),
            ((2, 3), (3, 2), ((1, 0), (0, 2))),
            (3, 3, ((0, 2), (1, 0))),
            (3, 2, "same"),
        ]
        for ceil_mode in (False, True)
        for count in (False, True)
    ),
    (pc.AvgPool2d(5, 4, ceil_mode=True), (2, 3, 4)),
    (pc.GlobalAvgPool2d(), MAPS),
    (pc.BatchNorm2d(4, eps=1e-3, momentum=0.3), MAPS),
    *((pc.LocalResponseNorm(size, 0.5, 0.6, 1.5), (5, 3, 2)) for size in (1, 2, 3, 4, 5, 8)),
    (pc.Linear(6, 5), ROW),
    (pc.Linear(6, 5, bias=False), ROW),
    (pc.ReLU(), MAPS),
    (pc.Sigmoid(), ROW),
    (pc.Tanh(), MAPS),
    (pc.ReLU6(), MAPS),
    (pc.LeakyReLU(0.2), ROW),
    (pc.PReLU(), MAPS),
    (pc.PReLU(4), MAPS),
    (pc.PReLU(6), ROW),
    (pc.ELU(0.7), MAPS),
    (pc.SiLU(), ROW),
    (pc.GELU(), MAPS),
    (pc.GELU(approximate="tanh"), MAPS),
    (pc.HardSigmoid(), MAPS),
    (pc.HardSwish(), MAPS),
    (pc.Softmax(), ROW),
    (pc.Softmax(axis=-1), MAPS),
    (pc.Softmax(axis=0), ROW),
    (pc.Dropout(0.5), ROW),
    (pc.Flatten(), MAPS),
    (pc.Flatten(), ROW),
    (pc.GlobalMaxPool2d(), MAPS),
    (pc.ZeroPad2d(((1, 0), (2, 3))), MAPS),
    (pc.ZeroPad2d(((-1, 2), (3, -4))), MAPS),
    (pc.ZeroPad2d(-1), MAPS),
    (pc.ZeroPad2d(((-5, 6), (0, 0))), MAPS),
    (pc.Upsample(2), MAPS),
    (pc.Upsample((3, 1.5)), MAPS),
    (pc.Upsample((1.3, 0.7)), MAPS),
    (pc.Upsample(1.2), (1, 10, 15)),
    (pc.Upsample((2, 3), "bilinear"), MAPS),
    (pc.Upsample((0.6, 1.3), "bilinear"), MAPS),
    (pc.Upsample(1.3, "bilinear"), (1, 10, 20)),
    (pc.Upsample((2, 1.3), "bilinear", align_corners=True), MAPS),
    (pc.Upsample((0.2, 1.7), "bilinear", align_corners=True), MAPS),
    (pc.GroupNorm(2, 4, eps=0.1), MAPS),
    (pc.GroupNorm(1, 4), MAPS),
    (pc.GroupNorm(4, 4), MAPS),
    (pc.Normalize((0.1, -0.2, 3.0, 0.5), (0.2, 4.0, 1.5, 0.3)), MAPS),
    (pc.ChannelShuffle(2), MAPS),
    (pc.Clip(-0.5, 0.25), MAPS),
    (pc.Clip(high=0.5), ROW),
    (pc.Clip(0.1), ROW),
    (pc.Clip(), ROW),
    (pc.ScaleShift(0.5, -2.0), ROW),
    (pc.ScaleShift(3.0), MAPS),
    (pc.LogSoftmax(), ROW),
    (pc.LogSoftmax(axis=2), MAPS),
    (pc.Reshape((3, 4, 21)), MAPS),
    (pc.Permute((2, 0, 1)), MAPS),
    (pc.Slice(1, 3), MAPS),
    (pc.Slice(1, 8, axis=3, step=3), MAPS),
    (pc.Residual([pc.Conv2d(4, 4, 3, padding=1), pc.Dropout(0.1)]), MAPS),
    (pc.Residual([("c", pc.Conv2d(4, 2, 1))], [("d", pc.Conv2d(4, 2, 1))]), MAPS),
    (pc.Residual([pc.Residual([pc.BatchNorm2d(4)]), pc.ReLU()]), MAPS),
]


def branched() -> pc.ConvNet:
    """A network with every layer of several inputs, two or more."""
    entries = [
        ("conv1", pc.Conv2d(4, 4, 3, padding=1)),
        ("conv2", pc.Conv2d(4, 4, 3, padding=1), "input"),
        ("sum", pc.Add(), ["conv1", "conv2"]),
        ("drop", pc.Dropout(0.3)),
        ("all", pc.Add(), ["drop", "conv1", "input"]),
        ("pool", pc.GlobalAvgPool2d()),
        ("gate", pc.Sigmoid()),
        ("shifted", pc.Add(), ["gate", "all"]),
        ("scaled", pc.Multiply(), ["shifted", "gate"]),
        ("cube", pc.Multiply(), ["sum", "scaled", "gate", "sum"]),
        ("both", pc.Concat(), ["cube", "drop"]),
        ("joined", pc.Concat(), ["both", "input", "input"]),
    ]
    return pc.ConvNet(entries, MAPS)


def test_every_layer_of_the_package_is_written() -> None:
    own = {kind for kind in LAYERS.values() if kind.__module__.startswith("pocketcnn.layers.")}
    assert own == EXPORTERS.keys()
    tested = [*(layer for layer, _ in LAYER_CASES), *branched().layers.values()]
    assert set(map(type, tested)) == own


def test_branches(evaluate: Evaluator, tmp_path: Path) -> None:
    model = check(branched(), evaluate, tmp_path / "net.onnx")
    assert "drop" not in {node.name for node in model.graph.node}


@pytest.mark.parametrize(("layer", "shape"), LAYER_CASES, ids=str)
def test_layer(layer: Layer, shape: tuple[int, ...], evaluate: Evaluator, tmp_path: Path) -> None:
    net = pc.ConvNet([("layer", layer.astype(np.float32))], shape, seed=None)
    randomize(net, np.random.default_rng(0))
    model = check(net, evaluate, tmp_path / "net.onnx")
    assert [value.name for value in model.graph.output] == ["layer"]
    assert model.graph.node[-1].name == "layer"
    parameters = {tensor.name for tensor in model.graph.initializer}
    assert parameters >= net.params.keys() | net.buffers.keys()


@pytest.mark.parametrize(("layer", "shape"), LAYER_CASES, ids=str)
def test_layer_in_double(layer: Layer, shape: tuple[int, ...], tmp_path: Path) -> None:
    net = pc.ConvNet([("layer", layer.astype(np.float64))], shape, seed=None, dtype=np.float64)
    randomize(net, np.random.default_rng(0))
    check(net, by_reference, tmp_path / "net.onnx")


# Small images for networks that are made for large ones.
SHAPES = {
    "alexnet": (3, 67, 67),
    "efficientnet_lite0": (3, 64, 64),
    "mobilenet_v2": (3, 64, 64),
    "resnet18": (3, 40, 32),
    "resnet50": (3, 64, 64),
    "vgg16": (3, 32, 32),
}


@pytest.mark.parametrize("name", pc.models.__all__)
def test_model(name: str, evaluate: Evaluator, tmp_path: Path) -> None:
    size = {"input_shape": SHAPES[name]} if name in SHAPES else {}
    net = getattr(pc.models, name)(**size)
    randomize(net, np.random.default_rng(1))
    # Up to fifty layers: each evaluator is 3e-6 away from float64.
    check(net, evaluate, tmp_path / "net.onnx", batches=(2,), tolerance=4 * TOLERANCE)


def everything() -> pc.ConvNet:
    """All cases side by side, each reading the input or a linear map of it; their outputs."""
    entries: list[Any] = [("flat", pc.Flatten())]
    for place, (layer, shape) in enumerate(LAYER_CASES):
        source = "input"
        if shape != MAPS:
            source = f"shaped{place}"
            features = pc.Linear(math.prod(MAPS), math.prod(shape))
            entries += [(f"fc{place}", features, "flat"), (source, pc.Reshape(shape))]
        entries.append((f"layer{place}", layer.astype(np.float32), source))
        entries.append((f"row{place}", pc.Flatten()))
    rows = [name for name, *_ in entries if name.startswith("row")]
    net = pc.ConvNet([*entries, ("all", pc.Concat(), rows)], MAPS, seed=None)
    randomize(net, np.random.default_rng(2))
    return net


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset(opset: int, evaluate: Evaluator, tmp_path: Path) -> None:
    model = check(everything(), evaluate, tmp_path / "net.onnx", opset)
    # As old as the opset allows, which older runtimes read.
    assert model.ir_version <= onnx.helper.find_min_ir_version_for(model.opset_import)


@pytest.mark.parametrize("seed", range(32))
def test_random_network(seed: int, evaluate: Evaluator, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    layers, input_shape = draw_layers(rng)
    net = pc.ConvNet(layers, input_shape, seed=seed)
    randomize(net, rng)
    opset = OPSETS[seed % len(OPSETS)]
    # The few scores of such a network may be small sums of large numbers.
    check(net, evaluate, tmp_path / "net.onnx", opset, tolerance=16 * TOLERANCE)


def test_the_graph_has_the_names_of_the_network(tmp_path: Path) -> None:
    net = pc.models.resnet18(5, input_shape=(3, 32, 32), seed=None)
    pc.onnx.export(net, tmp_path / "net.onnx")
    graph = onnx.load(tmp_path / "net.onnx").graph
    names = [node.name for node in graph.node]
    assert names[:5] == ["conv1", "bn1", "relu", "pool", "layer1_0.body.conv1"]
    assert [name for name in names if "." not in name] == list(net.layers)
    assert all(node.output == [node.name] for node in graph.node)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    assert arrays.keys() == net.params.keys() | net.buffers.keys()
    for name, array in {**net.params, **net.buffers}.items():
        np.testing.assert_array_equal(arrays[name], array)
    (x,), (y,) = graph.input, graph.output
    for value, name, shape in ((x, "input", (3, 32, 32)), (y, "fc", (5,))):
        assert value.name == name
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param == "N"
        assert tuple(size.dim_value for size in rest) == shape
    assert {value.name for value in graph.value_info} >= net.layers.keys() - {"fc"}


def test_classes_are_in_the_metadata(tmp_path: Path) -> None:
    net = pc.models.lenet5(3)
    path = tmp_path / "net.onnx"

    def metadata() -> dict[str, str]:
        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}

    pc.onnx.export(net, path)
    assert metadata() == {}
    net.classes = ["cat", "고양이", "\ud800"]
    pc.onnx.export(net, path)
    assert json.loads(metadata()["classes"]) == net.classes
    again = path.read_bytes()
    pc.onnx.export(net, path)
    assert path.read_bytes() == again


def test_a_layer_called_input(tmp_path: Path) -> None:
    net = pc.ConvNet([("input", pc.ReLU()), ("input_", pc.Sigmoid())], ROW)
    pc.onnx.export(net, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["input__"]


def test_dropout_at_the_end(evaluate: Evaluator, tmp_path: Path) -> None:
    net = pc.ConvNet([("flat", pc.Flatten()), ("drop", pc.Dropout(0.5))], (2, 3, 3))
    model = check(net, evaluate, tmp_path / "net.onnx")
    assert [node.op_type for node in model.graph.node] == ["Flatten", "Identity"]
    assert [value.name for value in model.graph.output] == ["drop"]


def test_large_weights_are_written_beside(
    evaluate: Evaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = pc.models.compact_resnet()
    monkeypatch.setattr(exporting, "_MOST_BYTES", 2**20)
    pc.onnx.export(net, tmp_path / "net.onnx")
    assert {file.name for file in tmp_path.iterdir()} == {"net.onnx", "net.onnx.data"}
    assert (tmp_path / "net.onnx").stat().st_size < 2**15
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    x = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    expected = net.predict(x)
    actual = evaluate(tmp_path / "net.onnx", x)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


class Square(Layer):
    def forward(self, x: Array, training: bool = False) -> Array:
        return x * x

    def backward(self, grad: Array) -> Array:
        return grad

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape


class Loud(pc.ReLU):
    """A subclass may compute something else."""


def test_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    for kind in (Square, Loud):
        net = pc.ConvNet([("odd", kind()), ("fc", pc.Linear(2, 2))], (2,), seed=None)
        with pytest.raises(ValueError, match=f"layer 'odd' is a {kind.__name__}, which has no"):
            pc.onnx.export(net, path)
        inner = pc.ConvNet([("block", pc.Residual([("odd", kind())]))], (2,), seed=None)
        with pytest.raises(ValueError, match=r"layer 'block.body.odd' is"):
            pc.onnx.export(inner, path)
    net = pc.models.lenet5()
    for opset in (12, NEWEST + 1):
        with pytest.raises(ValueError, match=f"opset is {opset}, but must be 13 to {NEWEST}"):
            pc.onnx.export(net, path, opset)
    with pytest.raises(TypeError, match=r"opset is 17.5"):
        pc.onnx.export(net, path, 17.5)
    with pytest.raises(TypeError, match="net is a str, but must be a ConvNet"):
        pc.onnx.export("net", path)
    with pytest.raises(FileNotFoundError):
        pc.onnx.export(net, tmp_path / "nowhere" / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install pocketcnn\[onnx\]"):
        pc.onnx.export(net, path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for most in (2**31, 0):
        monkeypatch.setattr(exporting, "_MOST_BYTES", most)
        with monkeypatch.context() as patch:
            patch.setattr("pocketcnn._files.atomic.os.fsync", fail)
            with pytest.raises(OSError, match="No space left"):
                pc.onnx.export(pc.models.lenet5(), path)
        assert path.read_bytes() == b"before"
        assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
