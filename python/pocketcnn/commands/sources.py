"""Where the commands find images: data sets known by name, `.npz` and IDX files, folders."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketcnn import data
from pocketcnn.commands import run
from pocketcnn.data.dataset import identify
from pocketcnn.data.idx import find_idx
from pocketcnn.data.mnist import name_idx_files
from pocketcnn.data.picture import is_picture_name

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Size: TypeAlias = "int | tuple[int, int] | None"

# The data sets known by name, with the channels and the side of their images.
KNOWN = {
    "digits": (1, 28),
    "mnist": (1, 28),
    "fashion_mnist": (1, 28),
    "cifar10": (3, 32),
    "cifar100": (3, 32),
}
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")

# Images of more bytes are read from their files while the network trains.
_IN_MEMORY = 2**30


@dataclass(frozen=True)
class Reading:
    """How image files are read: see `pocketcnn.data.ImageFolder`; channels is 3 when not given."""

    size: Size = None
    channels: int | None = None
    resize: str = "stretch"
    on_error: str = "raise"


@dataclass(frozen=True)
class Part:
    """The images of a data set that are used for one thing.

    Attributes
    ----------
    dataset : pocketcnn.data.Dataset
        Gives images as uint8.
    labels : ndarray of int64 (N,)
    shape : tuple of int
        Of an image.
    files : list of Path or None
        The file of each image, if there are files.
    """

    dataset: data.Dataset
    labels: Labels
    shape: tuple[int, ...]
    files: list[Path] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, indices: Iterable[int]) -> Images:
        """Read some images (N, C, H, W)."""
        return self.dataset.batch(np.fromiter(indices, np.intp))[0]

    def take(self, indices: NDArray[np.intp]) -> Part:
        """Return a part of the images."""
        taken: data.Dataset = data.Subset(self.dataset, indices)
        if isinstance(self.dataset, data.Arrays):
            taken = data.Arrays(*self.dataset.batch(indices))
        files = None if self.files is None else [self.files[index] for index in indices.tolist()]
        return Part(taken, self.labels[indices], self.shape, files)

    def settled(self) -> Part:
        """Return it with its images in memory, unless they are too many."""
        if isinstance(self.dataset, data.Arrays) or len(self) * math.prod(self.shape) > _IN_MEMORY:
            return self
        return replace(self, dataset=data.Arrays(self.images(range(len(self))), self.labels))

    def digest(self) -> str:
        """Return a text that other images or labels change."""
        if isinstance(self.dataset, data.Arrays):
            return run.digest(self.dataset.x, self.labels)
        return " ".join(map(str, identify(self.dataset)))


@dataclass(frozen=True)
class Source:
    """What is found under a name: images to train on, maybe others to measure on, and classes."""

    training: Part
    test: Part | None
    classes: list[str]


def load_source(name: str, reading: Reading) -> Source:
    """Find the images of a data set.

    Parameters
    ----------
    name : str
        One of `KNOWN`; an `.npz` file; or a folder: one with IDX files, one with a subfolder per
        class, or one with such folders in `train` and `test`.
    reading : Reading
        For image files.
    """
    source = _load_arrays(name)
    if source is not None:
        return source
    train, test = find_parts(Path(name))
    if train is None and test is not None:
        raise FileNotFoundError(f"{name!r} has {test.name!r}, but no images to train on")
    training, classes = read_folder(train or Path(name), reading)
    if test is None:
        return Source(training, None, classes)
    _, height, width = training.shape
    measured, test_classes = read_folder(test, replace(reading, size=(height, width)))
    if test_classes != classes:
        odd = sorted(set(classes) ^ set(test_classes))
        raise ValueError(f"{train} and {test} differ in their classes: {odd}")
    return Source(training, measured, classes)


def label_of(name: str) -> str:
    """Return what a data set is called in messages and folder names."""
    return name if name in KNOWN else Path(name).resolve().name


def find_images(folder: Path) -> Iterator[Path]:
    """Yield all image files below a folder, in the order of their names; not the hidden ones."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if is_picture_name(name))


def read_folder(folder: Path, reading: Reading) -> tuple[Part, list[str]]:
    """Read a folder with a subfolder per class; return its images and classes."""
    found = data.ImageFolder(
        folder,
        reading.size,
        3 if reading.channels is None else reading.channels,
        reading.on_error,
        resize=reading.resize,
    )
    return Part(found, found.labels, found.image_shape, found.files), found.classes


def find_parts(folder: Path) -> tuple[Path | None, Path | None]:
    """Find the folders of training and of test images.

    A folder with such a name counts if it holds folders and no images; otherwise `train` may be a
    class (of trains). If there is only one such folder, it counts only if nothing beside it holds
    images.
    """
    inside = [
        entry
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    ]
    named = [entry for entry in inside if entry.name in TRAIN_FOLDERS + TEST_FOLDERS]
    parts = {entry.name: entry for entry in named if _holds_folders_only(entry)}
    train, test = (
        next((parts[name] for name in names if name in parts), None)
        for names in (TRAIN_FOLDERS, TEST_FOLDERS)
    )
    others = [entry for entry in inside if entry not in (train, test)]
    if (train is None or test is None) and any(any(find_images(other)) for other in others):
        return None, None
    return train, test


def _holds_folders_only(folder: Path) -> bool:
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    return any(map(Path.is_dir, entries)) and not any(
        is_picture_name(entry.name) for entry in entries
    )


def _load_arrays(name: str) -> Source | None:
    """Load what is stored as arrays; None if `name` is a folder of image files."""
    path, names = Path(name), data.CLASS_NAMES.get(name)
    if names is not None:
        found: Any = getattr(data, name)()
    elif path.suffix == ".npz" and path.is_file():
        found = data.npz(path)
    elif not path.is_dir():
        raise FileNotFoundError(
            f"data {name!r} is neither digits, mnist nor a folder, nor an .npz file or "
            f"{', '.join(list(KNOWN)[2:])}"
        )
    elif find_idx(path):
        found, names = data.idx(path), data.CLASS_NAMES.get(name_idx_files(path) or "")
    else:
        return None
    pairs = [found] if isinstance(found[0], np.ndarray) else found
    parts = [_as_part(name, *pair) for pair in pairs]
    count = max(int(part.labels.max()) for part in parts) + 1
    classes = list(names or map(str, range(count)))
    return Source(parts[0], parts[1] if len(parts) > 1 else None, classes)


def _as_part(name: str, x: NDArray[Any], t: NDArray[Any]) -> Part:
    if x.dtype != np.uint8 or x.ndim != 4:
        raise ValueError(f"data {name} has images {x.dtype} {x.shape}: wanted uint8 (N, C, H, W)")
    if t.dtype.kind not in "iu" or t.ndim != 1 or t.min() < 0:
        raise ValueError(f"data {name} has targets {t.dtype} {t.shape}: wanted labels, int (N,)")
    return Part(data.Arrays(x, t), t.astype(np.int64), x.shape[1:])
