"""Weights in a file beside an ONNX file, which itself cannot be as large as 2 GiB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from pocketcnn.layers import Array

# Readers map the file into memory, so tensors begin on pages.
_PAGE = 4096
# Sizes and other small constants are needed when shapes are inferred: they stay in the graph.
_SMALL = 1024


def external_tensors(
    onnx: Any, arrays: Mapping[str, Array], file: BinaryIO, location: str
) -> Iterator[Any]:
    """Write arrays to a file, and yield the tensors that refer to it.

    Parameters
    ----------
    onnx : module
    arrays : mapping of str to ndarray
    file : binary file
    location : str
        The file's path, seen from the folder of the ONNX file.
    """
    for name, array in arrays.items():
        if array.nbytes < _SMALL:
            yield onnx.numpy_helper.from_array(array, name)
            continue
        file.write(bytes(-file.tell() % _PAGE))
        tensor = onnx.TensorProto(
            name=name,
            dims=array.shape,
            data_type=onnx.helper.np_dtype_to_tensor_dtype(array.dtype),
            data_location=onnx.TensorProto.EXTERNAL,
        )
        entries = {"location": location, "offset": file.tell(), "length": array.nbytes}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        file.write(array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).data)
        yield tensor
