"""The data sets that the commands know: the built-in digits, MNIST, folders of images."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketcnn import data
from pocketcnn.commands import run
from pocketcnn.data.dataset import identify
from pocketcnn.data.mnist import find_idx_files
from pocketcnn.data.picture import is_picture_name

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Size: TypeAlias = "int | tuple[int, int] | None"

BUILT_IN = ("digits", "mnist")
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")

# Images of more bytes are read from their files while the network trains.
_IN_MEMORY = 2**30

# The warning of `ImageFolder` about classes of very different sizes.
_ONE_SIDED = r"path '.*': ('.*' is the only class|class '.*' has [\d,]+ images, but)"


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

    @classmethod
    def of_arrays(cls, x: Images, t: Labels) -> Part:
        """Make it of arrays in memory."""
        return cls(data.Arrays(x, t), t, x.shape[1:])

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
class Dataset:
    """Images to train and to measure on, and the names of the classes.

    `test` says what the second part is: "test", or "validation" if it was split off here.
    """

    name: str
    training: Part
    measured: Part
    classes: list[str]
    test: str = "test"


def load_dataset(
    name: str,
    *,
    share: float,
    seed: int,
    validate: bool = False,
    limit: int | None = None,
    **reading: Any,
) -> Dataset:
    """Load `digits`, `mnist` or a folder.

    Parameters
    ----------
    name : str
        `digits`, `mnist`, or a folder: one with the four files of MNIST, one with a subfolder
        per class, or one with such folders in `train` and `test`.
    share : float
        Which share of the images is held out when the folder has no test images of its own, or
        when `validate` says so.
    seed : int
        Decides which images are held out.
    validate : bool, default False
        Do not use the test images: hold out some of the training images instead.
    limit : int, optional
        Keep at most this many training images, drawn at random.
    **reading
        As `Reading` takes them.
    """
    dataset = _load_digits(name) or _load_folder(name, Reading(**reading), share, seed)
    if validate and dataset.test == "test":
        dataset = _hold_out(dataset.name, dataset.training, dataset.classes, share, seed)
    if limit is not None and limit < len(dataset.training):
        kept = np.sort(np.random.default_rng(seed).permutation(len(dataset.training))[:limit])
        dataset = replace(dataset, training=dataset.training.take(kept))
    training, measured = dataset.training.settled(), dataset.measured.settled()
    return replace(dataset, training=training, measured=measured)


def load_new_images(name: str, reading: Reading) -> tuple[str, Part, list[str]]:
    """Load images that were not trained on: the test images, or all if there is no test set.

    Returns
    -------
    title : str
        Which images they are: "the 1,000 test images of digits".
    part : Part
    classes : list of str
    """
    digits = _load_digits(name)
    if digits is not None:
        title = f"the {len(digits.measured):,} test images of {digits.name}"
        return title, digits.measured, digits.classes
    folder = Path(name)
    train, test = _parts(folder)
    with warnings.catch_warnings():
        # What matters to a training does not to a measurement.
        warnings.filterwarnings("ignore", _ONE_SIDED, UserWarning)
        part, classes = _read_folder(test or train or folder, reading)
    which = f"all {len(part):,} images" if test is None else f"the {len(part):,} test images"
    return f"{which} of {label_of(name)}", part, classes


def label_of(name: str) -> str:
    """Return what a data set is called in messages and folder names."""
    return name if name in BUILT_IN else Path(name).resolve().name


def find_images(folder: Path) -> Iterator[Path]:
    """Yield all image files below a folder, in the order of their names; not the hidden ones."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if is_picture_name(name))


def _load_digits(name: str) -> Dataset | None:
    """Load one of the data sets of ten digits; None if `name` is a folder of image files."""
    ten = [str(digit) for digit in range(10)]
    if name in BUILT_IN:
        train, test = data.digits() if name == "digits" else data.mnist()
    elif not Path(name).is_dir():
        raise FileNotFoundError(f"data {name!r} is neither digits, mnist nor a folder")
    elif find_idx_files(Path(name)):
        train, test = data.mnist(name)
    else:
        return None
    return Dataset(label_of(name), Part.of_arrays(*train), Part.of_arrays(*test), ten)


def _load_folder(name: str, reading: Reading, share: float, seed: int) -> Dataset:
    folder, label = Path(name), label_of(name)
    train_folder, test_folder = _parts(folder)
    if train_folder is None and test_folder is not None:
        raise FileNotFoundError(f"{name!r} has {test_folder.name!r}, but no images to train on")
    training, classes = _read_folder(train_folder or folder, reading)
    if test_folder is None:
        return _hold_out(label, training, classes, share, seed)
    _, height, width = training.shape
    test, test_classes = _read_folder(test_folder, replace(reading, size=(height, width)))
    if test_classes != classes:
        odd = sorted(set(classes) ^ set(test_classes))
        raise ValueError(f"{train_folder} and {test_folder} differ in their classes: {odd}")
    return Dataset(label, training, test, classes)


def _read_folder(folder: Path, reading: Reading) -> tuple[Part, list[str]]:
    found = data.ImageFolder(
        folder,
        reading.size,
        3 if reading.channels is None else reading.channels,
        reading.on_error,
        resize=reading.resize,
    )
    return Part(found, found.labels, found.image_shape, found.files), found.classes


def _parts(folder: Path) -> tuple[Path | None, Path | None]:
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


def _hold_out(label: str, part: Part, classes: list[str], share: float, seed: int) -> Dataset:
    count = round(len(part) * share)
    if not 0 < count < len(part):
        raise ValueError(f"a share of {share} of {len(part)} images leaves no images to hold out")
    order = np.random.default_rng(seed).permutation(len(part))
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    return Dataset(label, part.take(kept), part.take(held), classes, "validation")
