"""Replacement for the book's ``common`` package, so that imports need no change."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from pocketcnn.scratch import (
    functions,
    gradient,
    layers,
    multi_layer_net,
    optimizer,
    trainer,
    util,
)

_MODULES = {
    "functions": functions,
    "gradient": gradient,
    "layers": layers,
    "multi_layer_net": multi_layer_net,
    "multi_layer_net_extend": multi_layer_net,
    "optimizer": optimizer,
    "trainer": trainer,
    "util": util,
}


class _FoldersNamedCommon:
    """Where Python looks for other modules of ``common``: in the book's own folder.

    Evaluated again at each import, because the scripts append to ``sys.path``.
    """

    def __iter__(self) -> Iterator[str]:
        return (str(Path(folder) / "common") for folder in sys.path)


class _StandIn(ModuleType):
    """A module of this package under the book's name, plus the additions in the reader's own file.

    The reader's file runs when one of its own names is first used. Names of this package are not
    taken from it.
    """

    def __init__(self, name: str, module: ModuleType) -> None:
        super().__init__(f"common.{name}", module.__doc__)
        public = [key for key in vars(module) if not key.startswith("_")]
        self._ours: list[str] = getattr(module, "__all__", public)
        self.__dict__.update((key, getattr(module, key)) for key in self._ours)
        self._own: ModuleType | None = None

    @property
    def __all__(self) -> list[str]:
        """What ``from common.layers import *`` brings: our names, then the reader's."""
        own = [name for name in _names_in(self._file()) if name not in self.__dict__]
        return [*self._ours, *own]

    def __getattr__(self, name: str) -> Any:
        """Find a name that only the reader's file has."""
        if not _is_dunder(name) and name in _names_in(self._file()):
            return getattr(self._reader_s(), name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def _file(self) -> Path | None:
        """The reader's file of this name, if there is one."""
        name = f"{self.__name__.removeprefix('common.')}.py"
        files = (Path(folder) / name for folder in _FoldersNamedCommon())
        return next((file for file in files if file.is_file()), None)

    def _reader_s(self) -> ModuleType:
        if self._own is None:
            spec = spec_from_file_location(self.__name__, self._file())
            if spec is None or spec.loader is None:
                raise ImportError(f"cannot read the file of {self.__name__}")
            self._own = module_from_spec(spec)  # before it runs, as it may import us again
            try:
                spec.loader.exec_module(self._own)
            except BaseException:
                self._own = None
                raise
        return self._own


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _names_in(file: Path | None) -> list[str]:
    """Names that a file defines at top level, without running it; none if it is not Python."""
    if file is None:
        return []
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    names: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            names[node.name] = None
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = (inner for target in targets for inner in ast.walk(target))
            names.update((inner.id, None) for inner in found if isinstance(inner, ast.Name))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            aliases = (alias.asname or alias.name.split(".")[0] for alias in node.names)
            names.update((name, None) for name in aliases if name != "*")
    return [name for name in names if not name.startswith("_")]


def install_common() -> None:
    """Let ``import common.layers`` and its siblings find this package's modules.

    Call it before the first of them is imported. The modules are ``common.functions``,
    ``gradient``, ``layers``, ``multi_layer_net``, ``multi_layer_net_extend``, ``optimizer``,
    ``trainer`` and ``util``; any other in a folder named ``common`` is found as before, and so are
    a reader's additions to copies of these eight. Calling it again changes nothing.

    Examples
    --------
    >>> install_common()
    >>> from common.layers import Affine
    >>> Affine.__module__
    'pocketcnn.scratch.layers'
    """
    common = ModuleType("common", "pocketcnn.scratch in place of the book's package.")
    common.__path__ = _FoldersNamedCommon()  # type: ignore[assignment]  # a list to mypy
    sys.modules["common"] = common
    for name, module in _MODULES.items():
        if not isinstance(sys.modules.get(f"common.{name}"), _StandIn):
            sys.modules[f"common.{name}"] = _StandIn(name, module)
        setattr(common, name, sys.modules[f"common.{name}"])
