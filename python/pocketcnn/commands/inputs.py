"""Where the commands' images come from: data sets, image files, arrays; and models' files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketcnn import data
from pocketcnn.data.image_folder import read_images
from pocketcnn.data.mnist import find_idx_files
from pocketcnn.net import ConvNet, load

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")


@dataclass(frozen=True)
class Dataset:
    """Images, labels and the names of the classes.

    `test` says what the second pair is: "test", or "validation" when it was split off here.
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
    size: int | None,
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
        `digits`, `mnist`, or a folder: one with the four files of MNIST, one with a subfolder a
        class, or one with such folders in `train` and `test`.
    size, channels : int or None
        For image files: see `pocketcnn.data.image_folder`; channels is 3 when not given.
    share : float
        Which share of the images is held out when the folder has no test images of its own, or
        when `validate` says so.
    seed : int
        Decides which ones.
    validate : bool, default False
        Leave the test images alone: hold out some of the training images instead.
    limit : int, optional
        Keep no more training images than this, drawn at random.
    """
    dataset = _load(name, size, channels, share, seed)
    if validate and dataset.test == "test":
        x, t = dataset.x_train, dataset.t_train
        dataset = _hold_out(dataset.name, x, t, dataset.classes, share, seed)
    if limit is None or limit >= len(dataset.x_train):
        return dataset
    kept = np.sort(np.random.default_rng(seed).permutation(len(dataset.x_train))[:limit])
    return replace(dataset, x_train=dataset.x_train[kept], t_train=dataset.t_train[kept])


def _load(name: str, size: int | None, channels: int | None, share: float, seed: int) -> Dataset:
    ten = [str(digit) for digit in range(10)]
    if name in ("digits", "mnist"):
        train, test = data.digits() if name == "digits" else data.mnist()
        return Dataset(name, *train, *test, ten)
    folder = Path(name)
    if not folder.is_dir():
        raise FileNotFoundError(f"data {name!r} is neither digits, mnist nor a folder")
    label = folder.resolve().name
    if find_idx_files(folder):
        train, test = data.mnist(folder)
        return Dataset(label, *train, *test, ten)
    channels = 3 if channels is None else channels
    train_folder, test_folder = (
        _subfolder(folder, names) for names in (TRAIN_FOLDERS, TEST_FOLDERS)
    )
    x, t, classes = data.image_folder(train_folder or folder, size, channels)
    if train_folder is None or test_folder is None:
        return _hold_out(label, x, t, classes, share, seed)
    x_test, t_test, test_classes = data.image_folder(test_folder, x.shape[2:], channels)
    if test_classes != classes:
        odd = sorted(set(classes) ^ set(test_classes))
        raise ValueError(f"{train_folder} and {test_folder} differ in their classes: {odd}")
    return Dataset(label, x, t, x_test, t_test, classes)


def _subfolder(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _hold_out(
    label: str, x: Images, t: Labels, classes: list[str], share: float, seed: int
) -> Dataset:
    count = round(len(x) * share)
    if not 0 < count < len(x):
        raise ValueError(f"a share of {share} of {len(x)} images leaves no images to hold out")
    order = np.random.default_rng(seed).permutation(len(x))
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    return Dataset(label, x[kept], t[kept], x[held], t[held], classes, "validation")


def scale(images: NDArray[np.integer]) -> NDArray[np.float32]:
    """Bring pixels from 0..255 to 0..1, as all models of the command line are trained."""
    scaled: NDArray[np.float32] = np.divide(images, 255, dtype=np.float32)
    return scaled


@dataclass(frozen=True)
class Model:
    """A network from a file, with what its run folder knows about it."""

    net: ConvNet
    path: Path
    classes: list[str]
    run: dict[str, Any]


def load_model(path: str) -> Model:
    """Load a model file, or the model in a run folder.

    Parameters
    ----------
    path : str
        A `.safetensors` file or a folder that holds `model.safetensors`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not a model, or the network does not give one score a class.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "model.safetensors"
    if not file.is_file():
        raise FileNotFoundError(f"there is no model {str(file)!r}")
    net = load(file)
    run = read_run(file.parent)
    classes = run.get("classes", [])
    if len(net.output_shape) != 1:
        raise ValueError(f"{file} is not a classifier: its output has shape {net.output_shape}")
    if len(classes) != net.output_shape[0]:
        classes = [str(index) for index in range(net.output_shape[0])]
    return Model(net, file, classes, run)


def load_test_set(model: Model, name: str | None) -> Dataset:
    """Load the data set `name`, or the one that a model was trained on, fit for the model.

    Raises
    ------
    ValueError
        It has another number of classes than the model tells apart.
    """
    options = model.run.get("options", {})
    name = name or options.get("data", "digits")
    channels, height, width = model.net.input_shape
    dataset = load_dataset(
        name,
        size=height if height == width else None,
        channels=channels,
        share=options.get("holdout", 0.1),
        seed=options.get("seed", 0),
    )
    if len(dataset.classes) != len(model.classes):
        raise ValueError(
            f"data {name} has {len(dataset.classes)} classes, but {model.path} tells "
            f"{len(model.classes)} apart"
        )
    return dataset


def read_run(folder: Path) -> dict[str, Any]:
    """Read `run.json` of a run folder; empty when there is none."""
    file = folder / "run.json"
    if not file.is_file():
        return {}
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not valid: {error}") from error
    return values


def read_inputs(
    names: list[str], net: ConvNet, *, invert: bool
) -> tuple[NDArray[np.float32], list[str]]:
    """Read images for `net`: image files, `.npy` files, and `digits:7` for built-in test digits.

    Parameters
    ----------
    names : list of str
        What to read. An array is (H, W), (C, H, W) or (N, C, H, W); integers are taken as 0 to
        255, floating point numbers as they are. Image files are converted and resized to what
        the network takes.
    net : ConvNet
        Decides channels and size.
    invert : bool
        Exchange dark and light, for dark ink on light paper.

    Returns
    -------
    x : ndarray of float32 (N, C, H, W)
    labels : list of str
        What to call each image.
    """
    parts, labels = [], []
    for name in names:
        part = _read_input(name, net.input_shape)
        parts.append(1 - part if invert else part)
        labels += [name] if len(part) == 1 else [f"{name}[{index}]" for index in range(len(part))]
    return np.concatenate(parts), labels


def _read_input(name: str, wanted: tuple[int, ...]) -> NDArray[np.float32]:
    if name.startswith("digits:"):
        x_test = data.digits()[1][0]
        index = name.removeprefix("digits:")
        if not index.isdecimal() or int(index) >= len(x_test):
            raise ValueError(f"{name}: wanted a number from 0 to {len(x_test) - 1}")
        array: NDArray[Any] = x_test[int(index)]
    elif name.endswith(".npy"):
        try:
            array = np.load(name, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{name} is not an array file: {error}") from error
    else:
        array = read_images([name], (wanted[1], wanted[2]), wanted[0])
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim == 3:
        array = array[np.newaxis]
    if array.shape[1:] != wanted or len(array) == 0:
        raise ValueError(f"{name} has shape {array.shape}, but the model takes (N, *{wanted})")
    if array.dtype.kind not in "uif":
        raise ValueError(f"{name} has dtype {array.dtype}: wanted numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" else scale(array)
