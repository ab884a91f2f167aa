"""The .safetensors container: arrays by name, text metadata, and checksums of both.

The format is 8 bytes for the header's length, the header in JSON, and the arrays' bytes one after
the other (https://huggingface.co/docs/safetensors). Two entries of the metadata are our own:
``data_crc32`` is the CRC-32 of all arrays' bytes, and ``header_crc32`` that of length and header,
with eight zeros in its own place. Files without them (older, or written by others) are read too.

The library of that name is not used: it writes metadata in random order, its errors are not
OSErrors, and it maps the file that it reads, so that the process dies if the file is truncated
meanwhile.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from typing import Any, NamedTuple, NoReturn

import numpy as np

from pocketcnn import _alignment
from pocketcnn._arguments import Array
from pocketcnn._files.element_types import BFLOAT16, widened
from pocketcnn._files.reading import open_regular
from pocketcnn._text import excerpt

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
_READ = {**{name: np.dtype(dtype) for name, dtype in _DTYPES.items()}, "BF16": BFLOAT16}

# Enough for a million numbers of a callback. With the format's own limit of 100 MB, a file that is
# only a header could take 2.5 GB and 19 s.
_LARGEST_HEADER = 2**25
_MOST_AXES = 32  # of an array in NumPy 1
_BLANK = "0" * 8


class Tensor(NamedTuple):
    """What the header says about one array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write a .safetensors file completely or not at all; equal content gives equal bytes.

    Parameters
    ----------
    path : path-like
    tensors : mapping of str to ndarray
        Arrays of floats, integers or booleans, in any memory order.
    metadata : mapping of str to str

    Raises
    ------
    OSError
        The file cannot be written; a previous file is unchanged.
    TypeError
        An array that the format cannot hold.
    ValueError
        More than 32 MiB of names and metadata.
    """
    from pocketcnn._files.atomic import write_atomically  # with pathlib, which reading does without

    # The largest elements first, so that each array is aligned; the format has no strides.
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    arrays = {name: _storable(name, tensors[name]) for name in order}
    entries: dict[str, Any] = {}
    crc = place = 0
    for name, array in arrays.items():
        end = place + array.nbytes
        kind = _NAMES[array.dtype]
        entries[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (place, end)}
        crc = zlib.crc32(_bytes_of(array), crc)
        place = end
    text = dict(sorted({**metadata, "data_crc32": f"{crc:08x}", "header_crc32": _BLANK}.items()))
    start = _header({"__metadata__": text, **entries})
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        file.write(start)
        for array in arrays.values():
            file.write(_bytes_of(array))


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Read arrays and metadata of a .safetensors file; see `open_tensors` for what is raised."""
    with open_tensors(path) as file:
        return file.read(), file.metadata


@contextmanager
def open_tensors(path: str | os.PathLike[str]) -> Iterator[TensorFile]:
    """Open a .safetensors file and read its header, but none of its arrays yet.

    Raises
    ------
    OSError
        There is no such file, or it cannot be opened.
    ValueError
        It is not a .safetensors file, or incomplete or damaged.
    """
    with open_regular(path) as file:
        yield TensorFile(path, file)


class TensorFile:
    """An open file whose header has been checked, and describes exactly the bytes that follow.

    Attributes
    ----------
    metadata : dict of str to str
    tensors : dict of str to Tensor
        In the order of the file.
    """

    def __init__(self, path: str | os.PathLike[str], file: BufferedReader) -> None:
        self._path, self._file = path, file
        size = os.fstat(file.fileno()).st_size
        length = file.read(8)
        header_size = int.from_bytes(length, "little")
        if len(length) < 8 or header_size > min(size - 8, _LARGEST_HEADER):
            self._refuse(f"it has {size} bytes, and no header of a possible length before them")
        header = file.read(header_size)
        try:
            content = json.loads(
                header.decode(), object_pairs_hook=_without_doubles, parse_int=_short_int
            )
            self.metadata = _metadata(content)
            self.tensors = _tensors(content, size - 8 - header_size)
        except (ValueError, RecursionError) as error:
            self._refuse(excerpt(error))
        self._crc = self.metadata.pop("data_crc32", None)
        crc = self.metadata.pop("header_crc32", None)
        # One of the two is enough to recognise our own file: a damaged key hides only itself.
        if (crc or self._crc) and crc != _header_crc(length + header, crc or ""):
            self._refuse("its header has another checksum than when it was written")

    def read(self) -> dict[str, Array]:
        """Read all arrays, each from the beginning of a cache line; bfloat16 becomes float32.

        Raises
        ------
        ValueError
            Their checksum is wrong.
        MemoryError
            There is less memory than the file has bytes.
        """
        arrays: dict[str, Array] = {}
        crc = 0
        for name, tensor in self.tensors.items():
            try:
                array = _alignment.empty(tensor.shape, tensor.dtype)
            except ValueError as error:  # an empty array with an axis that is too long
                self._refuse(excerpt(error))
            content = _bytes_of(array)
            if self._file.readinto(content) < content.nbytes:
                self._refuse("it was cut while it was read")
            if tensor.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
                self._refuse(f"{excerpt(name)} holds other bytes than true and false")
            crc = zlib.crc32(content, crc)
            arrays[name] = widened(array)
        if self._crc is not None and self._crc != f"{crc:08x}":
            self._refuse("its arrays have another checksum than when they were written")
        return arrays

    def _refuse(self, reason: str) -> NoReturn:
        raise ValueError(
            f"{os.fspath(self._path)} is not a whole .safetensors file, but damaged or of another "
            f"kind: {reason}"
        )


def _storable(name: str, array: Array) -> Array:
    """Return the array in C order and little-endian; the array itself if it is so already."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _NAMES:
        raise TypeError(f"array {name!r} has dtype {dtype}, which a .safetensors file cannot hold")
    return np.asarray(array, dtype, order="C")


def _bytes_of(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _header(content: Mapping[str, Any]) -> bytes:
    """Length and text of the header, its checksum filled in."""
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LARGEST_HEADER:
        raise ValueError(
            f"names and metadata take {len(text)} bytes, but a file has room for {_LARGEST_HEADER}"
        )
    header = len(text).to_bytes(8, "little") + text
    return header.replace(_field(_BLANK), _field(f"{zlib.crc32(header):08x}"))


def _header_crc(header: bytes, stated: str) -> str:
    """Compute the checksum that `_header` filled in; `stated` is the one in the header."""
    return f"{zlib.crc32(header.replace(_field(stated), _field(_BLANK))):08x}"


def _field(crc: str) -> bytes:
    # Quotes in JSON strings are escaped, so this occurs only once in the header.
    return f'"header_crc32":"{crc}"'.encode()


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name occurs twice in its header")
    return content


def _short_int(digits: str) -> int:
    """Parse an int of at most 64 bits: long ones take time with the square of their digits."""
    if len(digits) > 20:
        raise ValueError("its header has a number that counts nothing")
    return int(digits)


def _metadata(content: Any) -> dict[str, str]:
    metadata = content.get("__metadata__", {}) if isinstance(content, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are no text by name")
    return metadata


def _tensors(content: Mapping[str, Any], size: int) -> dict[str, Tensor]:
    """What the header says about each array, if they fill `size` bytes without overlap."""
    entries = sorted(_entry(*item) for item in content.items() if item[0] != "__metadata__")
    place = 0
    for begin, end, name, tensor in entries:
        if begin != place or end - begin != math.prod(tensor.shape) * tensor.dtype.itemsize:
            raise ValueError(f"{name!r} does not lie where its size and those before it put it")
        place = end
    if place != size:
        raise ValueError(f"its header tells of {place} bytes, but {size} follow")
    return {name: tensor for _, _, name, tensor in entries}


def _entry(name: str, entry: Any) -> tuple[int, int, str, Tensor]:
    """Where an array begins and ends, its type and its shape, with every number checked."""
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        dtype = _READ[kind]
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"{name!r} has no known type, shape and place") from None
    numbers = (*shape, begin, end)
    if len(shape) > _MOST_AXES or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise ValueError(f"{name!r} has no possible shape and place")
    return begin, end, name, Tensor(dtype, shape)
