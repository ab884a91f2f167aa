"""ONNX files: the graph, and tensors in files beside it.

A file is foreign. Sizes in it are compared with the bytes that are there before anything is
allocated, and no other file is opened than those in the model's own folder.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn._files.reading import open_regular
from pocketcnn._text import excerpt
from pocketcnn.onnx.package import import_onnx

# Earlier ones gave operators of two inputs another meaning of "broadcast" than NumPy's.
OLDEST_OPSET = 6

_TYPED = {"FLOAT": "float_data", "DOUBLE": "double_data", "INT64": "int64_data"}
_IN_INT32 = {"INT32", "INT16", "INT8", "UINT16", "UINT8", "BOOL", "FLOAT16", "BFLOAT16"}


def read_proto(path: str | os.PathLike[str]) -> Any:
    """Read the model, without tensors that are in other files; functions of its own are put in.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ValueError
        It is not an ONNX model, or needs operators that the installed onnx does not know.
    """
    onnx = import_onnx()
    name = os.fspath(path)
    with open_regular(path) as file:
        content = file.read()
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
        if not proto.HasField("graph") or not proto.opset_import:
            raise ValueError("there is no graph in it")
        if proto.functions:
            from onnx import inliner

            proto = inliner.inline_local_functions(proto)
    except Exception as error:  # protobuf's own classes among them
        raise ValueError(f"{name} is not an ONNX model: {excerpt(error)}") from error
    opset = opset_of(proto)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise ValueError(
            f"{name} has operators of opset {opset}, but {OLDEST_OPSET} to {newest} can be read "
            f"with onnx {onnx.__version__}"
        )
    return proto


def opset_of(proto: Any) -> int:
    """The version of ONNX's own operators that a model uses."""
    versions = [item.version for item in proto.opset_import if item.domain in ("", "ai.onnx")]
    return max(versions, default=0)


class StoredTensor:
    """A tensor of the file; its numbers are read when they are first asked for.

    Parameters
    ----------
    proto : onnx.TensorProto
    folder : Path
        The model's folder, which has the files of tensors that are stored outside.

    Raises
    ------
    ValueError
        There are more or fewer numbers than the shape needs, or they are no numbers.
    """

    def __init__(self, proto: Any, folder: Path) -> None:
        onnx = import_onnx()
        self._proto, self._folder = proto, folder
        self.name = proto.name
        self.shape = tuple(int(size) for size in proto.dims)
        try:
            kind = onnx.TensorProto.DataType.Name(proto.data_type)
            self.dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(proto.data_type))
        except (ValueError, KeyError):
            raise ValueError(f"{self._called} has an unknown type of number") from None
        if self.dtype.kind in "OUS":
            raise ValueError(f"{self._called} holds text")
        if min(self.shape, default=0) < 0:
            raise ValueError(f"{self._called} has shape {excerpt(self.shape)}")
        self._external = proto.data_location == onnx.TensorProto.EXTERNAL
        # Types of less than a byte are packed: two to a byte.
        bits = 4 if "4" in kind and self.dtype.itemsize == 1 and "FLOAT8" not in kind else 0
        count = math.prod(self.shape)
        self.nbytes = count * self.dtype.itemsize
        self._stored_bytes = (count + 1) // 2 if bits else self.nbytes
        if not self._external:
            self._check_numbers(kind, count)

    @property
    def _called(self) -> str:
        return f"tensor {excerpt(repr(self.name))}"

    def _check_numbers(self, kind: str, count: int) -> None:
        proto = self._proto
        if proto.HasField("raw_data"):
            came, wanted = len(proto.raw_data), self._stored_bytes
        else:
            field = "int32_data" if kind in _IN_INT32 else _TYPED.get(kind, "int32_data")
            if kind in ("UINT32", "UINT64"):
                field = "uint64_data"
            came, wanted = len(getattr(proto, field)), count
            if self._stored_bytes != self.nbytes:
                wanted = came if came in (count, (count + 1) // 2) else count
        if came != wanted:
            raise ValueError(
                f"{self._called} of shape {excerpt(self.shape)} needs {wanted} "
                f"{'bytes' if proto.HasField('raw_data') else 'numbers'}, but has {came}"
            )

    def read(self) -> Array:
        """Return the numbers.

        Raises
        ------
        OSError, ValueError
            They are in a file that is not there, is too short, or is outside the model's folder.
        """
        onnx = import_onnx()
        proto = self._proto
        if self._external:
            proto = onnx.TensorProto()
            proto.dims.extend(self._proto.dims)
            proto.data_type = self._proto.data_type
            proto.raw_data = self._read_outside()
        try:
            return np.asarray(onnx.numpy_helper.to_array(proto))
        except Exception as error:
            raise ValueError(f"{self._called} cannot be read: {excerpt(error)}") from error

    def _read_outside(self) -> bytes:
        where = {item.key: item.value for item in self._proto.external_data}
        location = where.get("location", "")
        folder = self._folder.resolve()
        path = (folder / location).resolve()
        if not location or Path(location).is_absolute() or folder not in path.parents:
            raise ValueError(
                f"{self._called} is in {excerpt(repr(location))}, but must be in the model's folder"
            )
        offset = _number(where.get("offset", "0"))
        length = _number(where.get("length", str(self._stored_bytes)))
        if offset is None or length is None or length != self._stored_bytes:
            raise ValueError(
                f"{self._called} has offset {excerpt(where.get('offset'))} and length "
                f"{excerpt(where.get('length'))}, but needs {self._stored_bytes} bytes"
            )
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if offset + length > size:
                raise ValueError(
                    f"{self._called} needs bytes {offset} to {offset + length} of "
                    f"{excerpt(location)}, which has {size}"
                )
            file.seek(offset)
            return file.read(length)


def _number(text: str) -> int | None:
    """A size as the file has it in words; None if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
