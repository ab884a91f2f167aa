"""Model files: weights, and the architecture that they belong to, in one .safetensors file.

Such a file holds arrays and text, never code, so that reading a stranger's model is safe. What
its header says is checked against what the architecture needs before any array is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pocketcnn._arguments import class_names, sizes
from pocketcnn._files.tensor_file import Tensor, open_tensors, read_tensors, write_tensors
from pocketcnn._text import excerpt
from pocketcnn.layers import Array
from pocketcnn.layers.registry import build_layer, describe_layer
from pocketcnn.network.graph import Entry, Graph
from pocketcnn.network.preprocessing import Preprocessing

__all__ = ["build", "describe", "read_model", "read_tensors", "save", "write_tensors"]

FORMAT = "pocketcnn"
# Version 2 is for networks whose entries name their inputs, which older readers would pass over;
# chains are still written as version 1, which they read.
FORMAT_VERSION = 2


class Model(NamedTuple):
    """What a model file holds; the layers have their weights."""

    graph: Graph
    dtype: np.dtype[Any]
    classes: list[str] | None
    preprocessing: Preprocessing | None


def save(
    path: str | os.PathLike[str],
    graph: Graph,
    dtype: np.dtype[Any],
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> None:
    """Write a model file; see `ConvNet.save`."""
    tensors = {
        f"{name}.{key}": array
        for name, layer in graph.layers.items()
        for key, array in layer.state().items()
    }
    architecture = describe(graph, dtype, classes, preprocessing)
    require_fit(build(architecture), tensors)  # what could not be read is not written
    metadata = {
        "format": FORMAT,
        "format_version": "1" if graph.is_chain else str(FORMAT_VERSION),
        "architecture": architecture,
    }
    write_tensors(path, tensors, metadata)


def read_model(path: str | os.PathLike[str], *, check_finite: bool = False) -> Model:
    """Read a model file; see `pocketcnn.load`."""
    name = os.fspath(path)
    with open_tensors(path) as file:
        metadata = file.metadata
        if metadata.get("format") != FORMAT or "architecture" not in metadata:
            raise ValueError(f"{name} is a safetensors file, but not a pocketcnn model")
        _check_version(name, metadata.get("format_version", ""))
        try:
            model = build(metadata["architecture"])
            require_fit(model, file.tensors)
        except KeyError as error:
            raise ValueError(
                f"{name} is not a valid model: the architecture lacks {excerpt(error)}"
            ) from error
        # A foreign text can make layers fail in any way; all mean the same to the caller.
        except Exception as error:
            reason = excerpt(error) or type(error).__name__
            raise ValueError(f"{name} is not a valid model: {reason}") from error
        tensors = file.read()
    if check_finite:
        for key, array in tensors.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has numbers in {excerpt(key)} that are not finite")
    give_weights(model, tensors)
    return model


def give_weights(model: Model, tensors: Mapping[str, Array]) -> None:
    """Give the layers the network's dtype, and their weights, which must fit."""
    for name, layer in model.graph.layers.items():
        layer.convert(model.dtype)
        layer.set_state({key: tensors[f"{name}.{key}"] for key in layer.state_shapes()})


def describe(
    graph: Graph,
    dtype: np.dtype[Any],
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> str:
    """Put an architecture, without weights, into JSON."""
    entries = []
    for place, node in enumerate(graph.nodes):
        entry = describe_layer(node.name, node.layer)
        inputs = graph.named_inputs(place)
        entries.append(entry if inputs is None else {**entry, "inputs": inputs})
    content: dict[str, Any] = {
        "input_shape": graph.shapes[0],
        "dtype": dtype.name,
        "layers": entries,
    }
    if classes is not None:
        content["classes"] = classes
    if preprocessing is not None:
        content["preprocessing"] = preprocessing.as_dict()
    return json.dumps(content)


def build(architecture: str) -> Model:
    """Make the network that `describe` put into JSON; its weights are yet to be drawn.

    Raises
    ------
    Exception
        Of any kind, if the text does not describe a network of this version.
    """
    content = json.loads(architecture)
    entries: list[Entry] = []
    for entry in content["layers"]:
        named = (entry["name"], build_layer(entry))
        entries.append((*named, entry["inputs"]) if "inputs" in entry else named)
    graph = Graph(entries, sizes("input_shape", content["input_shape"]))
    if content["dtype"] not in ("float32", "float64"):  # np.dtype reads much more than names
        raise ValueError(f"dtype is {content['dtype']!r}, but must be float32 or float64")
    classes = content.get("classes")
    if classes is not None:
        classes = class_names("classes", classes, graph.shapes[-1][0])
    preprocessing = content.get("preprocessing")
    if preprocessing is not None:
        preprocessing = Preprocessing.from_json(preprocessing)
    return Model(graph, np.dtype(content["dtype"]), classes, preprocessing)


def _check_version(name: str, version: str) -> None:
    if not version.isdecimal() or len(version) > 9 or int(version) < 1:
        raise ValueError(f"{name} is not a valid model: format version {excerpt(repr(version))}")
    if int(version) > FORMAT_VERSION:
        raise ValueError(
            f"{name} was written by a newer pocketcnn: its format version is {version}, "
            f"but this one reads up to {FORMAT_VERSION}"
        )


def require_fit(model: Model, tensors: Mapping[str, Tensor] | Mapping[str, Array]) -> None:
    """Raise ValueError unless the tensors are what the layers need, all and no more."""
    shapes = {
        f"{name}.{key}": shape
        for name, layer in model.graph.layers.items()
        for key, shape in layer.state_shapes().items()
    }
    if missing := sorted(shapes.keys() - tensors.keys()):
        raise ValueError(f"tensors are missing: {', '.join(missing)}")
    if surplus := sorted(tensors.keys() - shapes.keys()):
        raise ValueError(f"no layer has the tensors: {', '.join(surplus)}")
    for name, shape in shapes.items():
        came = tensors[name]
        if came.shape != shape or came.dtype != model.dtype:
            raise ValueError(
                f"tensor {name} is {came.dtype} {came.shape}, but must be {model.dtype} {shape}"
            )
