"""A folder of image files, one subfolder per class, as arrays. Pillow reads the files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments
from pocketcnn._arguments import IntOrPair
from pocketcnn.data.files import as_path
from pocketcnn.data.listing import few, list_classes, missed
from pocketcnn.data.picture import MODES, largest_picture, read_picture


def image_folder(
    path: str | os.PathLike[str],
    size: IntOrPair | None = None,
    channels: int = 3,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """Read `path/<class>/**/<image>`, one folder per class.

    Classes and files are taken in the order of their names, so that the result does not depend
    on the file system. Pictures may be in further folders inside a class's folder, whose names do
    not matter. Names that start with a dot are skipped; so are files whose ending is not that of an
    image, with a warning unless they are notes (`.txt`, `.csv`, `.json` and the like). Needs Pillow
    (`pip install pillow`; the extra `images`), which decides what formats are read; of an animated
    picture the first frame is taken.

    Every picture is converted to 8 bits and to `channels`:

    - A photograph is turned upright as its EXIF orientation says.
    - For 1 and 3 channels, transparency is drawn on white.
    - 16-bit grey is divided by 257, floating point pixels (0 to 1) are multiplied by 255.
      Pixels of other ranges, and 32-bit integers, are refused: their white is not known.
    - Colour profiles are not applied.

    Parameters
    ----------
    path : str or path-like
        The folder.
    size : int or (int, int), optional
        Height and width the images are resized to (the whole image: its aspect ratio is not
        kept), with antialiasing. None keeps them as they are; all must then have the same size.
    channels : {3, 1, 4}, default 3
        3 for RGB, 1 for grey, 4 for RGB and alpha; every image is converted.

    Returns
    -------
    x : ndarray of uint8 (N, channels, H, W)
        The images.
    t : ndarray of int64 (N,)
        For each image the index of its class in `classes`.
    classes : list of str
        The names of the subfolders, sorted.

    Raises
    ------
    FileNotFoundError
        `path` is not a folder.
    OSError
        A folder or a file cannot be opened.
    ValueError
        No class, classes without images, folders that are parts of a data set instead of
        classes, images of different sizes, or files that cannot be read as images: all of them
        are counted. That includes pictures of more pixels than `PIL.Image.MAX_IMAGE_PIXELS`
        (89 million by default).
    ImportError
        Pillow is not installed.

    Warns
    -----
    UserWarning
        Files that may be pictures were skipped.
    """
    root = as_path("path", path)
    if not root.is_dir():
        raise FileNotFoundError(f"path {os.fspath(path)!r} is not a folder")
    shape, channels = _check_size(size), _check_channels(channels)
    classes = list_classes(root)
    told = missed(root, classes)
    if told is not None:
        warnings.warn(told, stacklevel=2)
    x = read_images([file for one in classes for file in one.pictures], shape, channels)
    t = np.repeat(np.arange(len(classes)), [len(one.pictures) for one in classes])
    return x, t.astype(np.int64), [one.folder.name for one in classes]


def read_images(
    files: Iterable[str | os.PathLike[str]], size: IntOrPair | None, channels: int
) -> NDArray[np.uint8]:
    """Read image files into one array.

    Parameters
    ----------
    files : iterable of path-like
        At least one image file.
    size : int, (int, int) or None
        Height and width to resize to; None: all must have the size of the first.
    channels : {1, 3, 4}
        As in `image_folder`.

    Returns
    -------
    ndarray of uint8 (N, channels, H, W)

    Raises
    ------
    OSError
        The one file that cannot be opened.
    ValueError
        Files that are not images, all of them counted; or images of different sizes.
    """
    shape, channels = _check_size(size), _check_channels(channels)
    paths = [as_path("files", file) for file in _several(files)]
    x: NDArray[np.uint8] | None = None
    failures: list[OSError | ValueError] = []
    for index, path in enumerate(paths):
        try:
            image = read_picture(path, shape, channels)
        except (OSError, ValueError) as error:
            failures.append(error)
            x = None
        if failures:
            continue  # the rest is read to find all damaged files
        if x is None:
            x = np.empty((len(paths), channels, *image.shape[:2]), dtype=np.uint8)
        if image.shape[:2] != x.shape[2:]:
            raise ValueError(
                f"{path} is {image.shape[1]} wide and {image.shape[0]} high, but {paths[0].name} "
                f"is {x.shape[3]} by {x.shape[2]}: give size (--size on the command line) to "
                "resize all of them"
            )
        x[index] = image.transpose(2, 0, 1)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        reasons = few([str(error) for error in failures], "; ")
        raise ValueError(f"{len(failures)} of {len(paths)} files cannot be read: {reasons}")
    if x is None:
        raise ValueError("files is empty: wanted at least one image file")
    return x


def _several(files: Iterable[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    try:
        if not isinstance(files, (str, bytes)):
            return list(files)
    except TypeError:
        pass
    raise TypeError(f"files is {files!r}, but must be several paths")


def _check_size(size: IntOrPair | None) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = _arguments.pair("size", size)
    limit = largest_picture()
    if limit is not None and height * width > limit:
        raise ValueError(f"size is {size!r}, more than {limit} pixels (PIL.Image.MAX_IMAGE_PIXELS)")
    return height, width


def _check_channels(channels: int) -> int:
    number = _arguments.integer("channels", channels)
    if number not in MODES:
        raise ValueError(f"channels is {channels}: wanted 1 (grey), 3 (RGB) or 4 (RGBA)")
    return number
