"""ONNX files that are no network, damaged, or hostile: one error that says what is wrong."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import pocketcnn as pc
from test_onnx_import import model_of, node, normal, small_model

W = {"w": normal(4, 3, 3, 3)}
REFUSED = {
    "unknown operator": ([node("Det", "x", "y")], r"node 'the Det' \(Det\): there is no layer"),
    "another domain": (
        [helper.make_node("Relu", ["x"], ["y"], domain="com.example")],
        r"node 'y' \(Relu\): the operator is of domain 'com.example'",
    ),
    "unknown attribute": (
        [node("Relu", "x", "y", leak=0.1)],
        r"node 'the Relu' \(Relu\): the operator has no attribute leak",
    ),
    "attribute of another type": (
        [node("Conv", "x w", "y", strides=1.5)],
        r"\(Conv\): attribute strides is of type FLOAT, but must be INTS",
    ),
    "weight that is computed from the input": (
        [node("Conv", "x x", "y")],
        r"\(Conv\): input 1 depends on the network's input",
    ),
    "wrong channels": (
        [node("Conv", "x v", "y")],
        r"\(Conv\): a weight of shape \(4, 2, 3, 3\) in 1 groups does not fit 3 channels",
    ),
    "no groups": ([node("Conv", "x w", "y", group=0)], "in 0 groups"),
    "strides of zero": ([node("Conv", "x w", "y", strides=[0, 1])], r"strides is \[0, 1\]"),
    "window beyond the image": ([node("Conv", "x w", "y", dilations=[9, 9])], r"\(Conv\): "),
    "huge padding": (
        [node("Conv", "x w", "y", pads=[2**62] * 4)],
        r"pads is \[4611686018427387904",
    ),
    "huge output": ([node("Conv", "x w", "y", pads=[2**30] * 4)], r"its output would be"),
    "batch axis": ([node("Transpose", "x", "y", perm=[1, 0, 2, 3])], "must keep the batch axis"),
    "input that nothing makes": ([node("Add", "x z", "y")], "nothing makes 'z'"),
    "nodes in the wrong order": (
        [node("Tanh", "a", "b"), node("Relu", "x", "a"), node("Add", "a b", "y")],
        r"\(Tanh\): it stands before what it reads",
    ),
    "circle": ([node("Add", "x y", "y")], "it stands before what it reads"),
    "a value made twice": ([node("Relu", "x", "y"), node("Tanh", "x", "y")], "'y' is made twice"),
    "output without an input": ([node("Relu", "w", "y")], "does not depend on an input"),
    "too large a constant": (
        [node("ConstantOfShape", "huge", "c"), node("Add", "x c", "y")],
        r"\(ConstantOfShape\): the constants that the file lets compute take over 2048 MiB",
    ),
    "constants that grow": (
        [
            node("Identity", "w", "g0"),
            *(node("Concat", f"g{k} g{k}", f"g{k + 1}", axis=0) for k in range(24)),
            node("Add", "x g24", "y"),
        ],
        "take over 2048 MiB",
    ),
    "tiles": ([node("Tile", "w times", "c"), node("Add", "x c", "y")], "take over 2048 MiB"),
    "random constants": (
        [node("RandomNormal", "", "c", shape=[1]), node("Add", "x c", "y")],
        r"\(RandomNormal\): constants are not computed by this operator",
    ),
    "weights of one number": (
        [node("Expand", "one many", "c"), node("MatMul", "x c", "y")],
        "take over 2048 MiB",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    nodes, message = REFUSED[name]
    weights = {
        **W, "v": normal(4, 2, 3, 3), "huge": np.array([10**6, 10**6]), "one": normal(1),
        "times": np.array([10**4, 10**4, 1, 1]), "many": np.array([2**20, 2**20]),
    }  # fmt: skip
    for one in nodes:
        while one.input and one.input[-1] == "":
            one.input.pop()
    path = tmp_path / "model.onnx"
    onnx.save(model_of(nodes, ("N", 3, 6, 7), weights), path)
    with pytest.raises(ValueError, match=message) as error:
        pc.onnx.load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    bad = helper.make_node("Det", ["x"], ["y"], name="\x1b[2J\n" + "n" * 10**6)
    onnx.save(model_of([bad], (1, 3, 4, 4), {}), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"\\x1b\[2J") as error:
        pc.onnx.load(tmp_path / "model.onnx")
    assert len(str(error.value)) < 1000


def test_files_that_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(OSError, match=r"model\.onnx"):
        pc.onnx.load(path)
    with pytest.raises(IsADirectoryError):
        pc.onnx.load(tmp_path)
    for content in (b"", b"not a model", b"\x08\x07", b"\xff" * 1000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is not an ONNX model|opset"):
            pc.onnx.load(path)


def test_an_opset_that_is_not_known(tmp_path: Path) -> None:
    for version in (1, 5, 10**6, -1):
        model = small_model()
        model.opset_import[0].version = version
        onnx.save(model, tmp_path / "model.onnx")
        with pytest.raises(ValueError, match=f"has operators of opset {version}, but 6 to"):
            pc.onnx.load(tmp_path / "model.onnx")


def test_a_tensor_of_other_size_than_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for dims in ([4, 3, 3, 2], [10**9, 10**9], [-1, 3, 3, 3]):
        model = model_of([node("Conv", "x w", "y")], (1, 3, 6, 7), W)
        model.graph.initializer[0].dims[:] = dims
        onnx.save(model, path)
        with pytest.raises(ValueError, match=r"tensor 'w' (of|has) shape"):
            pc.onnx.load(path)


def with_external_data(folder: Path, location: str, offset: int, length: int) -> Path:
    model = model_of([node("Conv", "x w", "y")], (1, 3, 6, 7), W)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        item = tensor.external_data.add()
        item.key, item.value = key, str(value)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_tensors_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights.bin").write_bytes(bytes(16) + W["w"].tobytes())
    path = with_external_data(tmp_path, "data/weights.bin", 16, W["w"].nbytes)
    np.testing.assert_array_equal(pc.onnx.load(path).params["the_Conv.weight"], W["w"])


@pytest.mark.parametrize(
    ("location", "offset", "length", "message"),
    [
        ("../secret", 0, 432, "is in '../secret', but must be in the model's folder"),
        ("/etc/hostname", 0, 432, "must be in the model's folder"),
        ("link", 0, 432, "must be in the model's folder"),
        ("folder/../../secret", 0, 432, "must be in the model's folder"),
        ("", 0, 432, "must be in the model's folder"),
        ("weights", 1, 432, "needs bytes 1 to 433 of weights, which has 432"),
        ("weights", 0, 400, "has offset 0 and length 400, but needs 432 bytes"),
        ("weights", -5, 432, "has offset -5"),
        ("weights", "9" * 40, 432, "has offset 9999"),
    ],
)
def test_tensors_elsewhere_are_not_read(
    location: str, offset: Any, length: int, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(432))
    (folder / "weights").write_bytes(bytes(432))
    (folder / "link").symlink_to(tmp_path / "secret")
    path = with_external_data(folder, location, offset, length)
    with pytest.raises(ValueError, match=message):
        pc.onnx.load(path)


def test_a_missing_file_of_tensors(tmp_path: Path) -> None:
    path = with_external_data(tmp_path, "weights", 0, 432)
    with pytest.raises(FileNotFoundError):
        pc.onnx.load(path)


def test_one_tensor_for_many_layers_takes_no_more_memory_than_allowed(tmp_path: Path) -> None:
    weights = {"w": normal(1), "shape": np.array([8192, 8192])}
    nodes = [node("Expand", "w shape", "big")]
    name = "x"
    for step in range(12):
        nodes.append(node("MatMul", f"{name} big", f"v{step}"))
        name = f"v{step}"
    path = tmp_path / "model.onnx"
    onnx.save(model_of(nodes, (1, 8192), weights), path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="its layers need 805306368 weights, of a file of"):
        pc.onnx.load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_damaged_files(tmp_path: Path) -> None:
    """Any bytes give a network or one of the documented errors."""
    seed = 11
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    content = bytearray(small_model().SerializeToString())
    path = tmp_path / "model.onnx"
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(damaged)))
            damaged[place] = int(rng.integers(256))
        if rng.random() < 0.2:
            del damaged[int(rng.integers(len(damaged))) :]
        path.write_bytes(damaged)
        with suppress(ValueError, OSError):
            pc.onnx.load(path)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install pocketcnn\[onnx\]"):
        pc.onnx.load(tmp_path / "model.onnx")
