"""A folder of image files, one subfolder a class, as arrays. Pillow reads the files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

EXTENSIONS = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def image_folder(
    path: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    channels: int = 3,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """Read `path/<class>/<image>`, a folder a class.

    Classes and files are taken in the order of their names, so that the result does not depend
    on the file system. Names that start with a dot and files that are not images by their
    ending are passed over. A photograph is turned upright as its EXIF orientation says. Needs
    Pillow (`pip install pillow`; the extra `images`).

    Parameters
    ----------
    path : str or path-like
        The folder.
    size : int or (int, int), optional
        Height and width the images are resized to (the whole image: its aspect ratio is not
        kept), with antialiasing. None takes them as they are; all must then have one size.
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
    ValueError
        No class, a class without images, images of different sizes, or a file that cannot be
        read as an image.
    ImportError
        Pillow is not installed.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"path {os.fspath(path)!r} is not a folder")
    shape = _check_size(size)
    files, t, classes = _list_files(root)
    return read_images(files, shape, channels), t, classes


def read_images(
    files: Iterable[str | os.PathLike[str]], size: tuple[int, int] | None, channels: int
) -> NDArray[np.uint8]:
    """Read image files into one array.

    Parameters
    ----------
    files : iterable of path-like
        At least one image file.
    size : (int, int) or None
        Height and width to resize to; None: all must have the size of the first.
    channels : {1, 3, 4}
        As in `image_folder`.

    Returns
    -------
    ndarray of uint8 (N, channels, H, W)

    Raises
    ------
    ValueError
        A file that is not an image, or images of different sizes.
    """
    if channels not in _MODES:
        raise ValueError(f"channels is {channels}: wanted 1 (grey), 3 (RGB) or 4 (RGBA)")
    paths = [Path(file) for file in files]
    x: NDArray[np.uint8] | None = None
    for index, path in enumerate(paths):
        image = _read_one(path, size, channels)
        if x is None:
            x = np.empty((len(paths), channels, *image.shape[:2]), dtype=np.uint8)
        if image.shape[:2] != x.shape[2:]:
            raise ValueError(
                f"{path} is {image.shape[1]} wide and {image.shape[0]} high, but {paths[0].name} "
                f"is {x.shape[3]} by {x.shape[2]}: give a size (on the command line --size) "
                "to resize all to"
            )
        x[index] = image.transpose(2, 0, 1)
    if x is None:
        raise ValueError("files is empty: wanted at least one image file")
    return x


def _read_one(path: Path, size: tuple[int, int] | None, channels: int) -> NDArray[np.uint8]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(
            "reading image files needs Pillow: pip install pillow (pocketcnn's extra `images`)"
        ) from error
    try:
        with Image.open(path) as opened:
            image: Image.Image = ImageOps.exif_transpose(opened).convert(_MODES[channels])
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels.reshape(*pixels.shape[:2], channels)


def _check_size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"size is {size}: wanted a positive int or (height, width)")
    return height, width


def _list_files(root: Path) -> tuple[list[Path], NDArray[np.int64], list[str]]:
    folders = sorted(
        entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not folders:
        raise ValueError(f"path {str(root)!r} has no subfolders: wanted one a class")
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        images = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")
        )
        if not images:
            raise ValueError(f"class folder {str(folder)!r} has no image files")
        files += images
        labels += [label] * len(images)
    return files, np.array(labels, dtype=np.int64), [folder.name for folder in folders]
