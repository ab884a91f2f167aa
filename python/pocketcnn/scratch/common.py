"""Stand in for the book's ``common`` package, so that not even an import changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

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
    """Where Python looks for a further module of ``common``: beside the book's own files.

    Read anew at each import, for the scripts append to ``sys.path``.
    """

    def __iter__(self) -> Iterator[str]:
        return (str(Path(folder) / "common") for folder in sys.path)


def install_common() -> None:
    """Let ``import common.layers`` and its siblings find this package's modules.

    Call it before the first of them is imported. The modules are ``common.functions``,
    ``gradient``, ``layers``, ``multi_layer_net``, ``multi_layer_net_extend``, ``optimizer``,
    ``trainer`` and ``util``; any other in a folder named ``common`` is found as before. Calling
    it again changes nothing.

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
        sys.modules[f"common.{name}"] = module
        setattr(common, name, module)
