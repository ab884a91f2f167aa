"""A digest of an array, by which a resumed run recognises its data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from pocketcnn._arguments import Array

# Larger arrays are sampled: a digest of this many bytes takes a second or two. SHA-256 has
# processor instructions; Python's BLAKE2 takes three times as long.
_WHOLE_BYTES = 2**30
_CHUNK_BYTES = 2**22


def digest(array: Array, convert: Callable[[Array], Array] = np.asarray) -> str:
    """Return a digest of an array's shape, type and values, independent of its strides.

    For an array of more than one GiB, such as a memory-mapped one, samples from its whole length
    are used, together one GiB.

    Parameters
    ----------
    array : ndarray
    convert : callable, optional
        The digest is that of ``convert(array)``, which must be of the same shape; it is called
        with a few MiB at a time.
    """
    if array.dtype.kind in "iu" and array.ndim == 1:
        array = array.astype(np.int64, copy=False)  # labels mean the same in any integer type
    wanted = convert(array[:0] if array.ndim else array).dtype.newbyteorder("<")
    found = hashlib.sha256(f"{wanted.str} {array.shape}".encode())
    if array.size == 0:
        return found.hexdigest()[:32]
    array = np.atleast_1d(array)
    row = max(1, array[:1].size * wanted.itemsize)
    rows = max(1, _CHUNK_BYTES // row)
    starts: Iterable[int] = range(0, len(array), rows)
    if array.size * wanted.itemsize > _WHOLE_BYTES:
        parts = _WHOLE_BYTES // (rows * row)
        starts = (int(at) for at in np.linspace(0, len(array) - rows, parts))
    for start in starts:
        part = np.ascontiguousarray(convert(array[start : start + rows]), wanted)
        found.update(part.reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:32]
