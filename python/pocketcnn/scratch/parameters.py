"""The book's parameter files: a pickled dict of NumPy arrays.

A pickle is a program, and Python's reader runs whatever it calls. The reader here knows the few
names that a pickled array consists of, and gives even those a stand-in of its own, which does
nothing but put numbers into an array.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pocketcnn.arguments import Array

# What NumPy calls the element types of parameters, without the byte order.
_NUMBERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}


class _PickledType:
    """Stands for a dtype, of which a file gives first the name, then the byte order."""

    def __init__(self, name: str, *_: object) -> None:
        if name not in _NUMBERS:
            raise pickle.UnpicklingError(f"it holds elements of type {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _PickledArray:
    """Stands for an array, whose shape, type and bytes a file gives after having made it."""

    array: Array

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, data = state
        self.array = _array(data, kind, shape, "F" if by_columns else "C")


def _array(data: Any, kind: _PickledType, shape: tuple[int, ...], order: Any) -> Array:
    """Make an array, in this machine's byte order, of its bytes."""
    flat = np.frombuffer(data, kind.dtype).astype(kind.dtype.newbyteorder("="))
    return np.ascontiguousarray(flat.reshape(shape, order=order))


def _from_buffer(
    data: Any, kind: _PickledType, shape: tuple[int, ...], order: str
) -> _PickledArray:
    """Protocol 5's way to write an array."""
    made = _PickledArray()
    made.array = _array(data, kind, shape, order)
    return made


def _encode(text: str, *_: object) -> bytes:
    """Protocol 2's way to write bytes."""
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledType,
    ("numpy.core.multiarray", "_reconstruct"): _PickledArray,  # NumPy 1
    ("numpy._core.multiarray", "_reconstruct"): _PickledArray,  # NumPy 2
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads a pickle that consists of arrays, and refuses every name but theirs."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        known = _KNOWN[module, name]
        # A function made for this call: a pickle can set attributes of whatever it is given.
        return lambda *given: known(*given)


def load_params(file_name: str | PathLike[str] = "params.pkl") -> dict[str, Array]:
    """Read a file of parameters, such as the book's ``params.pkl``.

    Parameters
    ----------
    file_name : path
        A pickled dict of names and NumPy arrays, of any protocol and version of NumPy.

    Returns
    -------
    dict of str to ndarray
        C-contiguous, writeable, in the dtype of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds, or asks for, anything but numbers in arrays; none of it is run.
    """
    path = Path(file_name)
    with path.open("rb") as file:
        try:
            content = _ArrayUnpickler(file).load()
        # A damaged file can make the reader fail in any way; all mean the same to the caller.
        except Exception as error:
            raise ValueError(f"{path} is not a file of NumPy arrays: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a dict of NumPy arrays, but holds another object")
    params = {}
    for name, value in content.items():
        array = getattr(value, "array", None)
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            raise ValueError(f"{path} is not a dict of NumPy arrays: see its entry {name!r:.50}")
        params[name] = array
    return params


def save_params(params: Mapping[str, Array], file_name: str | PathLike[str] = "params.pkl") -> None:
    """Write parameters as the book's own code does, which can read them.

    Parameters
    ----------
    params : mapping of str to ndarray
    file_name : path
        Overwritten if it is there.
    """
    with Path(file_name).open("wb") as file:
        pickle.dump({name: np.asarray(value) for name, value in params.items()}, file)
