"""Networks written to ONNX files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, SupportsIndex

from pocketcnn._arguments import integer
from pocketcnn._files.atomic import write_atomically
from pocketcnn.layers import Array
from pocketcnn.network.graph import INPUT
from pocketcnn.network.net import ConvNet
from pocketcnn.onnx.exporters.table import EXPORTERS
from pocketcnn.onnx.external_data import external_tensors
from pocketcnn.onnx.graph_writer import GraphWriter, Value
from pocketcnn.onnx.package import import_onnx

OLDEST_OPSET = 13

# Protobuf's messages are smaller than 2 GiB; what is not a weight takes far less than the rest.
_MOST_BYTES = 2**31 - 2**26


def export(net: ConvNet, path: str | os.PathLike[str], opset: SupportsIndex = 17) -> None:
    """Write a network, as it predicts, to an ONNX file.

    Parameters
    ----------
    net : ConvNet
        Of pocketcnn's own layers. Its dtype is that of the file; ONNX Runtime has few operators
        in float64, which ``net.astype(np.float32)`` avoids.
    path : path-like
        The file, complete or not there. Weights of 2 GiB and more, which ONNX files cannot hold,
        are written to a second file beside it, with ".data" added to its name.
    opset : int
        Version of ONNX's operators, from 13 to the newest of the package onnx.

    Raises
    ------
    ImportError
        The package onnx is missing: ``pip install pocketcnn[onnx]``.
    ValueError
        A layer is not pocketcnn's own, or the package does not know the opset.
    OSError
        The file cannot be written; it is left as it was.

    Notes
    -----
    The input is named "input" and has the shape (N, *input_shape), where N is free. Nodes and what
    they give are named like the layers, so the output has the name of the last one; parameters are
    named as in `ConvNet.params`. Dropout is left out. `ConvNet.classes` and
    `ConvNet.preprocessing` are in the metadata, in JSON: "classes" is a list, "preprocessing" an
    object.

    Attributes such as a batch norm's eps are float32 in any ONNX file.

    Examples
    --------
    >>> import tempfile
    >>> import pocketcnn as pc
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pc.onnx.export(pc.models.lenet5(), f"{folder}/lenet5.onnx")
    ...     os.listdir(folder)
    ['lenet5.onnx']
    """
    if not isinstance(net, ConvNet):
        raise TypeError(f"net is a {type(net).__name__}, but must be a ConvNet")
    onnx = import_onnx()
    graph = GraphWriter(onnx, _checked_opset(onnx, opset), net.dtype, EXPORTERS)
    x, y = _add_network(graph, net)
    metadata = {}
    if net.classes is not None:
        metadata["classes"] = json.dumps(net.classes)
    if net.preprocessing is not None:
        metadata["preprocessing"] = json.dumps(net.preprocessing.as_dict())
    model = _make_model(onnx, graph, x, y, metadata)
    _write(onnx, model, graph.initializers, path)


def _checked_opset(onnx: Any, opset: SupportsIndex) -> int:
    newest = onnx.defs.onnx_opset_version()
    checked = integer("opset", opset)
    if not OLDEST_OPSET <= checked <= newest:
        raise ValueError(
            f"opset is {opset!r}, but must be {OLDEST_OPSET} to {newest}, the newest of "
            f"onnx {onnx.__version__}"
        )
    return checked


def _add_network(graph: GraphWriter, net: ConvNet) -> tuple[Value, Value]:
    """Add all layers; return input and output."""
    free = INPUT
    while free in net.layers:
        free += "_"
    x = graph.add_input(free, net.input_shape)
    values = [x]
    for name, layer, sources in net.graph.nodes:
        values.append(graph.add_layer(name, layer, *(values[source] for source in sources)))
    y = values[-1]
    return x, y if y.name == name else graph.add_copy(name, y)


def _make_model(
    onnx: Any, graph: GraphWriter, x: Value, y: Value, metadata: Mapping[str, str]
) -> Any:
    """Put the graph, without its initializers, into a model."""
    helper = onnx.helper
    made = helper.make_graph(
        graph.nodes,
        "network",
        graph.infos([x]),
        graph.infos([y]),
        value_info=graph.infos(graph.inner_values(x, y)),
    )
    opset = helper.make_opsetid("", graph.opset)
    model = helper.make_model(
        made,
        opset_imports=[opset],
        # As old as the opset allows: runtimes refuse newer ones than they know.
        ir_version=helper.find_min_ir_version_for([opset]),
        producer_name="pocketcnn",
        producer_version=version("pocketcnn"),
    )
    helper.set_model_props(model, dict(metadata))
    return model


def _write(
    onnx: Any, model: Any, initializers: Mapping[str, Array], path: str | os.PathLike[str]
) -> None:
    """Add the initializers to the model, or write the large ones beside it; write the model."""
    from_array = onnx.numpy_helper.from_array
    if sum(array.nbytes for array in initializers.values()) < _MOST_BYTES:
        model.graph.initializer.extend(from_array(a, name) for name, a in initializers.items())
        with write_atomically(path) as file:
            file.write_bytes(model.SerializeToString())
        return
    beside = Path(f"{os.fspath(path)}.data")
    # The second file is complete before the first, which refers to it.
    with write_atomically(path) as file:
        with write_atomically(beside) as data, data.open("wb") as stream:
            tensors = external_tensors(onnx, initializers, stream, beside.name)
            model.graph.initializer.extend(tensors)
        file.write_bytes(model.SerializeToString())
