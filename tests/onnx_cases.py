"""ONNX's own test cases, as files that a network can be read from.

A network has one input, and its first axis is the batch. So of a case's inputs the first is the
network's; the others are stored in the file as constants. Where an operator takes two branches of
one shape, they are the halves of the input, which a Split cuts apart.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
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


def node_cases(operators: set[str]) -> Iterator[Any]:
    """ONNX's node tests of some operators; those of expanded functions are other graphs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        cases = load_model_tests(kind="node")
    for case in cases:
        if case.model.graph.node[0].op_type in operators and len(case.model.graph.node) == 1:
            yield case


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
