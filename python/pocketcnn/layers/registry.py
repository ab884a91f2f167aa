"""Layers as text that JSON can hold, and back."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pocketcnn._lazy import LAYER_FILES
from pocketcnn._text import excerpt
from pocketcnn.layers.base import LAYERS, Layer


def _quoted(foreign: object) -> str:
    return excerpt(repr(foreign))


def _class_of(kind: str) -> type[Layer] | None:
    """The layer class of a name, which is imported if it is one of the package's own."""
    if kind in LAYER_FILES:
        import_module(f"pocketcnn.layers.{LAYER_FILES[kind]}")
    return LAYERS.get(kind)


def describe_layer(name: str, layer: Layer) -> dict[str, Any]:
    """Name, class and settings of a layer, without its weights.

    Raises
    ------
    ValueError
        If `build_layer` would not find the class.
    """
    kind = type(layer).__name__
    if _class_of(kind) is not type(layer):
        raise ValueError(
            f"layer class {kind} is not the one that pocketcnn.layers.LAYERS has by that name, "
            "where loading looks for it: give it another"
        )
    return {"name": name, "kind": kind, "config": layer.config()}


def build_layer(entry: Mapping[str, Any]) -> Layer:
    """Make the layer that `describe_layer` described.

    Raises
    ------
    ValueError, TypeError, KeyError
        If the entry describes no layer; the message names it.
    """
    kind = entry["kind"]
    layer_class = _class_of(kind)
    if layer_class is None:
        raise ValueError(
            f"layer {_quoted(entry['name'])} is of the unknown kind {_quoted(kind)}: a class of "
            "your own must be defined before"
        )
    try:
        return layer_class(**entry["config"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"layer {_quoted(entry['name'])}: {excerpt(error, 400)}") from error
