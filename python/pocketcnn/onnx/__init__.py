"""Networks to and from ONNX files, which most other libraries read or write.

It needs the package onnx, ``pip install pocketcnn[onnx]``, which is imported when a function is
called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketcnn.onnx.exporting import export
    from pocketcnn.onnx.importing import load

__all__ = ["export", "load"]

_MODULE_OF = {"export": "exporting", "load": "importing"}


def __getattr__(name: str) -> Any:
    """Import the module of a function when it is first used."""
    if name in _MODULE_OF:
        value = getattr(import_module(f"pocketcnn.onnx.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pocketcnn.onnx' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
