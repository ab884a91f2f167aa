"""Tensors by name, also in nested dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_STATES = ("state_dict", "model_state_dict", "model")

# PyTorch's and MLX's names have a level a module.
_DEEPEST = 64


def named_tensors(content: Mapping[Any, Any], is_tensor: Callable[[Any], bool]) -> dict[str, Any]:
    """Return the tensors of a state dict, or of a checkpoint that contains one.

    If no entry is a tensor, the first of "state_dict", "model_state_dict" and "model" is used
    instead of the whole. Tensors in nested dicts, or in lists of dicts, have names with dots:
    "layers.0.weight". Entries whose name begins with "optim", and all that is no tensor, are left
    out.

    Raises
    ------
    ValueError
        There are no tensors, or the dicts are nested too deeply.
    """
    for _ in range(_DEEPEST):
        if not any(map(is_tensor, content.values())):
            inner = (content[name] for name in _STATES if isinstance(content.get(name), Mapping))
            content = next(inner, content)
    seen: set[int] = set()
    found = {
        name: leaf
        for key, value in content.items()
        if is_tensor(value) or not str(key).startswith("optim")
        for name, leaf in _leaves(str(key), value, seen)
        if is_tensor(leaf)
    }
    if content and not found:
        raise ValueError("it holds no tensors by name")
    return found


def _leaves(name: str, value: Any, seen: set[int], depth: int = 0) -> Iterator[tuple[str, Any]]:
    """What a value consists of, by name."""
    entries: Any
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        entries = enumerate(value)
    else:
        yield name, value
        return
    # A small file can hold a dict that contains itself, or exponentially many paths.
    if id(value) in seen or depth == _DEEPEST:
        raise ValueError(f"it holds the same dict twice, or more than {_DEEPEST} in each other")
    seen.add(id(value))
    for key, inner in entries:
        yield from _leaves(f"{name}.{key}", inner, seen, depth + 1)
