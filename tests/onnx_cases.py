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


def bound(name: str, model: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Case:
    """Store all inputs but the first in the model."""
    model = copy.deepcopy(model)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    free = [item.name for item in graph.input if item.name not in stored]
    for one, value in list(zip(free, inputs, strict=False))[1:]:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), one))
    del graph.output[1:]
    return Case(name, model, inputs[0], outputs[0])


def joined(name: str, model: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Case:
    """Make one input of all, which have the same shape, along axis 1."""
    model = copy.deepcopy(model)
    graph = model.graph
    shape = list(inputs[0].shape)
    shape[1] *= len(inputs)
    kind = graph.input[0].type.tensor_type.elem_type
    split = helper.make_node("Split", ["joined"], [item.name for item in graph.input], axis=1)
    if model.opset_import[0].version >= 18:
        split.attribute.append(helper.make_attribute("num_outputs", len(inputs)))
    nodes = [split, *graph.node]
    del graph.node[:], graph.input[:], graph.output[1:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("joined", kind, shape))
    return Case(name, model, np.concatenate(inputs, axis=1), outputs[0])


def as_network(name: str, model: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Case:
    """`joined` if the inputs are branches of one shape, else `bound`."""
    branches = len(inputs) > 1 and any(node.op_type in BRANCHES for node in model.graph.node)
    if branches and np.ndim(inputs[0]) > 1 and len(set(map(np.shape, inputs))) == 1:
        return joined(name, model, inputs, outputs)
    return bound(name, model, inputs, outputs)


def batched(name: str, model: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> Case:
    """Put a batch axis before the others, and count the operator's axes from the next one on."""
    model = copy.deepcopy(model)
    node, rank = model.graph.node[0], np.ndim(inputs[0])
    names = [item.name for item in model.graph.input]
    values = dict(zip(names, inputs, strict=True))
    for attribute in node.attribute:
        if attribute.name == "axis" and attribute.i >= 0:
            attribute.i += 1
        elif attribute.name == "perm":
            attribute.ints[:] = [0, *(axis + 1 for axis in attribute.ints)]
    given = {attribute.name for attribute in node.attribute}
    if node.op_type in ("Split", "Gather") and "axis" not in given:
        node.attribute.append(helper.make_attribute("axis", 1))
    if node.op_type == "Transpose" and "perm" not in given:
        node.attribute.append(helper.make_attribute("perm", [0, *range(rank, 0, -1)]))
    if node.op_type == "Reshape":
        values[node.input[1]] = np.array([1, *values[node.input[1]]])
    if place := {"Squeeze": 1, "Unsqueeze": 1, "Slice": 3}.get(
        node.op_type, 1 if node.op_type.startswith("Reduce") else 0
    ):
        _shift_axes(node, place, values, rank)
    branches = [one for one, value in values.items() if _is_branch(node, value, inputs[0])]
    for one in branches:
        values[one] = np.asarray(values[one])[None]
    del model.graph.input[:]
    for one, value in values.items():
        kind = helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype)
        model.graph.input.append(helper.make_tensor_value_info(one, kind, np.shape(value)))
    form = joined if len(branches) > 1 else bound
    return form(name, model, list(values.values()), [np.asarray(outputs[0])[None]])


# Operators of which each input is a branch.
BRANCHES = {"Add", "Concat", "Div", "Mean", "Mul", "Sub", "Sum"}


def _is_branch(node: Any, value: Any, first: Any) -> bool:
    return value is first or (node.op_type in BRANCHES and np.shape(value) == np.shape(first))


def _shift_axes(node: Any, place: int, values: dict[str, Any], rank: int) -> None:
    """Add one to the axes that an operator has as an input, all of them if there are none."""
    while len(node.input) <= place:
        node.input.append("")
    name = node.input[place]
    if name and len(values[name]):
        axes = [int(axis) + (axis >= 0) for axis in values[name]]
    else:
        count = len(values[node.input[1]]) if node.op_type == "Slice" else rank
        axes = list(range(1, count + 1))
    name = name or "axes_of_a_sample"
    node.input[place] = name
    values[name] = np.array(axes, np.int64)


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
            _run_exports(f"{node.__name__}.{name}")
    return made


def data_of(case: Any) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of a node test as arrays; some of rare types are protos."""
    inputs, outputs = case.data_sets[0]
    return list(map(_array, inputs)), list(map(_array, outputs))


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _run_exports(name: str) -> None:
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
    for path in sorted(folder.glob("*/model.onnx")):
        data = path.parent / "test_data_set_0"
        inputs, outputs = (
            [read_tensor(data / f"{way}_{k}.pb") for k in range(len([*data.glob(f"{way}_*.pb")]))]
            for way in ("input", "output")
        )
        yield path.parent.name, onnx.load(path), inputs, outputs


def read_tensor(path: Path) -> np.ndarray:
    """The array in a file of ONNX's test data."""
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor)
