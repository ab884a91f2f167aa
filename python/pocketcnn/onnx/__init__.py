"""Networks as ONNX files; needs the package onnx, from ``pip install pocketcnn[onnx]``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketcnn.onnx.importing import load

__all__ = ["load"]

_MODULE_OF = {"load": "importing"}


def __getattr__(name: str) -> Any:
    """Import a function when it is first used."""
    if name in _MODULE_OF:
        value = getattr(import_module(f"pocketcnn.onnx.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pocketcnn.onnx' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names for completion."""
    return sorted(__all__)
