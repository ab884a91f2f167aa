"""IDX files: the format of MNIST and of the data sets that took it over.

That of http://yann.lecun.com/exdb/mnist/: two zero bytes, a type code (8 is unsigned byte), the
number of axes, one big-endian 32-bit length per axis, then the values.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketcnn.data.files import as_folder, blaming, open_regular
from pocketcnn.data.listing import few

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]

# The largest compression ratio of deflate.
GZIP_RATIO = 1032

# Some archives write a dot for the second hyphen.
_NAME = re.compile(r"(.*?)(train|t10k|test)-(images|labels)([-.])idx[13]-ubyte(\.gz)?")


@dataclass(frozen=True)
class Files:
    """The four files of a data set."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path

    def read(self) -> tuple[Split, Split]:
        """Read all four."""
        x_train, t_train = _read_pair(self.train_images, self.train_labels)
        x_test, t_test = _read_pair(self.test_images, self.test_labels)
        if x_train.shape[1:] != x_test.shape[1:]:
            raise ValueError(
                f"{self.test_images} has images of {x_test.shape[2:]} pixels, but "
                f"{self.train_images.name} of {x_train.shape[2:]}"
            )
        return (x_train, t_train), (x_test, t_test)


def idx(path: str | os.PathLike[str], prefix: str | None = None) -> tuple[Split, Split]:
    """Read a folder of IDX files: MNIST's format, with any numbers, sizes and labels.

    The four files are `<prefix>train-images-idx3-ubyte`, `<prefix>train-labels-idx1-ubyte` and the
    same with `test` or `t10k`, each gzipped or not. Those of EMNIST, whose prefixes begin with
    `emnist`, hold their images with rows and columns exchanged; they come upright.

    Parameters
    ----------
    path : str or path-like
        The folder.
    prefix : str, optional
        Which files, if the folder has several data sets: `"emnist-letters-"`.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of tuples of arrays
        Images uint8 (N, 1, H, W), labels int64 (N,), as they are in the files.

    Raises
    ------
    FileNotFoundError
        `path` is not a folder, or does not hold the files.
    OSError
        A file cannot be opened.
    ValueError
        The folder holds several data sets; or a file is not what its name says, is damaged, or
        does not fit the others.
    """
    folder = as_folder("path", path)
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(f"prefix is {prefix!r:.80}, but must be a str")
    found = find_idx(folder)
    if prefix is not None:
        found = {name: files for name, files in found.items() if name == prefix}
    if not found:
        which = "" if prefix is None else f" with prefix {prefix!r}"
        raise FileNotFoundError(
            f"path {os.fspath(path)!r} does not hold four IDX files{which}: "
            "train-images-idx3-ubyte, train-labels-idx1-ubyte and those of test (or t10k), each "
            "maybe with .gz"
        )
    if len(found) > 1:
        names = few([repr(name) for name in sorted(found)], ", ")
        raise ValueError(f"path {os.fspath(path)!r} holds several data sets: give prefix ({names})")
    ((name, files),) = found.items()
    train, test = files.read()
    if name.lower().startswith("emnist"):
        train, test = _upright(train), _upright(test)
    return train, test


def find_idx(folder: Path) -> dict[str, Files]:
    """The data sets in a folder that have all four files, by the prefix of their names.

    A file that is not packed is taken before one that is, `t10k` before `test`.
    """
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.iterdir(), key=lambda file: (file.suffix == ".gz", file.name)):
        match = _NAME.fullmatch(file.name)
        if match is not None and file.is_file():
            part = "train" if match[2] == "train" else "test"
            found.setdefault(match[1], {}).setdefault(f"{part}_{match[3]}", file)
    return {prefix: Files(**files) for prefix, files in found.items() if len(files) == 4}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzipped or not, which its first bytes tell.

    No more is read, unpacked or allocated than the header states and the file can hold.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    ndarray of uint8
        With the shape the file states; writable.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        The file is not an IDX file of unsigned bytes, or its length is not what it states.
    """
    with open_regular(path) as file, blaming(path, "an IDX file"):
        size = os.fstat(file.fileno()).st_size
        packed, stream = unpacked(file)
        try:
            return _read_values(stream, size * GZIP_RATIO if packed else size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"not a whole gzip file: {error}") from error


def unpacked(file: io.BufferedReader) -> tuple[bool, io.BufferedIOBase]:
    """Whether a file is gzipped, and its content."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return packed, gzip.GzipFile(fileobj=file) if packed else file


def _read_values(stream: io.BufferedIOBase, capacity: int) -> NDArray[np.uint8]:
    """Read an IDX file's content, which has no more than `capacity` bytes."""
    start = stream.read(4)
    if len(start) < 4 or start[:3] != b"\0\0\x08":
        raise ValueError(f"it starts with {start!r}: not an IDX file of unsigned bytes")
    rank = start[3]
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise ValueError(f"{4 + len(header)} bytes are too short for its header")
    shape = struct.unpack(f">{rank}I", header)
    wanted = math.prod(shape)
    if wanted > capacity:
        raise ValueError(f"it states {shape}, {wanted} values: more than it has room for")
    content = stream.read(wanted + 1)
    if len(content) != wanted:
        count = f"{len(content)}" if len(content) < wanted else f"more than {wanted}"
        raise ValueError(f"it holds {count} values, but states {shape}, {wanted} values")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape).copy()


def _read_pair(images: Path, labels: Path) -> Split:
    x, t = read_idx(images), read_idx(labels)
    if x.ndim != 3 or x.size == 0:
        raise ValueError(f"{images} has shape {x.shape}: wanted (number, height, width), all > 0")
    if t.shape != x.shape[:1]:
        raise ValueError(f"{labels} has shape {t.shape}, but {images.name} has {len(x)} images")
    return x[:, np.newaxis], t.astype(np.int64)


def _upright(pair: Split) -> Split:
    return np.ascontiguousarray(pair[0].swapaxes(2, 3)), pair[1]
