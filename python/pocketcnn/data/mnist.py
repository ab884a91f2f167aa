"""MNIST: found on this machine, or downloaded once.

The file format (IDX) is that of http://yann.lecun.com/exdb/mnist/: two zero bytes, a type code
(8 is unsigned byte), the number of axes, one big-endian 32-bit length per axis, then the values.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketcnn._files.atomic import write_atomically
from pocketcnn.data.files import as_path, blaming, open_regular

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

# SHA-256 of the uncompressed files: mirrors may compress them differently.
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

# The largest compression ratio of deflate.
_GZIP_RATIO = 1032

# More than the largest of the four files: unpacking a download stops here.
_LARGEST_CONTENT = 2**26


@dataclass(frozen=True)
class _Files:
    """The four files of one folder, in the order of `CHECKSUMS`."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path


def mnist(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Return MNIST: 60,000 training and 10,000 test images of handwritten digits.

    The four IDX files, gzipped or not, are looked for in `path` and nowhere else when it is
    given; otherwise in the folder `$POCKETCNN_DATA` names (or its subfolder `mnist`), then in
    the cache folder `~/.cache/pocketcnn/mnist` (`$XDG_CACHE_HOME` is honoured). Failing that
    they are downloaded into the cache folder and their checksums are verified; this needs
    pooch (`pip install pooch`; the extra `data`).

    Parameters
    ----------
    path : str or path-like, optional
        A folder that holds the four files; other data sets in MNIST's format are read as well.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of tuples of arrays
        `x_train` uint8 (60000, 1, 28, 28), `t_train` int64 (60000,),
        `x_test` uint8 (10000, 1, 28, 28), `t_test` int64 (10000,). Numbers, sizes and labels
        are those of the files: another data set may have more than ten classes.

    Raises
    ------
    FileNotFoundError
        `path` does not hold the files, or they are not found and cannot be downloaded.
    OSError
        A folder or a file cannot be opened.
    ValueError
        A file is not what its name says, is damaged or does not fit the others.
    """
    files = _find(path)
    x_train, t_train = _read_pair(files.train_images, files.train_labels)
    x_test, t_test = _read_pair(files.test_images, files.test_labels)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{files.test_images} has images of {x_test.shape[2:]} pixels, but "
            f"{files.train_images.name} of {x_train.shape[2:]}"
        )
    return (x_train, t_train), (x_test, t_test)


def find_idx_files(folder: Path) -> bool:
    """Tell whether `folder` holds the four files of MNIST."""
    return _in_folder(folder) is not None


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
        packed, stream = _unpacked(file)
        try:
            return _read_values(stream, size * _GZIP_RATIO if packed else size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"not a whole gzip file: {error}") from error


def _unpacked(file: io.BufferedReader) -> tuple[bool, io.BufferedIOBase]:
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


def _find(path: str | os.PathLike[str] | None) -> _Files:
    if path is not None:
        found = _in_folder(as_path("path", path))
        if found is None:
            raise FileNotFoundError(
                f"path {os.fspath(path)!r} does not hold the four MNIST files "
                f"({', '.join(CHECKSUMS)}; each may end in .gz)"
            )
        return found
    named = os.environ.get("POCKETCNN_DATA")
    folders = [Path(named), Path(named) / "mnist"] if named else []
    for folder in folders:
        found = _in_folder(folder)
        if found is not None:
            return found
    cache = cache_folder() / "mnist"
    return _in_folder(cache) or _download(cache)


def cache_folder() -> Path:
    """Return `$XDG_CACHE_HOME/pocketcnn`, or `~/.cache/pocketcnn`."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "pocketcnn"
    try:
        return Path.home() / ".cache" / "pocketcnn"
    except RuntimeError:
        raise FileNotFoundError(
            "this user has no home folder to look for data in: set XDG_CACHE_HOME or POCKETCNN_DATA"
        ) from None


def _in_folder(folder: Path) -> _Files | None:
    found: list[Path] = []
    for name in CHECKSUMS:
        # Some archives write a dot for the second hyphen.
        spellings = (name, name.replace("-idx", ".idx"))
        paths = (folder / (spelling + end) for spelling in spellings for end in ("", ".gz"))
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return None
        found.append(path)
    return _Files(*found)


def _download(folder: Path) -> _Files:
    try:
        import pooch  # type: ignore[import-untyped]  # it has no type hints
    except ImportError as error:
        raise FileNotFoundError(
            _advice(folder, "pooch is not installed", "Install it (pip install pooch)")
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"the folder cannot be made ({error.strerror})"
        raise FileNotFoundError(_advice(folder, reason, "Set XDG_CACHE_HOME")) from error
    downloader = pooch.HTTPDownloader(timeout=30)
    return _Files(*(_download_one(name, folder, downloader) for name in CHECKSUMS))


def _download_one(name: str, folder: Path, downloader: Callable[..., object]) -> Path:
    """Get one file from the first mirror that has it."""
    target = folder / f"{name}.gz"
    reason = ""
    for mirror in MIRRORS:
        url = mirror + target.name
        try:
            # No reader sees half a file, and a wrong file never gets this name.
            with write_atomically(target) as partial:
                downloader(url, str(partial), None)
                if _checksum(partial) != CHECKSUMS[name]:
                    raise _WrongChecksumError
        except _WrongChecksumError:
            reason = f"{url} has a wrong checksum"
        except Exception as error:  # a response may contain anything
            reason = f"{url} failed ({type(error).__name__})"
        else:
            return target
    raise FileNotFoundError(_advice(folder, reason, "Go online"))


class _WrongChecksumError(Exception):
    """A mirror's file is not that of MNIST."""


def _checksum(path: Path) -> str:
    """SHA-256 of a file's content, unpacked piece by piece and at most as much as MNIST has."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        stream = _unpacked(file)[1]
        for _ in range(0, _LARGEST_CONTENT, 2**16):
            digest.update(stream.read(2**16))
    return digest.hexdigest()


def _advice(folder: Path, reason: str, remedy: str) -> str:
    return (
        f"MNIST is not on this machine and could not be downloaded: {reason}. {remedy}, or put "
        f"its four files (from {MIRRORS[0]}) into {folder} or into a folder that POCKETCNN_DATA "
        "names; pocketcnn.data.digits() needs neither"
    )
