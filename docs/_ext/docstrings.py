"""Shapes such as ``(N, *input_shape)``, as docstrings have them, are no emphasis."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def _escape(*event: Any) -> None:
    lines: list[str] = event[-1]
    lines[:] = [line.replace("(N, *", r"(N, \*") for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it to autodoc."""
    app.connect("autodoc-process-docstring", _escape)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
