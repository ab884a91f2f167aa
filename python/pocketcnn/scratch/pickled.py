"""Pickles that consist of NumPy's arrays by name.

This file has the names that NumPy's arrays use; :mod:`pocketcnn._files.pickle_machine` runs the
instructions. Arrays hold no more bytes than the file.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from math import prod
from typing import Any

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn._files.pickle_machine import Name, PickleMachine

# NumPy's names for the element types of parameters, without the byte order.
_NUMBERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}

# Enough for ten thousand arrays.
_MOST_INSTRUCTIONS = 250_000


def read_arrays(content: bytes) -> dict[str, Array]:
    """Return the arrays of a pickled dict, in C order and in this machine's byte order.

    Raises
    ------
    Exception
        Of any type, if the pickle is anything else.
    """
    made = _Machine(content).run()
    if type(made) is not dict:
        raise ValueError("it holds another object than a dict")
    for name, value in made.items():
        if not isinstance(value, _PickledArray) or value.array is None:
            raise ValueError(f"its entry {name!r} is no array")
    return {name: value.array for name, value in made.items()}


class _PickledType:
    """Stands for a dtype, of which a file gives first the name, then the byte order."""

    def __init__(self, name: object) -> None:
        if type(name) is not str or name not in _NUMBERS:
            raise ValueError("it holds elements that are no numbers")
        self.dtype = np.dtype(name)


class _PickledArray:
    """Stands for an array, whose shape, type and bytes a file gives after having made it."""

    array: Array | None = None


class _Machine(PickleMachine):
    """Runs one pickle of arrays."""

    def __init__(self, content: bytes) -> None:
        calls: dict[str, Callable[..., Any]] = {
            "numpy ndarray": _refuse_call,
            "numpy dtype": lambda name, *_: _PickledType(name),
            "numpy.core.multiarray _reconstruct": lambda *_: _PickledArray(),  # NumPy 1
            "numpy._core.multiarray _reconstruct": lambda *_: _PickledArray(),  # NumPy 2
            "numpy.core.numeric _frombuffer": self._from_buffer,
            "numpy._core.numeric _frombuffer": self._from_buffer,
            "_codecs encode": self._encode,
            "__builtin__ bytes": lambda: b"",
            "collections OrderedDict": lambda: {},
        }
        # Bytes are copied as text, and into arrays.
        room, limit = 2 * len(content), _MOST_INSTRUCTIONS
        names = {name: Name(call) for name, call in calls.items()}
        super().__init__(BytesIO(content), names, room=room, most_instructions=limit)

    def build(self, made: object, state: tuple[Any, ...]) -> None:
        """Give a type its byte order, or an array its content."""
        if isinstance(made, _PickledType):
            made.dtype = made.dtype.newbyteorder(state[1])
        elif isinstance(made, _PickledArray):
            _, shape, kind, by_columns, data = state
            made.array = self._array(data, kind, shape, by_columns=bool(by_columns))
        else:
            super().build(made, state)

    def _from_buffer(self, data: object, kind: object, shape: object, order: str) -> _PickledArray:
        """How protocol 5 writes an array."""
        made = _PickledArray()
        made.array = self._array(data, kind, shape, by_columns=order == "F")
        return made

    def _encode(self, text: str, *_: object) -> bytes:
        """How protocol 2 writes bytes."""
        self.take(len(text))
        return text.encode("latin1")

    def _array(self, data: object, kind: object, shape: object, *, by_columns: bool) -> Array:
        """Make an array from its bytes."""
        if not isinstance(data, (bytes, bytearray)) or not isinstance(kind, _PickledType):
            raise ValueError("it has an array without bytes or type")
        if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("it has an array whose shape is none")
        dtype = kind.dtype
        if len(shape) > 32 or prod(shape) * dtype.itemsize != len(data):
            raise ValueError("it has an array of more or fewer bytes than its shape")
        self.take(len(data))
        flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
        if dtype == np.bool_:
            flat = flat.view(np.uint8) != 0  # a byte may hold values besides 0 and 1
        flat = flat.astype(dtype.newbyteorder("="))
        return np.asarray(flat.reshape(shape, order="F" if by_columns else "C"), order="C")


def _refuse_call(*_: object) -> None:
    raise ValueError("it makes an array of nothing")
