"""Names of layers, from what a file calls its weights and nodes."""

from __future__ import annotations

import re

from pocketcnn.onnx.node import Node
from pocketcnn.onnx.tensors import Constant

_LONGEST = 60


def hint_of(node: Node) -> str:
    """A name for the layer of a node: of its weight "layer1.0.conv1.weight", layer1_0_conv1.

    Empty where neither a weight nor the node has a name with a meaning.
    """
    for value in node.inputs:
        if isinstance(value, Constant) and "." in value.name:
            owner, _, last = value.name.rpartition(".")
            if last in ("weight", "bias", "running_mean", "running_var"):
                return _clean(owner)
    parts = [part for part in node.proto.name.split("/") if part]
    if len(parts) > 1 and parts[-1].startswith(node.op):
        parts.pop()
    # PyTorch repeats the owner in the owned: layer1, layer1.0, conv1.
    path: list[str] = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    name = _clean("_".join(path))
    return name if re.search("[a-zA-Z]{2}", name) else ""


def _clean(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z_]+", "_", name[-_LONGEST:]).strip("_")


class Names:
    """Hands out each name once."""

    def __init__(self) -> None:
        self._taken = {"input"}

    def take(self, hint: str) -> str:
        """The hint, or the hint with the first number that is free."""
        name, number = hint, 1
        while name in self._taken:
            number += 1
            name = f"{hint}_{number}"
        self._taken.add(name)
        return name
