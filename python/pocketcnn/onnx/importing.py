"""Reading a network from an ONNX file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pocketcnn.layers import Shape
from pocketcnn.network.net import ConvNet
from pocketcnn.network.preprocessing import Preprocessing
from pocketcnn.onnx.assembly import assemble
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.folding import Folder
from pocketcnn.onnx.fusing import fuse
from pocketcnn.onnx.lowering import lower
from pocketcnn.onnx.model_file import read_proto
from pocketcnn.onnx.naming import hint_of
from pocketcnn.onnx.node import Node, Value
from pocketcnn.onnx.operators import OPERATORS
from pocketcnn.onnx.source import Input, Source, describe, naming
from pocketcnn.onnx.tensors import Entry, Tensor
from pocketcnn.onnx.views import View


def load(
    path: str | os.PathLike[str],
    input_shape: Sequence[int] | None = None,
    output: str | None = None,
) -> ConvNet:
    """Read a network from an ONNX file; it can be trained on, saved and exported.

    The batch axis is free in the network, whatever the file says. A network whose file begins with
    a Transpose of images (N, H, W, C) takes (N, C, H, W), as all networks here.

    Parameters
    ----------
    path : path-like
        Tensors that the model keeps in other files are read from its folder.
    input_shape : sequence of int, optional
        (C, H, W), where the file leaves sizes free; the shape of a sample for other inputs.
    output : str, optional
        The tensor that the network ends with, where there are several outputs. Any tensor of the
        graph can be named, such as the scores before a Softmax.

    Returns
    -------
    net : ConvNet
        Layers are named after the weights or nodes of the file.

    Raises
    ------
    ImportError
        The package onnx is not installed.
    OSError
        There is no such file, or one that it refers to, or it cannot be read.
    ValueError
        It is not a whole ONNX model, sizes or an output must be named, or a node is not what
        layers can compute: the message names the node, its operator and the reason. Nothing was
        computed then.

    Notes
    -----
    Opsets 6 to the newest of the installed onnx. ``docs/interop.md`` lists the operators.
    """
    proto = read_proto(path)
    name = os.fspath(path)
    try:
        source = Source(proto, path, output)
        given = source.find_input(input_shape)
        net = _builder(given)
        entry = _walk(source, given, net, proto.ir_version)
        fuse(entry)
        lower(entry, net)
        made = assemble(entry, net, sum(tensor.nbytes for tensor in source.stored.values()))
        written = _written(proto)
        made.classes = _classes(written.get("classes"), made.output_shape)
        made.preprocessing = _preprocessing(written.get("preprocessing"))
        return made
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _written(proto: Any) -> dict[str, Any]:
    """What `export` wrote into the metadata, and is JSON."""
    found = {}
    for item in proto.metadata_props:
        if item.key in ("classes", "preprocessing"):
            with suppress(ValueError, RecursionError):
                found[item.key] = json.loads(item.value)
    return found


def _classes(names: Any, output_shape: Shape) -> list[str] | None:
    """Names of classes, if they fit the scores."""
    fits = isinstance(names, list) and output_shape[:1] == (len(names),)
    return [*names] if fits and all(isinstance(name, str) for name in names) else None


def _preprocessing(value: Any) -> Preprocessing | None:
    with suppress(ValueError):
        return Preprocessing.from_json(value)
    return None


def _builder(given: Input) -> Builder:
    shape = given.shape
    if given.channels_last:
        shape = (shape[2], *shape[:2])
    return Builder(shape, given.dtype, given.batch)


def _walk(source: Source, given: Input, net: Builder, ir_version: int) -> Entry:
    """Build the entries of all nodes; return that of the output."""
    view = (_images_last if given.channels_last else View.of)(net.source.shape)
    assert view is not None
    values: dict[str, Value] = dict(source.constants())
    values[given.name] = Tensor(net.source, view)
    folder = Folder(source.opset, ir_version)
    for node in source.nodes:
        with naming(node.proto):
            node.inputs = [values[name] if name else None for name in node.input_names]
            net.origin, net.hint = describe(node.proto), hint_of(node)
            values.update(zip(node.output_names, _outputs(node, net, folder), strict=False))
    result = values[source.output]
    if not isinstance(result, Tensor):
        raise ValueError(f"output {source.output!r} is a constant")
    net.hint = "output"
    if given.channels_last and result.view == _images_last(result.entry.shape):
        return result.entry
    return net.arranged(result, [[axis] for axis in range(len(result.shape))])


def _images_last(shape: Shape) -> View | None:
    """How images (C, H, W) are read as (H, W, C)."""
    return View.of(shape).transposed((1, 2, 0)) if len(shape) == 3 else None


def _outputs(node: Node, net: Builder, folder: Folder) -> Sequence[Value]:
    if not any(isinstance(value, Tensor) for value in node.inputs):
        return folder.fold(node)
    made = OPERATORS[node.op](node, net)
    return made if isinstance(made, Sequence) else [made]
