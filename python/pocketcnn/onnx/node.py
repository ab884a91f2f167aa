"""A node of an ONNX graph, as the operators' functions see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn._text import excerpt
from pocketcnn.onnx.package import import_onnx
from pocketcnn.onnx.tensors import Constant, Tensor

Value: TypeAlias = Tensor | Constant


class Node:
    """One operator with its attributes and, once they are known, its inputs.

    Attributes
    ----------
    op, name : str
    version : int
        The opset in which the operator last changed, at most the model's.
    input_names, output_names : list of str
        Empty for an optional one that is left out.
    inputs : list of Tensor, Constant or None
        As many as there are names.

    Raises
    ------
    ValueError
        The operator or one of its attributes is unknown; the reason alone, without the name.
    """

    def __init__(self, proto: Any, opset: int) -> None:
        onnx = import_onnx()
        self.proto = proto
        self.op: str = proto.op_type
        self.name: str = proto.name or next((name for name in proto.output if name), "")
        self.domain: str = "" if proto.domain == "ai.onnx" else proto.domain
        self.input_names = list(proto.input)
        self.output_names = list(proto.output)
        self.inputs: list[Value | None] = []
        self.read_outputs: set[str] = set()
        if self.domain:
            raise ValueError(f"the operator is of domain {excerpt(repr(self.domain))}")
        try:
            schema = onnx.defs.get_schema(self.op, opset, "")
        except onnx.defs.SchemaError:
            raise ValueError(f"opset {opset} has no such operator") from None
        self.version: int = schema.since_version
        if len(self.input_names) > schema.max_input or len(self.output_names) > schema.max_output:
            raise ValueError("it has more inputs or outputs than the operator")
        self._attributes = {item.name: item for item in proto.attribute}
        if unknown := sorted(self._attributes.keys() - set(schema.attributes)):
            raise ValueError(f"the operator has no attribute {excerpt(unknown[0])}")

    def _attribute(self, key: str, *kinds: str) -> Any:
        onnx = import_onnx()
        item = self._attributes.get(key)
        if item is None:
            return None
        kind = onnx.AttributeProto.AttributeType.Name(item.type)
        if kind not in kinds:
            raise ValueError(f"attribute {key} is of type {kind}, but must be {' or '.join(kinds)}")
        return onnx.helper.get_attribute_value(item)

    def has(self, key: str) -> bool:
        """Whether an attribute is given."""
        return key in self._attributes

    def whole(self, key: str, default: int = 0) -> int:
        """An attribute that is a whole number."""
        value = self._attribute(key, "INT")
        return default if value is None else int(value)

    def real(self, key: str, default: float = 0.0) -> float:
        """An attribute that is a number."""
        value = self._attribute(key, "FLOAT", "INT")
        return default if value is None else float(value)

    def text(self, key: str, default: str = "") -> str:
        """An attribute that is a word."""
        value = self._attribute(key, "STRING")
        return default if value is None else value.decode("utf-8", "replace")

    def wholes(self, key: str) -> list[int] | None:
        """An attribute that is a list of whole numbers."""
        value = self._attribute(key, "INTS")
        return None if value is None else [int(number) for number in value]

    def reals(self, key: str) -> list[float] | None:
        """An attribute that is a list of numbers."""
        value = self._attribute(key, "FLOATS")
        return None if value is None else [float(number) for number in value]

    def value(self, place: int) -> Value | None:
        """The input at a place, or None if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def tensor(self, place: int = 0) -> Tensor:
        """The input at a place, which must come from the network's input."""
        value = self.value(place)
        if not isinstance(value, Tensor):
            what = "is missing" if value is None else "is a constant"
            raise ValueError(f"input {place} {what}, but must depend on the network's input")
        return value

    def constant(self, place: int) -> Constant | None:
        """The input at a place, which must be a constant or left out."""
        value = self.value(place)
        if isinstance(value, Tensor):
            raise ValueError(
                f"input {place} depends on the network's input, but must be a constant here"
            )
        return value

    def weight(self, place: int) -> Constant:
        """The input at a place, which must be a constant."""
        value = self.constant(place)
        if value is None:
            raise ValueError(f"input {place} is missing")
        return value

    def whole_numbers(self, place: int) -> list[int] | None:
        """A list of whole numbers, such as a shape, that is an input; None if left out."""
        constant = self.constant(place)
        if constant is None:
            return None
        if len(constant.shape) > 1 or constant.dtype.kind not in "iu" or constant.size > 64:
            raise ValueError(f"input {place} must be a list of whole numbers")
        return [int(number) for number in constant.read().reshape(-1)]

    def number(self, place: int) -> Any:
        """A single number that is an input; None if left out."""
        constant = self.constant(place)
        if constant is None:
            return None
        if constant.size != 1:
            raise ValueError(f"input {place} must be a single number")
        return constant.read().reshape(-1)[0].item()

    def settings(self, key: str, place: int) -> list[int] | None:
        """A list that was an attribute in earlier opsets and is an input now."""
        return self.wholes(key) if self.has(key) else self.whole_numbers(place)

    def require_sole_output(self) -> None:
        """Raise ValueError if somebody reads an output other than the first."""
        if any(name in self.read_outputs for name in self.output_names[1:]):
            raise ValueError("its second output is used")


def axis_of(axis: int, rank: int) -> int:
    """Position of an axis that may count from the end; the batch axis counts as 0."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor of {rank} axes")
    return axis % rank


def sample_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Positions of axes without the batch axis, which must not be one of them."""
    places = [axis_of(axis, rank) for axis in axes]
    if 0 in places:
        raise ValueError("it acts along the batch axis")
    if len(set(places)) < len(places):
        raise ValueError(f"axes {list(axes)} occur twice")
    return [place - 1 for place in places]


def floats(constant: Constant, dtype: np.dtype[Any]) -> Array:
    """A constant as numbers of the network's dtype."""
    if constant.dtype.kind in "OUS":
        raise ValueError("a constant is no number")
    return np.asarray(constant.read()).astype(dtype, copy=False)
