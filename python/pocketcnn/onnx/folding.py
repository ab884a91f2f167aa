"""Constants that a graph computes from constants, by onnx's reference implementation.

What an operator makes is measured before it runs: a file of a few bytes can ask for any amount of
memory. Large constants are computed when they are read, which is after the whole graph is known.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn._text import excerpt
from pocketcnn.onnx.node import Node
from pocketcnn.onnx.package import import_onnx
from pocketcnn.onnx.tensors import Constant

MOST_BYTES = 2**31
"""How much the constants may take that a file does not hold, but lets compute."""

# Shapes and indices are needed to understand the graph; nothing larger is computed before.
_SMALL = 2**12

# Operators whose work is in proportion to what they read and write.
FOLDABLE = {
    *("Abs", "Add", "And", "BitShift", "Cast", "CastLike", "Ceil", "Clip", "Compress", "Concat"),
    *("Constant", "ConstantOfShape", "Cos", "DequantizeLinear", "Div", "Equal", "Erf", "Exp"),
    *("Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Greater"),
    *("GreaterOrEqual", "Identity", "IsInf", "IsNaN", "Less", "LessOrEqual", "Log", "MatMul"),
    *("Max", "Mean", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "Or", "Pad", "Pow"),
    *("QuantizeLinear", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin"),
    *("ReduceProd", "ReduceSum", "Relu", "Reshape", "Round", "ScatterND", "Shape", "Sigmoid"),
    *("Sign", "Sin", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Tile"),
    *("Transpose", "Trilu", "Unsqueeze", "Where", "Xor"),
}

# Operators that give the same numbers in a shape that inference finds; not worth an evaluator.
_RESHAPING = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}


class Folder:
    """Computes constants, and counts how much memory they may take."""

    def __init__(self, opset: int, ir_version: int) -> None:
        self._opset, self._ir_version = opset, ir_version
        self._bytes = 0

    def fold(self, node: Node) -> list[Constant]:
        """The outputs of a node whose inputs are constants.

        Raises
        ------
        ValueError
            It cannot be computed, or would take too much memory.
        """
        if node.op not in FOLDABLE:
            raise ValueError("constants are not computed by this operator")
        inputs = [node.constant(place) for place in range(len(node.inputs))]
        known = self._outputs(node, inputs)
        if node.op == "ConstantOfShape" and known is not None:
            return [self._filled(node, *known[0])]
        if node.op in _RESHAPING and known is not None and len(known) == 1:
            (shape, _), source = known[0], inputs[0]
            assert source is not None
            return [source.reshaped(shape)]
        if known is None or all(_bytes(*item) <= _SMALL for item in known):
            return [Constant.of(array) for array in self._run(node, inputs)]

        def read(place: int) -> Array:
            array = self._run(node, inputs)[place]
            if array.shape != known[place][0]:
                raise ValueError(f"{node.op} gives {array.shape}, not {known[place][0]}")
            return array

        return [
            Constant(shape, dtype, lambda place=place: read(place))  # type: ignore[misc]
            for place, (shape, dtype) in enumerate(known)
        ]

    def _outputs(
        self, node: Node, inputs: list[Constant | None]
    ) -> list[tuple[tuple[int, ...], np.dtype[Any]]] | None:
        """Shapes and dtypes of the outputs, or None where they depend on the numbers.

        Raises ValueError if they take too much memory.
        """
        onnx = import_onnx()
        types, data = {}, {}
        for name, constant in zip(node.input_names, inputs, strict=True):
            if constant is None:
                continue
            kind = onnx.helper.np_dtype_to_tensor_dtype(constant.dtype)
            types[name] = onnx.helper.make_tensor_type_proto(kind, constant.shape)
            if constant.size <= 64:
                data[name] = onnx.numpy_helper.from_array(np.array(constant.read()), name)
        schema = onnx.defs.get_schema(node.op, self._opset, "")
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                node.proto,
                types,
                data,
                opset_imports=[onnx.helper.make_opsetid("", self._opset)],
                ir_version=self._ir_version,
            )
        except Exception as error:  # onnx's own classes among them
            raise ValueError(excerpt(error)) from error
        outputs = []
        for name in node.output_names:
            tensor = found[name].tensor_type if name in found else None
            if tensor is None or not tensor.HasField("shape"):
                self._count_unknown(node, inputs)
                return None
            if any(not size.HasField("dim_value") for size in tensor.shape.dim):
                self._count_unknown(node, inputs)
                return None
            shape = tuple(size.dim_value for size in tensor.shape.dim)
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
            outputs.append((shape, dtype))
        self._count(node, sum(_bytes(*item) for item in outputs))
        return outputs

    def _count_unknown(self, node: Node, inputs: list[Constant | None]) -> None:
        """Count the most that the operator can make, where inference does not know the shape."""
        sizes = [constant.size for constant in inputs if constant is not None]
        if node.op in ("NonZero", "Compress", "Split", "Slice", "Squeeze", "Reshape", "Gather"):
            self._count(node, 64 * sum(sizes))
        elif sum(sizes) > 64 or node.op in ("Expand", "Tile", "Range", "ConstantOfShape", "Pad"):
            raise ValueError("the size of what it makes is not known before it runs")

    def _count(self, node: Node, amount: int) -> None:
        self._bytes += amount
        if self._bytes > MOST_BYTES:
            raise ValueError(
                f"the constants that the file lets compute take over {MOST_BYTES // 2**20} MiB"
            )

    def _filled(self, node: Node, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Constant:
        """One number, repeated without taking memory."""
        onnx = import_onnx()
        value = np.zeros(1, np.float32)
        for item in node.proto.attribute:
            if item.name == "value":
                if math.prod(item.t.dims) != 1:
                    raise ValueError("attribute value must be a single number")
                value = onnx.numpy_helper.to_array(item.t).reshape(1)
        return Constant.of(np.broadcast_to(value.astype(dtype), shape))

    def _model(self, node: Node) -> Any:
        """A model of one node: of a node alone the evaluator would not know the opset."""
        helper = import_onnx().helper
        inputs = [helper.make_empty_tensor_value_info(name) for name in node.input_names if name]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output_names if name]
        graph = helper.make_graph([node.proto], "node", inputs, outputs)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)])

    def _run(self, node: Node, inputs: list[Constant | None]) -> list[Array]:
        from onnx.reference import ReferenceEvaluator

        arrays = {
            name: constant.read()
            for name, constant in zip(node.input_names, inputs, strict=True)
            if constant is not None
        }
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(self._model(node)).run(None, arrays)
        except MemoryError:
            raise
        except Exception as error:  # whatever the operator's NumPy code raises
            raise ValueError(excerpt(error) or type(error).__name__) from error
        arrays_out = [np.asarray(result) for result in results]
        if any(array.dtype.kind in "OUS" for array in arrays_out):
            raise ValueError("it makes no numbers")
        return arrays_out


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize
