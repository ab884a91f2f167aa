"""Files of tensors that PyTorch wrote, read without PyTorch and without running their code.

``torch.save`` has written two containers: since 1.6 a zip file with one pickle and one record per
storage, before that five pickles followed by the storages. In both, a pickle says which storage a
tensor is in, and where.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from io import BufferedReader, BytesIO
from typing import Any

import numpy as np

from pocketcnn import _alignment
from pocketcnn._arguments import Array
from pocketcnn._files.element_types import widened
from pocketcnn._files.named_tensors import named_tensors
from pocketcnn._files.reading import open_regular
from pocketcnn._files.torch_pickle import ADVICE, Storage, Tensor, TorchMachine, Unreadable
from pocketcnn._files.zip_records import ZipRecords
from pocketcnn._text import excerpt

_ZIP = b"PK\3\4"
_PICKLE, _MAGIC = b"\x80", b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_MAGIC_NUMBER, _PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
_TAR, _TAR_PLACE = b"ustar", 257

_START = 512


def read_torch(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the tensors of a file that ``torch.save(model.state_dict(), path)`` wrote.

    No code of the file is run: a file that asks for anything but tensors in dicts and lists is
    refused. PyTorch need not be installed.

    Parameters
    ----------
    path : path-like
        Of PyTorch's zip format or of the one before it, of any byte order.

    Returns
    -------
    dict of str to ndarray
        By the names in the file. If the file is a checkpoint, whose entries are no tensors, the
        first of "state_dict", "model_state_dict" and "model" is read; without these, tensors of
        nested dicts have names with dots, except those under "optim...". bfloat16 is converted
        to float32, other types stay. Tensors that share a storage are views of the same memory;
        an expanded tensor is read-only.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ValueError
        The file is damaged, or holds, or asks for, something else than tensors: a whole pickled
        module, functions, complex or quantised numbers. The message says what.
    MemoryError
        There is less memory than the file has bytes (three times as much for bfloat16).
    """
    name = os.fspath(path)
    with open_regular(path) as file:
        try:
            container = _container(file)
            if not isinstance(container.content, Mapping):
                raise ValueError(f"it holds no dict of tensors: {ADVICE}")
            tensors = named_tensors(container.content, _is_tensor)
            return _Reader(container).arrays(tensors)
        except (OSError, MemoryError):
            raise
        # A damaged file can make the reader fail in any way; for the caller it is one error.
        except Exception as error:
            reason = excerpt(error, 250) or type(error).__name__
            raise ValueError(f"{name} is no file of tensors: {reason}") from error


def _is_tensor(value: object) -> bool:
    return isinstance(value, (Tensor, Unreadable))


def is_torch(start: bytes) -> bool:
    """Whether a file that begins so is one of ``torch.save``, if it is of tensors at all."""
    # Some .safetensors files begin as a pickle does.
    return start.startswith(_ZIP) or (start.startswith(_PICKLE) and _MAGIC in start[:32])


def _container(file: BufferedReader) -> _Container:
    size = os.fstat(file.fileno()).st_size
    start = file.read(_START)
    file.seek(0)
    if start[_TAR_PLACE:].startswith(_TAR):
        raise ValueError(
            "it is a tar file, as PyTorch's first releases wrote: torch.load reads it, and "
            "torch.save writes it anew"
        )
    if not is_torch(start):
        raise ValueError("it does not begin as what torch.save writes")
    return _Zip(file, size) if start.startswith(_ZIP) else _Legacy(file, size)


class _Container(ABC):
    """An open file, its pickle read.

    Attributes
    ----------
    size : int
    content : object
        What was saved, with a `Tensor` for each tensor.
    byte_order : {"<", ">"}
    """

    size: int
    content: Any
    byte_order = "<"

    @abstractmethod
    def read(self, storage: Storage) -> Array:
        """Return the bytes of all of a storage."""


class _Zip(_Container):
    def __init__(self, file: BufferedReader, size: int) -> None:
        self.size = size
        self._zip = ZipRecords(file, size)
        pickles = [name for name in self._zip.records if name.count("/") == 1]
        pickles = [name for name in pickles if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("it is a zip file, but not of torch.save")
        self._folder = pickles[0].removesuffix("data.pkl")
        if self._folder + "constants.pkl" in self._zip:
            raise ValueError(f"it is a whole module of TorchScript: {ADVICE}")
        if (order := self._folder + "byteorder") in self._zip:
            orders = {b"little": "<", b"big": ">"}
            if self._zip.size(order) > 6 or (named := self._zip.read(order)) not in orders:
                raise ValueError("its byte order is neither little nor big")
            self.byte_order = orders[named]
        pickled = self._zip.read(pickles[0])
        self.content = TorchMachine(BytesIO(pickled), len(pickled)).run()

    def read(self, storage: Storage) -> Array:
        name = f"{self._folder}data/{storage.key}"
        wanted = storage.total * storage.kind.size
        if (size := self._zip.size(name)) != wanted:
            raise ValueError(f"its record {name!r} has {size} bytes, but must have {wanted}")
        content = _alignment.empty((size,), np.uint8)
        self._zip.read_into(name, content.data)
        return content


class _Legacy(_Container):
    """Pickles of a magic number, a version, the machine, the object and the storages' keys."""

    def __init__(self, file: BufferedReader, size: int) -> None:
        self.size, self._file = size, file
        pickles = _WithinFile(file, size)
        for number in (_MAGIC_NUMBER, _PROTOCOL_VERSION):
            if TorchMachine(pickles, size).run() != number:
                raise ValueError("it has another version than that of any PyTorch")
        # The numbers are little-endian on every machine.
        TorchMachine(pickles, size).run()
        machine = TorchMachine(pickles, size)
        self.content = machine.run()
        keys = TorchMachine(pickles, size).run()
        if type(keys) is not list or not all(type(key) is str for key in keys):
            raise ValueError("it names no storages")
        self._places: dict[str, int] = {}
        for key in keys:
            if key not in machine.storages or key in self._places:
                raise ValueError(f"it has no tensors, or twice some, in the storage {key!r}")
            self._places[key] = self._pass_over(machine.storages[key])

    def _pass_over(self, storage: Storage) -> int:
        """Return where the numbers of the storage begin."""
        count = int.from_bytes(self._file.read(8), "little")
        place, length = self._file.tell(), storage.total * storage.kind.size
        if count != storage.total or length > self.size - place:
            raise ValueError(f"its storage {storage.key!r} is cut, or of another size")
        self._file.seek(place + length)
        return place

    def read(self, storage: Storage) -> Array:
        if storage.key not in self._places:
            raise ValueError(f"it lacks the storage {storage.key!r}")
        self._file.seek(self._places[storage.key])
        content = _alignment.empty((storage.total * storage.kind.size,), np.uint8)
        if self._file.readinto(content.data) < content.nbytes:
            raise ValueError("it was cut while it was read")
        return content


class _WithinFile:
    """Reads no more than is left: a small pickle may ask for any number of bytes."""

    def __init__(self, file: BufferedReader, size: int) -> None:
        self._file, self._size = file, size
        self.readline, self.tell = file.readline, file.tell

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._size - self.tell()))


class _Reader:
    """Makes arrays of tensors; only the storages that are needed are read, each once."""

    def __init__(self, container: _Container) -> None:
        self._container = container
        self._known: dict[tuple[str, str], Array] = {}
        self._room = container.size

    def arrays(self, tensors: Mapping[str, Tensor | Unreadable]) -> dict[str, Array]:
        """Return all tensors, or refuse the first that cannot be."""
        sound = {name: self._checked(name, tensor) for name, tensor in tensors.items()}
        return {name: self._array(tensor) for name, tensor in sound.items()}

    def _checked(self, name: str, tensor: Tensor | Unreadable) -> Tensor:
        """Refuse types that NumPy lacks, tensors beyond their storage, and overlapping elements."""
        if isinstance(tensor, Unreadable):
            raise ValueError(f"tensor {name!r} {tensor.reason}")
        if tensor.kind.dtype is None:
            raise ValueError(f"tensor {name!r} has elements of type {tensor.kind.name}")
        storage, axes = tensor.storage, zip(tensor.strides, tensor.shape, strict=True)
        last = 0
        for stride, size in sorted(axis for axis in axes if axis[1] > 1):
            if 0 < stride <= last:
                raise ValueError(f"tensor {name!r} has elements that overlap")
            last += stride * (size - 1)
        elements = math.prod(tensor.shape)
        end = (tensor.offset + last + 1) * tensor.kind.size
        if elements and end > storage.length * storage.kind.size:
            raise ValueError(f"tensor {name!r} ends beyond its storage")
        # An expanded tensor needs no memory, but a copy of it does.
        if elements * tensor.kind.size > self._container.size:
            raise ValueError(f"tensor {name!r} has more elements than the file has bytes")
        return tensor

    def _array(self, tensor: Tensor) -> Array:
        if not math.prod(tensor.shape):
            assert tensor.kind.dtype is not None
            return widened(np.empty(tensor.shape, tensor.kind.dtype))
        elements, storage = self._elements(tensor), tensor.storage
        begin = storage.begin * storage.kind.size // tensor.kind.size + tensor.offset
        strides = [stride * elements.itemsize for stride in tensor.strides]
        array: Array = np.ndarray(
            tensor.shape, elements.dtype, elements, begin * elements.itemsize, strides
        )
        expanded = (n > 1 and not step for n, step in zip(tensor.shape, strides, strict=True))
        array.flags.writeable = not any(expanded)
        return array

    def _elements(self, tensor: Tensor) -> Array:
        """Return the storage as numbers of the tensor's type, in this machine's byte order."""
        storage, kind = tensor.storage, tensor.kind
        if (known := self._known.get((storage.key, kind.name))) is not None:
            return known
        size = storage.total * storage.kind.size
        self._room -= size
        if self._room < 0:
            raise ValueError("its tensors take more bytes than it has")
        content = self._container.read(storage)
        if kind.name == "bool" and content.max(initial=0) > 1:
            raise ValueError(f"its storage {storage.key!r} holds other bytes than true and false")
        assert kind.dtype is not None
        whole = content[: size - size % kind.size]
        if self._container.byte_order == ">":
            whole.view(f"u{kind.size}").byteswap(inplace=True)
        numbers = widened(whole.view(kind.dtype))
        self._known[storage.key, kind.name] = numbers
        return numbers
