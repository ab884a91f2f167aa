"""The images that are named on the command line: files, folders, arrays, built-in digits."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from pocketcnn import data
from pocketcnn._text import excerpt
from pocketcnn.commands.sources import find_images
from pocketcnn.data.dataset import identify
from pocketcnn.data.digest import digest
from pocketcnn.data.image_folder import read_images
from pocketcnn.network.net import ConvNet
from pocketcnn.network.preprocessing import Preprocessing


def preparation(net: ConvNet) -> Preprocessing:
    """Return how pixels become what a network takes: 0 to 1 if its file does not say it."""
    return net.preprocessing or Preprocessing()


class Scaled:
    """A data set with its pixels scaled as a network takes them, a batch at a time."""

    def __init__(self, dataset: data.Dataset, preprocessing: Preprocessing) -> None:
        self.dataset, self.preprocessing = dataset, preprocessing

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The labels, if the data set knows them."""
        return getattr(self.dataset, "labels", None)

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, indices: NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Read some samples, and scale them."""
        x, t = self.dataset.batch(indices)
        return self.preprocessing.scaled(x), t

    def digest(self) -> str:
        """Return a digest of the scaled images or, if they are read, of what they are made from."""
        if isinstance(self.dataset, data.Arrays):  # as earlier versions, which scaled all at once
            return digest(self.dataset.x, self.preprocessing.scaled)
        return f"{self.preprocessing.scale} {identify(self.dataset)[0]}"


def read_inputs(
    names: list[str], net: ConvNet, *, invert: bool
) -> tuple[NDArray[np.float32], list[str]]:
    """Read all images of `names` for `net`; see `expand` and `read_input`.

    Returns
    -------
    x : ndarray of float32 (N, C, H, W)
    labels : list of str
        What to call each image.
    """
    parts, labels = [], []
    for name in expand(names):
        part, its_labels = read_input(name, net, invert=invert)
        parts.append(part)
        labels += its_labels
    return np.concatenate(parts), labels


def expand(names: Iterable[str]) -> Iterator[str]:
    """Yield the names, replacing each folder by the image files below it, in order.

    Raises
    ------
    ValueError
        A folder has none.
    """
    for name in names:
        if not Path(name).is_dir():
            yield name
            continue
        found = False
        for file in find_images(Path(name)):
            found = True
            yield str(file)
        if not found:
            raise ValueError(f"folder {name!r} has no image files")


def read_input(name: str, net: ConvNet, *, invert: bool) -> tuple[NDArray[np.float32], list[str]]:
    """Read all images of a name at once; see `read_parts`."""
    parts = list(read_parts(name, net, invert=invert))
    return np.concatenate([x for x, _ in parts]), [label for _, told in parts for label in told]


def read_parts(
    name: str, net: ConvNet, *, invert: bool, at_most: int = 64
) -> Iterator[tuple[NDArray[np.float32], list[str]]]:
    """Read the images of an image file, a `.npy` file, or `digits:7`, a built-in test digit.

    Parameters
    ----------
    name : str
        What to read. An array is (H, W), (C, H, W) or (N, C, H, W); integers are taken as 0 to
        255, those of 16 bits without sign as 0 to 65,535, and scaled as the network takes them;
        floating point numbers are taken as they are. Image files are converted and resized.
    net : ConvNet
        Decides channels, size, and how pixels are scaled and resized.
    invert : bool
        Exchange dark and light, for dark ink on light paper.
    at_most : int
        How many images are in memory together; a larger array is read in parts.

    Yields
    ------
    x : ndarray of float32 (n, C, H, W)
    labels : list of str
        What to call each image.

    Raises
    ------
    OSError, ValueError
        It cannot be read, or has something else than images for the network; before the first
        part.
    """
    wanted, prepared = net.input_shape, preparation(net)
    if name.startswith("digits:"):
        array: NDArray[Any] = _built_in_digit(name)
    elif name.endswith(".npy"):
        array = _read_array(name)
    else:
        array = read_images([name], (wanted[1], wanted[2]), wanted[0], prepared.resize)
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim == 3:
        array = array[np.newaxis]
    if array.shape[1:] != wanted or len(array) == 0:
        raise ValueError(f"{name} has shape {array.shape}, but the model takes (N, *{wanted})")
    slices = [slice(start, start + at_most) for start in range(0, len(array), at_most)]
    white = _check_numbers(name, array, slices)
    labels = [name] if len(array) == 1 else [f"{name}[{index}]" for index in range(len(array))]
    brightest = np.float32(1 if prepared.scale == "unit" else 255)
    for part in slices:
        pixels = array[part]
        x = pixels.astype(np.float32) if white is None else prepared.scaled(pixels, white)
        yield brightest - x if invert else x, labels[part]


def _built_in_digit(name: str) -> NDArray[np.uint8]:
    x_test = data.digits()[1][0]
    index = name.removeprefix("digits:")
    if not (index.isdecimal() and len(index) < 10 and int(index) < len(x_test)):
        raise ValueError(f"{name}: wanted a number from 0 to {len(x_test) - 1}")
    digit: NDArray[np.uint8] = x_test[int(index)]
    return digit


def _read_array(name: str) -> NDArray[Any]:
    path = Path(name)
    if path.exists() and not path.is_file():
        raise ValueError(f"{name} is not a file")
    with path.open("rb") as file:
        start = file.read(len(MAGIC_PREFIX))
    if start != MAGIC_PREFIX:
        archive = ": it is an archive of several (.npz)" if start[:2] == b"PK" else ""
        raise ValueError(f"{name} is not an array file{archive}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files written by Python 2
            # Mapped, so that a header with a false size takes no memory.
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # the header is parsed as Python, which may raise anything
        raise ValueError(f"{name} is not an array file: {excerpt(error)}") from error


def _check_numbers(name: str, array: NDArray[Any], slices: list[slice]) -> int | None:
    """Return which number is white, None for floating point; refuse what is no brightness."""
    if array.dtype.kind not in "uif":
        raise ValueError(f"{name} has dtype {array.dtype}: wanted numbers")
    if array.dtype.kind == "f":
        for part in slices:
            with np.errstate(over="ignore"):
                if not np.isfinite(array[part].astype(np.float32)).all():
                    raise ValueError(f"{name} holds numbers that are not finite")
        return None
    white = 65535 if array.dtype.kind == "u" and array.dtype.itemsize == 2 else 255
    low = min(int(array[part].min()) for part in slices)
    high = max(int(array[part].max()) for part in slices)
    if low < 0 or high > white:
        raise ValueError(f"{name} holds {low} to {high}: whole numbers are taken as 0 to {white}")
    return white
