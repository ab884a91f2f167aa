"""ONNX's own test cases, as files that a network can be read from.

A network has one input, and its first axis is the batch. So of a case's inputs the first is the
network's; the others are stored in the file as constants. Where an operator takes two branches of
one shape, they are the halves of the input, which a Split cuts apart.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper


class Case(NamedTuple):
    """A model of one input, an input for it, and the first output that it must give."""

    name: str
    model: Any
    x: np.ndarray
    expected: np.ndarray
    rtol: float
    atol: float


def bound(name: str, model: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Case:
    """Store all inputs but the first in the model."""
    model = copy.deepcopy(model)
    graph = model.graph
    names = [item.name for item in graph.input]
    stored = {tensor.name for tensor in graph.initializer}
    free = [one for one in names if one not in stored]
    for one, value in list(zip(free, inputs, strict=False))[1:]:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), one))
    del graph.output[1:]
    return Case(name, model, inputs[0], outputs[0], 1e-3, 1e-7)


def joined(name: str, model: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Case:
    """Make one input of all, which have the same shape, along axis 1."""
    model = copy.deepcopy(model)
    graph = model.graph
    names = [item.name for item in graph.input]
    shape = list(inputs[0].shape)
    shape[1] *= len(inputs)
    kind = graph.input[0].type.tensor_type.elem_type
    split = helper.make_node("Split", ["joined_input"], names, axis=1)
    if model.opset_import[0].version >= 18:
        split.attribute.append(helper.make_attribute("num_outputs", len(inputs)))
    nodes = [split, *graph.node]
    del graph.node[:], graph.input[:], graph.output[1:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("joined_input", kind, shape))
    return Case(name, model, np.concatenate(inputs, axis=1), outputs[0], 1e-3, 1e-7)


# Three-dimensional pools, which no layer computes, and whose expected outputs take minutes to make.
LEFT_OUT = (
    "averagepool_3d_default",
    "maxpool_3d_default",
    "averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True",
)


def node_cases(modules: Sequence[str]) -> list[Any]:
    """ONNX's node tests in some of the files of onnx/backend/test/case/node.

    When such a file is imported, the metaclass of its classes makes all cases, and reads the
    source of each, which takes most of the time. Here a plain base class stands in for that.
    """
    node = import_module("onnx.backend.test.case.node")
    base = import_module("onnx.backend.test.case.base")
    made: list[Any] = []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(node, "_NodeTestCases", made)
        patch.setattr(node, "_existing_names", {})
        # Functions that are expanded into other operators make cases of their own.
        patch.setattr(node, "function_testcase_helper", lambda *_, **__: ([], 0))
        patch.setattr(base, "Base", type("Base", (), {}))
        for name in modules:
            _run_exports(f"{node.__name__}.{name}", made)
    return made


def _run_exports(name: str, made: list[Any]) -> None:
    spec = find_spec(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for kind in list(vars(module).values()):
        if isinstance(kind, type) and kind.__module__ == name:
            for key, export in vars(kind).items():
                if key.startswith("export") and key.removeprefix("export_") not in LEFT_OUT:
                    np.random.seed(0)  # noqa: NPY002  # as ONNX does
                    export.__func__()


def file_cases(kind: str) -> Iterator[tuple[str, Any, list[np.ndarray], list[np.ndarray]]]:
    """Models and data that PyTorch exported: "pytorch-converted" or "pytorch-operator"."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / kind
    for path in sorted(folder.iterdir()):
        if not (path / "model.onnx").exists():
            continue
        data = path / "test_data_set_0"
        arrays = [
            [numpy_helper.to_array(_tensor(data / f"{way}_{k}.pb")) for k in range(len(list(data.glob(f"{way}_*.pb"))))]
            for way in ("input", "output")
        ]
        yield path.name, onnx.load(path / "model.onnx"), *arrays


def _tensor(path: Path) -> Any:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return tensor
