"""MNIST: found on this machine, or downloaded once.

The file format (IDX) is that of http://yann.lecun.com/exdb/mnist/: two zero bytes, a type code
(8 is unsigned byte), the number of axes, one big-endian 32-bit length an axis, then the values.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
        A folder that holds the four files.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of tuples of arrays
        `x_train` uint8 (60000, 1, 28, 28), `t_train` int64 (60000,),
        `x_test` uint8 (10000, 1, 28, 28), `t_test` int64 (10000,).

    Raises
    ------
    FileNotFoundError
        `path` does not hold the files, or they are nowhere and cannot be downloaded.
    ValueError
        A file is not what its name says, or is cut short.
    """
    files = _find(path)
    x_train, t_train = _read_pair(files.train_images, files.train_labels)
    x_test, t_test = _read_pair(files.test_images, files.test_labels)
    return (x_train, t_train), (x_test, t_test)


def find_idx_files(folder: Path) -> bool:
    """Tell whether `folder` holds the four files of MNIST."""
    return _in_folder(folder) is not None


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzipped when its name ends in `.gz`.

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
    ValueError
        The file is not an IDX file of unsigned bytes, or its length is not what it states.
    """
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, ValueError) as error:
            raise ValueError(f"{path} is not a whole gzip file: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path} starts with {raw[:4]!r}: not an IDX file of unsigned bytes")
    rank = raw[3]
    start = 4 + 4 * rank
    if len(raw) < start:
        raise ValueError(f"{path} has {len(raw)} bytes: too short for its header")
    shape = struct.unpack(f">{rank}I", raw[4:start])
    values = np.frombuffer(raw, dtype=np.uint8, offset=start)
    wanted = int(np.prod(shape, dtype=np.int64))
    if values.size != wanted:
        raise ValueError(f"{path} holds {values.size} values, but states {shape}, {wanted} values")
    return values.reshape(shape).copy()


def _read_pair(images: Path, labels: Path) -> Split:
    x, t = read_idx(images), read_idx(labels)
    if x.ndim != 3:
        raise ValueError(f"{images} has shape {x.shape}: wanted (number, height, width)")
    if t.shape != x.shape[:1]:
        raise ValueError(f"{labels} has shape {t.shape}, but {images.name} has {len(x)} images")
    return x[:, np.newaxis], t.astype(np.int64)


def _find(path: str | os.PathLike[str] | None) -> _Files:
    if path is not None:
        found = _in_folder(Path(path))
        if found is None:
            raise FileNotFoundError(
                f"path {os.fspath(path)!r} does not hold the four MNIST files "
                f"({', '.join(CHECKSUMS)}; each may end in .gz)"
            )
        return found
    named = os.environ.get("POCKETCNN_DATA")
    cache = cache_folder() / "mnist"
    for folder in (*((Path(named), Path(named) / "mnist") if named else ()), cache):
        found = _in_folder(folder)
        if found is not None:
            return found
    return _download(cache)


def cache_folder() -> Path:
    """Return `$XDG_CACHE_HOME/pocketcnn`, or `~/.cache/pocketcnn`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pocketcnn"


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
    folder.mkdir(parents=True, exist_ok=True)
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # pooch reports the hash of every file: ours are known.
    try:
        found = [_download_one(name, checksum, folder) for name, checksum in CHECKSUMS.items()]
    finally:
        logger.setLevel(level)
    return _Files(*found)


def _download_one(name: str, checksum: str, folder: Path) -> Path:
    import pooch

    file_name = f"{name}.gz"
    reason = ""
    for mirror in MIRRORS:
        # Under another name until it is verified, so that nobody reads half a file.
        partial = f"{file_name}.{os.getpid()}.partial"
        downloader = pooch.HTTPDownloader(timeout=30)
        try:
            path = Path(
                pooch.retrieve(mirror + file_name, None, partial, folder, downloader=downloader)
            )
            content = gzip.decompress(path.read_bytes())
        except (OSError, EOFError, ValueError) as error:
            (folder / partial).unlink(missing_ok=True)
            reason = f"{mirror} failed ({type(error).__name__})"
            continue
        if hashlib.sha256(content).hexdigest() == checksum:
            return path.replace(folder / file_name)
        path.unlink()
        reason = f"{mirror}{file_name} has a wrong checksum"
    raise FileNotFoundError(_advice(folder, reason, "Go online"))


def _advice(folder: Path, reason: str, remedy: str) -> str:
    return (
        f"MNIST is not on this machine and could not be downloaded: {reason}. {remedy}, or put "
        f"its four files (from {MIRRORS[0]}) into {folder} or into a folder that POCKETCNN_DATA "
        "names; pocketcnn.data.digits() needs neither"
    )
