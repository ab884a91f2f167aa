"""The data sets that the commands know: the built-in digits, MNIST, folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketcnn import data
from pocketcnn.data.mnist import find_idx_files
from pocketcnn.data.picture import is_picture_name

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Size: TypeAlias = "int | tuple[int, int] | None"

BUILT_IN = ("digits", "mnist")
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")


@dataclass(frozen=True)
class Dataset:
    """Images, labels and the names of the classes.

    `test` says what the second pair is: "test", or "validation" if it was split off here.
    """

    name: str
    x_train: Images
    t_train: Labels
    x_test: Images
    t_test: Labels
    classes: list[str]
    test: str = "test"


def load_dataset(
    name: str,
    *,
    size: Size,
    channels: int | None,
    share: float,
    seed: int,
    validate: bool = False,
    limit: int | None = None,
) -> Dataset:
    """Load `digits`, `mnist` or a folder.

    Parameters
    ----------
    name : str
        `digits`, `mnist`, or a folder: one with the four files of MNIST, one with a subfolder
        per class, or one with such folders in `train` and `test`.
    size, channels : int or None
        For image files: see `pocketcnn.data.image_folder`; channels is 3 when not given.
    share : float
        Which share of the images is held out when the folder has no test images of its own, or
        when `validate` says so.
    seed : int
        Decides which images are held out.
    validate : bool, default False
        Do not use the test images: hold out some of the training images instead.
    limit : int, optional
        Keep at most this many training images, drawn at random.
    """
    dataset = _load_digits(name) or _load_folder(name, size, channels, share, seed)
    if validate and dataset.test == "test":
        x, t = dataset.x_train, dataset.t_train
        dataset = _hold_out(dataset.name, x, t, dataset.classes, share, seed)
    if limit is None or limit >= len(dataset.x_train):
        return dataset
    kept = np.sort(np.random.default_rng(seed).permutation(len(dataset.x_train))[:limit])
    return replace(dataset, x_train=dataset.x_train[kept], t_train=dataset.t_train[kept])


def load_new_images(name: str, size: Size, channels: int) -> tuple[str, Images, Labels, list[str]]:
    """Load images that were not trained on: the test images, or all if there is no test set.

    Returns
    -------
    title : str
        Which images they are: "the 1,000 test images of digits".
    x, t : ndarray
    classes : list of str
    """
    digits = _load_digits(name)
    if digits is not None:
        title = f"the {len(digits.x_test):,} test images of {digits.name}"
        return title, digits.x_test, digits.t_test, digits.classes
    folder = Path(name)
    train, test = _parts(folder)
    x, t, classes = data.image_folder(test or train or folder, size, channels)
    which = f"all {len(x):,} images" if test is None else f"the {len(x):,} test images"
    return f"{which} of {label_of(name)}", x, t, classes


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
    return Dataset(label_of(name), *train, *test, ten)


def _load_folder(name: str, size: Size, channels: int | None, share: float, seed: int) -> Dataset:
    folder, label = Path(name), label_of(name)
    channels = 3 if channels is None else channels
    train_folder, test_folder = _parts(folder)
    if train_folder is None and test_folder is not None:
        raise FileNotFoundError(f"{name!r} has {test_folder.name!r}, but no images to train on")
    x, t, classes = data.image_folder(train_folder or folder, size, channels)
    if test_folder is None:
        return _hold_out(label, x, t, classes, share, seed)
    shape = (x.shape[2], x.shape[3])
    x_test, t_test, test_classes = data.image_folder(test_folder, shape, channels)
    if test_classes != classes:
        odd = sorted(set(classes) ^ set(test_classes))
        raise ValueError(f"{train_folder} and {test_folder} differ in their classes: {odd}")
    return Dataset(label, x, t, x_test, t_test, classes)


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


def _hold_out(
    label: str, x: Images, t: Labels, classes: list[str], share: float, seed: int
) -> Dataset:
    count = round(len(x) * share)
    if not 0 < count < len(x):
        raise ValueError(f"a share of {share} of {len(x)} images leaves no images to hold out")
    order = np.random.default_rng(seed).permutation(len(x))
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    return Dataset(label, x[kept], t[kept], x[held], t[held], classes, "validation")
