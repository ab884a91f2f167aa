"""Model files: weights, and the architecture that they belong to, in one .safetensors file.

Such a file holds arrays and text, never code, so that reading a stranger's model is safe. What
is read is checked against what the architecture asks for before any of it is used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pocketcnn.arguments import integer
from pocketcnn.chain import named_layers, output_shapes
from pocketcnn.layers import Array, Layer, Shape
from pocketcnn.layers.registry import build_layer, describe_layer

FORMAT = "pocketcnn"
FORMAT_VERSION = 1


class Model(NamedTuple):
    """What a model file holds; the layers have their weights."""

    layers: list[tuple[str, Layer]]
    input_shape: Shape
    dtype: np.dtype[Any]


def save(
    path: str | os.PathLike[str],
    layers: Mapping[str, Layer],
    input_shape: Shape,
    dtype: np.dtype[Any],
) -> None:
    """Write a model file; see `ConvNet.save`."""
    tensors = {
        f"{name}.{key}": array
        for name, layer in layers.items()
        for key, array in layer.state().items()
    }
    architecture = describe(layers, input_shape, dtype)
    require_fit(build(architecture), tensors)  # what could not be read is not written
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "architecture": architecture,
    }
    write_tensors(path, tensors, metadata)


def read_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file; see `pocketcnn.load`."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT or "architecture" not in metadata:
        raise ValueError(f"{os.fspath(path)} is a safetensors file, but not a pocketcnn model")
    _check_version(path, metadata.get("format_version", ""))
    try:
        model = build(metadata["architecture"])
        _give_weights(model, tensors)
    except KeyError as error:
        raise ValueError(
            f"{os.fspath(path)} is not a valid model: the architecture lacks {error}"
        ) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is not a valid model: {error}") from error
    return model


def describe(layers: Mapping[str, Layer], input_shape: Shape, dtype: np.dtype[Any]) -> str:
    """Put an architecture, without weights, into JSON."""
    return json.dumps(
        {
            "input_shape": input_shape,
            "dtype": dtype.name,
            "layers": [describe_layer(name, layer) for name, layer in layers.items()],
        }
    )


def build(architecture: str) -> Model:
    """Make the layers that `describe` put into JSON; their weights are yet to be drawn.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        If the text does not describe a chain of layers of this version.
    """
    content = json.loads(architecture)
    layers = [(entry["name"], build_layer(entry)) for entry in content["layers"]]
    input_shape = tuple(integer("input_shape", size, 1) for size in content["input_shape"])
    output_shapes(named_layers(layers), input_shape)
    if content["dtype"] not in ("float32", "float64"):  # np.dtype reads much more than names
        raise ValueError(f"dtype is {content['dtype']!r}, but must be float32 or float64")
    return Model(layers, input_shape, np.dtype(content["dtype"]))


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write a .safetensors file that is complete or not there.

    The bytes go to a temporary file in the same folder, to the disk, and only then under the
    name `path`. A process that is killed at any moment leaves the previous file whole.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    # The format has no strides: an array that is not in C order would be written scrambled.
    contiguous = {key: np.asarray(array, order="C") for key, array in tensors.items()}
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # the user's umask; safetensors makes files private
        save_file(contiguous, temporary, dict(metadata))
        temporary.chmod(mode)
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Read arrays and metadata of a .safetensors file.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is not a .safetensors file, or not a whole one.
    """
    with Path(path).open("rb"):
        pass  # a missing file is an OSError that names it
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
            return tensors, file.metadata() or {}
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"{os.fspath(path)} is not a whole .safetensors file: {error}") from error


def _sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to the disk."""
    if path.is_dir() and os.name != "posix":
        return  # other systems do not open folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_version(path: str | os.PathLike[str], version: str) -> None:
    if not version.isdecimal() or int(version) < 1:
        raise ValueError(f"{os.fspath(path)} is not a valid model: format version {version!r}")
    if int(version) > FORMAT_VERSION:
        raise ValueError(
            f"{os.fspath(path)} was written by a newer pocketcnn: its format version is {version}, "
            f"but this one reads up to {FORMAT_VERSION}"
        )


def require_fit(model: Model, tensors: Mapping[str, Array]) -> None:
    """Raise ValueError unless the tensors are what the layers need, all and no more."""
    shapes = {
        f"{name}.{key}": shape
        for name, layer in model.layers
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


def _give_weights(model: Model, tensors: dict[str, Array]) -> None:
    """Move the tensors into the layers, if they fit."""
    require_fit(model, tensors)
    for name, layer in model.layers:
        layer.convert(model.dtype)
        layer.set_state({key: tensors[f"{name}.{key}"] for key in layer.state_shapes()})
