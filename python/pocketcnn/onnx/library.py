"""The onnx package, imported when a model is read or written."""

from __future__ import annotations

from typing import Any


def import_onnx() -> Any:
    """Return the module `onnx`, or say how to install it.

    Raises
    ------
    ImportError
        It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "reading and writing ONNX needs the package onnx: pip install pocketcnn[onnx]"
        ) from error
    return onnx
