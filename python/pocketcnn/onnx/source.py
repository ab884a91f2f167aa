"""The graph of a file: which of its nodes an output needs, and what the network's input is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pocketcnn._arguments import sizes
from pocketcnn._text import excerpt
from pocketcnn.layers import Shape
from pocketcnn.onnx.folding import FOLDABLE
from pocketcnn.onnx.model_file import StoredTensor, opset_of
from pocketcnn.onnx.node import Node
from pocketcnn.onnx.operators import OPERATORS
from pocketcnn.onnx.package import import_onnx
from pocketcnn.onnx.tensors import Constant

# The size of a free batch axis where a graph computes with shapes; a prime that no size of an
# image is likely to be, so that it is found again in what was computed.
FREE_BATCH = 1000003

# What may stand between the input of images (N, H, W, C) and the Transpose that makes them
# (N, C, H, W); and what takes nothing but the latter.
_KEEPS_AXES = {
    *("Add", "Cast", "Clip", "Concat", "Div", "Identity", "Mul", "Pad", "Relu", "Slice", "Sub"),
}
_CHANNELS_FIRST = {
    *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "GlobalAveragePool"),
    *("GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN", "MaxPool"),
}


class Input(NamedTuple):
    """The network's input.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of a sample, as the graph has it.
    batch : int
        The size of the batch axis in the graph's constants.
    channels_last : bool
        Whether images are (H, W, C) in the graph and (C, H, W) in the network.
    dtype : numpy.dtype
        float32 or float64.
    """

    name: str
    shape: Shape
    batch: int
    channels_last: bool
    dtype: np.dtype[Any]


class Source:
    """The nodes that an output needs, in order, and the constants of the file.

    Parameters
    ----------
    proto : onnx.ModelProto
    path : path-like
    output : str or None

    Raises
    ------
    ValueError
        There are several outputs and none is named, or a node cannot be taken.
    """

    def __init__(self, proto: Any, path: str | os.PathLike[str], output: str | None) -> None:
        graph = proto.graph
        self.opset = opset_of(proto)
        folder = Path(os.fspath(path)).parent
        self.stored = {tensor.name: StoredTensor(tensor, folder) for tensor in graph.initializer}
        self._inputs = {item.name: item for item in graph.input if item.name not in self.stored}
        self.output = _chosen_output(graph, output)
        self.nodes = self._needed_nodes(graph)
        self.readers = Counter(name for node in self.nodes for name in node.input_names)
        self.readers[self.output] += 1
        self._refuse_unknown()

    def constants(self) -> Iterator[tuple[str, Constant]]:
        """The tensors of the file, which are read later, by name."""
        for name, tensor in self.stored.items():
            yield name, Constant(tensor.shape, tensor.dtype, tensor.read, name)

    def _needed_nodes(self, graph: Any) -> list[Node]:
        """The nodes before the output, in the file's order; each must follow those it reads."""
        makers: dict[str, int] = {}
        for place, proto in enumerate(graph.node):
            for name in proto.output:
                if name and (name in makers or name in self.stored or name in self._inputs):
                    raise ValueError(f"{excerpt(repr(name))} is made twice")
                makers[name] = place
        found: set[int] = set()
        waiting = [self.output]
        while waiting:
            name = waiting.pop()
            made = makers.get(name)
            if made is None:
                if name not in self.stored and name not in self._inputs:
                    raise ValueError(f"nothing makes {excerpt(repr(name))}")
            elif made not in found:
                found.add(made)
                waiting += [one for one in graph.node[made].input if one]
        nodes = []
        for place in sorted(found):
            proto = graph.node[place]
            with naming(proto):
                nodes.append(Node(proto, self.opset))
                if any(makers.get(name, -1) >= place for name in proto.input if name):
                    raise ValueError("it stands before what it reads")
        return nodes

    def _refuse_unknown(self) -> None:
        """Raise ValueError for a node that no network has, before anything is computed."""
        moving = set(self._inputs)
        for node in self.nodes:
            node.read_outputs = {name for name in node.output_names if self.readers[name]}
            depends = not moving.isdisjoint(node.input_names)
            with naming(node.proto):
                if depends and node.op not in OPERATORS:
                    raise ValueError("there is no layer for this operator")
                if not depends and node.op not in FOLDABLE:
                    raise ValueError("constants are not computed by this operator")
            if depends and node.op not in ("Shape", "Size"):
                moving.update(name for name in node.output_names if name)
        if self.output not in moving:
            raise ValueError(f"output {excerpt(repr(self.output))} does not depend on an input")

    def find_input(self, given: Sequence[int] | None) -> Input:
        """The one input that the output needs, its sizes from the file and from the caller.

        Raises
        ------
        ValueError
            There are several inputs, or sizes are missing or differ.
        """
        names = [name for name in self._inputs if self.readers[name]]
        if len(names) != 1:
            shown = ", ".join(excerpt(repr(name)) for name in names)
            raise ValueError(f"a network has one input, but this one needs {len(names)}: {shown}")
        (name,) = names
        kind = self._inputs[name].type.tensor_type
        double = kind.elem_type == import_onnx().TensorProto.DOUBLE
        dtype: np.dtype[Any] = np.dtype(np.float64 if double else np.float32)
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        if not kind.HasField("shape"):
            dims = [None, *([None] * len(given or ()))]
        if not dims:
            raise ValueError(f"input {excerpt(repr(name))} has no batch axis")
        channels_last = len(dims) == 4 and self._reads_channels_last(name)
        batch, *fixed = dims
        order = (2, 0, 1) if channels_last else range(len(fixed))
        came = tuple(fixed[axis] for axis in order)
        shape = _agreed(name, came, given)
        if channels_last:
            shape = (*shape[1:], shape[0])
        return Input(name, shape, batch or FREE_BATCH, channels_last, dtype)

    def _reads_channels_last(self, name: str) -> bool:
        """Whether layers of images read an input after a Transpose to (N, C, H, W) alone."""
        last, first = {name}, set[str]()
        turned = False
        for node in self.nodes:
            for names in (last, first):
                if names.isdisjoint(node.input_names):
                    continue
                if node.op in _KEEPS_AXES:
                    names.update(node.output_names)
                elif node.op in _CHANNELS_FIRST:
                    if names is last:
                        return False
                    turned = True
                elif (
                    names is last and node.op == "Transpose" and node.wholes("perm") == [0, 3, 1, 2]
                ):
                    first.update(node.output_names)
        return turned


@contextmanager
def naming(proto: Any) -> Iterator[None]:
    """Put the name of a node before the reason why it cannot be taken."""
    try:
        yield
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{describe(proto)}: {excerpt(error, 400)}") from error


def describe(proto: Any) -> str:
    """A node by its name and operator, for a message."""
    name = proto.name or next((name for name in proto.output if name), "")
    return f"node {excerpt(repr(name))} ({excerpt(proto.op_type)})"


def _chosen_output(graph: Any, output: str | None) -> str:
    """The output's name: the only one, or any tensor that the caller names."""
    names = [item.name for item in graph.output]
    if output is None:
        if len(names) != 1:
            shown = ", ".join(excerpt(repr(name)) for name in names[:20])
            raise ValueError(
                f"there are {len(names)} outputs: {shown}; output names the one to keep"
            )
        return str(names[0])
    made = {name for node in graph.node for name in node.output if name}
    if output not in made and output not in names:
        shown = ", ".join(excerpt(repr(name)) for name in names[:20])
        raise ValueError(f"output is {excerpt(repr(output))}, but the graph has {shown}")
    return output


def _agreed(name: str, came: Sequence[int | None], given: Sequence[int] | None) -> Shape:
    """The shape of a sample, where the file's sizes and the caller's agree."""
    text = f"({', '.join('?' if size is None else str(size) for size in came)})"
    if given is None:
        if None in came:
            raise ValueError(
                f"input {excerpt(repr(name))} has the shape {text} of a sample with free sizes: "
                "input_shape gives them"
            )
        shape = tuple(size for size in came if size is not None)
    else:
        shape = sizes("input_shape", given)
        fits = len(shape) == len(came) and all(
            size in (None, mine) for size, mine in zip(came, shape, strict=True)
        )
        if not fits:
            raise ValueError(f"input_shape is {shape}, but the file has {text}")
    if min(shape, default=1) < 1:
        raise ValueError(f"input {excerpt(repr(name))} has the shape {text} of a sample")
    return shape
