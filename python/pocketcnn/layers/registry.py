"""Layers as text that JSON can hold, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocketcnn._text import excerpt
from pocketcnn.layers.base import LAYERS, Layer


def _quoted(foreign: object) -> str:
    return excerpt(repr(foreign))


def describe_layer(name: str, layer: Layer) -> dict[str, Any]:
    """Name, class and settings of a layer, without its weights.

    Raises
    ------
    ValueError
        If `build_layer` would not find the class.
    """
    kind = type(layer).__name__
    if LAYERS.get(kind) is not type(layer):
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
    if kind not in LAYERS:
        raise ValueError(
            f"layer {_quoted(entry['name'])} is of the unknown kind {_quoted(kind)}: a class of "
            "your own must be defined before"
        )
    try:
        return LAYERS[kind](**entry["config"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"layer {_quoted(entry['name'])}: {excerpt(error, 400)}") from error
