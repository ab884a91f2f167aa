"""The package onnx, imported when it is needed."""

from __future__ import annotations

from typing import Any


def import_onnx() -> Any:
    """Return the module onnx.

    Raises
    ------
    ImportError
        It is not installed; the message says how to install it.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "ONNX files need the package onnx: pip install pocketcnn[onnx]"
        ) from error
    return onnx
