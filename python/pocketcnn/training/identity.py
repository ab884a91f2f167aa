"""The identity of a run: data, network and settings as text that is the same in every process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from pocketcnn.data import Compose
from pocketcnn.data.digest import digest

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def describe(thing: object) -> str:
    """Describe a function or an object with settings, the same in every process.

    Functions and classes are described by name, a lambda by a digest of its code, a `partial` and a
    `Compose` by what they consist of. Another object is described by its `repr` if its class has
    one, else by the name of its class.

    Examples
    --------
    >>> describe(np.clip), describe(partial(np.clip, 0.0))
    ('clip', 'partial(clip, 0.0)')
    """
    if isinstance(thing, np.generic):
        thing = thing.item()
    if isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
        return f"array({digest(thing)})"
    if isinstance(thing, partial):
        return _call("partial", [thing.func, *thing.args], thing.keywords)
    if isinstance(thing, Compose):
        return _call("Compose", thing.steps, {})
    if isinstance(thing, MethodType):
        return f"{describe(thing.__self__)}.{thing.__name__}"
    if isinstance(thing, FunctionType) and thing.__name__ == "<lambda>":
        return f"lambda {_code_digest(thing.__code__)}"
    if name := getattr(thing, "__name__", None):
        return str(name)
    if is_dataclass(thing):
        settings = {field.name: getattr(thing, field.name) for field in fields(thing) if field.repr}
        return _call(type(thing).__qualname__, [], settings)
    if type(thing).__repr__ is object.__repr__:
        return type(thing).__qualname__
    try:
        return _ADDRESS.sub("", repr(thing))
    except Exception:  # for example a user's layer that does not store its constructor's arguments
        return type(thing).__qualname__


def _call(name: str, arguments: Iterable[object], keywords: dict[str, Any]) -> str:
    shown = [*map(describe, arguments), *(f"{k}={describe(v)}" for k, v in keywords.items())]
    return f"{name}({', '.join(shown)})"


def _code_digest(code: CodeType) -> str:
    return hashlib.sha256(_code_text(code).encode()).hexdigest()[:16]


def _code_text(code: CodeType) -> str:
    """What a function does, without its place in the source."""
    constants = [
        _code_text(constant) if isinstance(constant, CodeType) else repr(constant)
        for constant in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
