"""A stack machine for those pickles that consist of arrays by name.

It knows the instructions that Python's pickler, of any protocol, writes for a dict of arrays, and
the names that NumPy's arrays use. For any file, time and memory are bounded by its size: only text
is hashed, arrays hold no more bytes than the file, and each instruction is a step in Python, so
that Ctrl-C works in between.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from pocketcnn._arguments import Array

# NumPy's names for the element types of parameters, without the byte order.
_NUMBERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}

# Enough for ten thousand arrays; a one-byte instruction can make an object of 100 bytes.
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


class _Name:
    """Stands for a function or a class."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class _Machine:
    """Runs one pickle."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._room = 2 * len(content)  # bytes that may be copied: as text, and into arrays
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._names: dict[str, Callable[..., Any]] = {
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

    def run(self) -> Any:
        """Return what the pickle leaves on the stack."""
        for count, (instruction, value, _) in enumerate(pickletools.genops(self._content)):
            if instruction.name == "STOP":
                break
            if count == _MOST_INSTRUCTIONS:
                raise ValueError("it has more instructions than any file of parameters")
            self._step(instruction.name, value)
        return self._stack.pop()

    def _step(self, instruction: str, value: Any) -> None:
        stack = self._stack
        match instruction:
            case "PROTO" | "FRAME":
                pass
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1":
                stack.append(value)
            case "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(value)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                stack.append(value)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(instruction == "NEWTRUE")
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(self._pop(int(instruction[-1])))
            case "MARK":
                self._marks.append(len(stack))
            case "TUPLE":
                stack.append(self._pop_to_mark())
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                items = self._pop_to_mark()
                stack.append({})
                self._set_items(items)
            case "SETITEM":
                self._set_items(self._pop(2))
            case "SETITEMS":
                self._set_items(self._pop_to_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[value] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[value])
            case "GLOBAL":
                stack.append(self._find(value))
            case "STACK_GLOBAL":
                stack.append(self._find(" ".join(self._pop(2))))
            case "REDUCE":
                name, given = self._pop(2)
                stack.append(name.call(*given))
            case "BUILD":
                made, state = self._pop(2)
                self._build(made, state)
                stack.append(made)
            case _:
                raise ValueError(f"it has the instruction {instruction}, which no array needs")

    def _pop(self, count: int) -> tuple[Any, ...]:
        items = tuple(self._stack[-count:])
        if len(items) < count:
            raise ValueError("it takes more from its stack than there is")
        del self._stack[-count:]
        return items

    def _pop_to_mark(self) -> tuple[Any, ...]:
        start = self._marks.pop()
        items = tuple(self._stack[start:])
        del self._stack[start:]
        return items

    def _set_items(self, items: tuple[Any, ...]) -> None:
        target = self._stack[-1]
        # Hashing a tuple of tuples may take for ever.
        if type(target) is not dict or not all(type(name) is str for name in items[::2]):
            raise ValueError("it holds another mapping than one of text to arrays")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _find(self, name: str) -> _Name:
        if name not in self._names:
            raise ValueError(f"it asks for {name.replace(' ', '.')}")
        return _Name(self._names[name])

    def _build(self, made: object, state: tuple[Any, ...]) -> None:
        """Give a type its byte order, or an array its content."""
        if isinstance(made, _PickledType):
            made.dtype = made.dtype.newbyteorder(state[1])
        elif isinstance(made, _PickledArray):
            _, shape, kind, by_columns, data = state
            made.array = self._array(data, kind, shape, by_columns=bool(by_columns))
        else:
            raise ValueError("it changes an object that is no array")

    def _from_buffer(self, data: object, kind: object, shape: object, order: str) -> _PickledArray:
        """How protocol 5 writes an array."""
        made = _PickledArray()
        made.array = self._array(data, kind, shape, by_columns=order == "F")
        return made

    def _encode(self, text: str, *_: object) -> bytes:
        """How protocol 2 writes bytes."""
        self._take(len(text))
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
        self._take(len(data))
        flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
        if dtype == np.bool_:
            flat = flat.view(np.uint8) != 0  # a byte may hold values besides 0 and 1
        flat = flat.astype(dtype.newbyteorder("="))
        return np.asarray(flat.reshape(shape, order="F" if by_columns else "C"), order="C")

    def _take(self, size: int) -> None:
        """Reduce the room: a file may copy the same bytes again and again."""
        self._room -= size
        if self._room < 0:
            raise ValueError("it copies the same bytes again and again")


def _refuse_call(*_: object) -> None:
    raise ValueError("it makes an array of nothing")
