"""A stack machine for pickles that consist of text, numbers and arrays by name.

A pickle is a program for a small stack machine, and Python's own machine calls whatever the program
names. This one knows the instructions that Python's pickler, of any protocol, writes for such
content, and calls only the names in a given table. For any file, time and memory are bounded by its
size: only text is hashed, and each instruction is a step in Python, with Ctrl-C
in between.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, NoReturn, Protocol, cast

_LONGEST_NAME = 200


class Source(Protocol):
    """What a pickle is read from."""

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes, or as many as are left."""
        ...

    def readline(self) -> bytes:
        """Return the rest of a line, with its end."""
        ...

    def tell(self) -> int:
        """Return the position in bytes."""
        ...


class Name:
    """Stands for a function or a class that a pickle asks for."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class PickleMachine:
    """Runs one pickle.

    Parameters
    ----------
    file : Source
        Its position is behind the pickle afterwards.
    names : mapping of str to Name
        What each "module name" stands for. Nothing else is called.
    room : int
        How many bytes may be copied; `take` reduces it.
    most_instructions : int
        A limit, because a one-byte instruction can make an object of 100 bytes.
    """

    int_keys = False
    """Whether the key of a dict may be an int, which is then converted to text."""

    def __init__(
        self,
        file: Source,
        names: Mapping[str, Name],
        *,
        room: int,
        most_instructions: int,
    ) -> None:
        self._file, self._names = file, names
        self._room, self._most_instructions = room, most_instructions
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return what the pickle leaves on the stack.

        Raises
        ------
        Exception
            Of any kind, if the pickle holds anything else.
        """
        instructions = pickletools.genops(cast(IO[bytes], self._file))
        for count, (instruction, value, _) in enumerate(instructions):
            if instruction.name == "STOP":
                break
            if count == self._most_instructions:
                raise ValueError("it has more instructions than any file of parameters")
            self._step(instruction.name, value)
        return self._stack.pop()

    def take(self, size: int) -> None:
        """Reduce the room: a file may copy the same bytes again and again."""
        self._room -= size
        if self._room < 0:
            raise ValueError("it copies the same bytes again and again")

    def build(self, made: Any, state: Any) -> None:
        """Set the state of an object."""
        raise ValueError("it changes an object that is no array")

    def load_persistent(self, identity: Any) -> Any:
        """Return an object that is stored outside of the pickle."""
        raise ValueError("it has parts outside of itself")

    def refuse_name(self, name: str) -> NoReturn:
        """Refuse a name that is not in the table."""
        raise ValueError(f"it asks for {name.replace(' ', '.')}")

    def _step(self, instruction: str, value: Any) -> None:
        stack = self._stack
        match instruction:
            case "PROTO" | "FRAME":
                pass
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "BINFLOAT":
                stack.append(value)
            case "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(value)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                stack.append(value)
            case "SHORT_BINSTRING" | "BINSTRING":  # text of Python 2
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
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                stack.append(list(self._pop_to_mark()))
            case "APPEND":
                self._append(self._pop(1))
            case "APPENDS":
                self._append(self._pop_to_mark())
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
            case _:
                self._step_by_name(instruction, value)

    def _step_by_name(self, instruction: str, value: Any) -> None:
        """The instructions that use the memo, or names."""
        stack = self._stack
        match instruction:
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                if value >= self._most_instructions:
                    raise ValueError("it remembers more than it has")
                self._memo[value] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[value])
            case "GLOBAL":
                stack.append(self._find(value))
            case "STACK_GLOBAL":
                parts = self._pop(2)
                if not all(type(part) is str and len(part) <= _LONGEST_NAME for part in parts):
                    raise ValueError("it asks for something without a name")
                stack.append(self._find(" ".join(parts)))
            case "REDUCE":
                name, given = self._pop(2)
                if not isinstance(name, Name) or type(given) is not tuple:
                    raise ValueError("it calls what is no function")
                stack.append(name.call(*given))
            case "BUILD":
                made, state = self._pop(2)
                self.build(made, state)
                stack.append(made)
            case "BINPERSID":
                stack.append(self.load_persistent(*self._pop(1)))
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

    def _append(self, items: tuple[Any, ...]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise ValueError("it adds to an object that is no list")
        target.extend(items)

    def _set_items(self, items: tuple[Any, ...]) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            raise ValueError("it adds names to an object that is no dict")
        target.update(zip(map(self._key, items[::2]), items[1::2], strict=True))

    def _key(self, name: object) -> str:
        """The key of a dict as text: hashing nested tuples may take for ever, and ints collide."""
        if type(name) is str:
            return name
        if self.int_keys and type(name) is int and abs(name) < 2**63:
            return str(name)
        raise ValueError("it holds another mapping than one of text to arrays")

    def _find(self, name: str) -> Name:
        if name not in self._names:
            self.refuse_name(name)
        return self._names[name]
