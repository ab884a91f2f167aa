"""CIFAR-10 and CIFAR-100, from their binary files or from folders of images.

The binary files are those of https://www.cs.toronto.edu/~kriz/cifar.html: records of one label
(CIFAR-10) or two (CIFAR-100: the coarse one, then the fine one) and 3,072 bytes, the red, the green
and the blue plane of 32 x 32 pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketcnn.data.downloads import cache_folder, data_folders
from pocketcnn.data.files import as_folder, blaming, open_regular
from pocketcnn.data.image_folder import image_folder

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]

_PIXELS = 3 * 32 * 32

# More than any file of either has: 50,000 records.
_LARGEST_FILE = 2**28


def cifar10(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Return CIFAR-10: 50,000 training and 10,000 test images of ten kinds of things.

    `path`, or its subfolder `cifar-10-batches-bin`, holds the binary files `data_batch_1.bin` to
    `data_batch_5.bin` and `test_batch.bin`; or `path` holds the folders `train` and `test` of image
    files, with a subfolder for each class. Without `path`, the subfolder `cifar10` of the folder
    that `$POCKETCNN_DATA` names is looked into, then the one of the cache folder. The names of the
    classes are `pocketcnn.data.CLASS_NAMES["cifar10"]`.

    Parameters
    ----------
    path : str or path-like, optional
        The folder.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of tuples of arrays
        `x_train` uint8 (50000, 3, 32, 32), `t_train` int64 (50000,), `x_test` and `t_test` likewise
        with 10,000; as many as the files have.

    Raises
    ------
    FileNotFoundError
        The files are not there.
    OSError
        A file cannot be opened.
    ValueError
        A file is damaged, or has labels beyond the classes.
    """
    parts = [f"data_batch_{number}.bin" for number in range(1, 6)], ["test_batch.bin"]
    return _cifar("cifar10", path, "cifar-10-batches-bin", parts, 1, 10)


def cifar100(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Return CIFAR-100: 50,000 training and 10,000 test images of a hundred kinds of things.

    As `cifar10`: the binary files are `train.bin` and `test.bin`, in `path` or its subfolder
    `cifar-100-binary`. Labels are the hundred fine ones; their names are
    `pocketcnn.data.CLASS_NAMES["cifar100"]`.

    Parameters
    ----------
    path : str or path-like, optional
        The folder.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of tuples of arrays

    Raises
    ------
    FileNotFoundError, OSError, ValueError
        As `cifar10`.
    """
    parts = ["train.bin"], ["test.bin"]
    return _cifar("cifar100", path, "cifar-100-binary", parts, 2, 100)


def _cifar(
    name: str,
    path: str | os.PathLike[str] | None,
    inner: str,
    parts: tuple[list[str], list[str]],
    labels: int,
    classes: int,
) -> tuple[Split, Split]:
    tried = []
    for folder in _folders(name, path):
        tried.append(str(folder))
        for place in (folder, folder / inner):
            if all((place / file).is_file() for part in parts for file in part):
                train, test = (
                    _read_records([place / file for file in part], labels, classes)
                    for part in parts
                )
                return train, test
        if all((folder / part).is_dir() for part in ("train", "test")):
            return _read_folders(folder)
    raise FileNotFoundError(
        f"{' and '.join(tried)}: wanted the binary version of {name} "
        f"({', '.join(parts[0] + parts[1])}; that for Python is made of pickles, which are not "
        "read), or folders train and test with a subfolder of images for each class"
    )


def _folders(name: str, path: str | os.PathLike[str] | None) -> Iterator[Path]:
    if path is not None:
        yield as_folder("path", path)
        return
    yield from data_folders(name)
    yield cache_folder() / name


def _read_records(paths: Sequence[Path], labels: int, classes: int) -> Split:
    """Read files of records, each as they stand in memory."""
    size = labels + _PIXELS
    parts = []
    for path in paths:
        with open_regular(path) as file, blaming(path, "a CIFAR file"):
            length = os.fstat(file.fileno()).st_size
            if length > _LARGEST_FILE or length % size or not length:
                raise ValueError(f"its {length} bytes are not a number of records of {size} bytes")
            records = np.frombuffer(file.read(length), np.uint8)
            if records.size != length:
                raise ValueError(f"it ends after {records.size} of {length} bytes")
            records = records.reshape(-1, size)
            if (records[:, labels - 1] >= classes).any():
                raise ValueError(f"it has labels beyond the {classes} classes")
            parts.append(records)
    x = np.concatenate([part[:, labels:] for part in parts]).reshape(-1, 3, 32, 32)
    return x, np.concatenate([part[:, labels - 1] for part in parts]).astype(np.int64)


def _read_folders(folder: Path) -> tuple[Split, Split]:
    x_train, t_train, classes = image_folder(folder / "train", 32)
    x_test, t_test, others = image_folder(folder / "test", 32)
    if classes != others:
        odd = ", ".join(sorted(set(classes) ^ set(others)))
        raise ValueError(f"{folder}: train and test differ in their classes: {odd:.200}")
    return (x_train, t_train), (x_test, t_test)
