"""One picture file as pixels of 8 bits, upright and of the size that is wanted."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments
from pocketcnn._arguments import IntOrPair
from pocketcnn.data.files import blaming, open_regular
from pocketcnn.data.pixels import MODES, convert, eight_bits
from pocketcnn.data.resize import Box, check_rule, reduce_jpeg, resize

if TYPE_CHECKING:
    from PIL import Image

# Formats that start another program (EPS), that Pillow only recognises, or that unpack
# everything before their size is known (FITS).
_REFUSED = frozenset({"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"})

_ORIENTATION = 0x0112

# By the EXIF orientation: the name of Pillow's turn, and which axes of the result it reverses,
# across and down. From 5 on the axes are also exchanged.
_TURNS = {
    2: ("FLIP_LEFT_RIGHT", (True, False)),
    3: ("ROTATE_180", (True, True)),
    4: ("FLIP_TOP_BOTTOM", (False, True)),
    5: ("TRANSPOSE", (False, False)),
    6: ("ROTATE_270", (True, False)),
    7: ("TRANSVERSE", (True, True)),
    8: ("ROTATE_90", (False, True)),
}


@dataclass(frozen=True)
class Layout:
    """What every picture becomes: height and width (None: as it is), channels, a resize rule."""

    size: tuple[int, int] | None
    channels: int
    resize: str

    @classmethod
    def of(cls, size: IntOrPair | None, channels: int, resize: str) -> Layout:
        """Check what a user wrote."""
        return cls(_check_size(size), _check_channels(channels), check_rule("resize", resize))


def read_picture(path: Path, layout: Layout) -> NDArray[np.uint8]:
    """Read an image file; of an animated one the first picture.

    Parameters
    ----------
    path : Path
        The file. Its format is recognised by its content.
    layout : Layout
        `image_folder` says how pixels are converted to it.

    Returns
    -------
    ndarray of uint8 (H, W, channels)

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is not a picture, is damaged, or has more pixels than `largest_picture`.
    """
    with _opened(path) as picture:
        upright, box = _decode(picture, layout)
        upright = convert(upright, layout.channels)
        if layout.size is not None:
            upright = resize(upright, layout.size, layout.resize, box)
        pixels = np.asarray(upright, dtype=np.uint8)
        return pixels.reshape(*pixels.shape[:2], layout.channels)


def check_picture(path: Path, layout: Layout) -> tuple[int, int]:
    """Read the beginning of an image file, where its format and its size are.

    Returns
    -------
    (int, int)
        Height and width of what `read_picture` will return, if the rest is sound.

    Raises
    ------
    OSError, ValueError
        As `read_picture`.
    """
    with _opened(path) as picture:
        if layout.size is not None:
            return layout.size
        width, height = picture.size
        return (width, height) if _orientation(picture) >= 5 else (height, width)


def pillow() -> Any:
    """Return `PIL.Image`, with every format it knows."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "reading image files needs Pillow: pip install pillow (pocketcnn's extra `images`)"
        ) from error
    Image.preinit()  # so that the most common formats are tried first
    Image.init()
    return Image


def largest_picture() -> int | None:
    """How many pixels a picture may have: `PIL.Image.MAX_IMAGE_PIXELS`, or None for any number."""
    limit: int | None = pillow().MAX_IMAGE_PIXELS
    return limit


def is_picture_name(name: str) -> bool:
    """Whether a file of this name has a format that Pillow reads here, and is not hidden."""
    library = pillow()
    kind = library.EXTENSION.get(PurePath(name).suffix.lower())
    readable = kind in library.OPEN or kind == "MPO"  # read as the JPEG that it begins with
    return readable and kind not in _REFUSED and not name.startswith(".")


class _Quiet:
    """Silences Pillow's warnings about metadata; damage to pixels is an error anyway.

    Filters belong to all threads. So nothing is restored that others may have changed meanwhile:
    one filter is there as long as any thread reads.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.readers = 0

    def __enter__(self) -> None:
        with self.lock:
            self.readers += 1
            if self.readers == 1:
                log = logging.getLogger("PIL")
                if not log.handlers:
                    log.addHandler(logging.NullHandler())  # without a handler, errors are printed
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self.filter = warnings.filters[0]

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.readers -= 1
            if self.readers == 0 and self.filter in warnings.filters:
                warnings.filters.remove(self.filter)  # type: ignore[attr-defined]  # a list


quiet = _Quiet()
if hasattr(os, "register_at_fork"):
    # A child has none of the threads that were reading.
    os.register_at_fork(after_in_child=quiet.__init__)  # type: ignore[misc]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a picture that has no more pixels than it may have, and name its file in all errors."""
    library = pillow()
    opening = open_regular(path)
    with opening as file, blaming(path, "an image"), quiet, _recognised(library, file) as picture:
        width, height = picture.size
        limit = library.MAX_IMAGE_PIXELS
        if limit is not None and width * height > limit:
            raise ValueError(
                f"{width} x {height} are more than {limit} pixels (PIL.Image.MAX_IMAGE_PIXELS)"
            )
        yield picture


@lru_cache(1)
def _formats(known: tuple[str, ...]) -> tuple[str, ...]:
    """The formats that are read, of all those that Pillow knows by now."""
    return tuple(name for name in known if name not in _REFUSED)


def _recognised(library: Any, file: BinaryIO) -> Any:
    try:
        return library.open(file, formats=_formats(tuple(library.ID)))
    except library.UnidentifiedImageError:
        raise ValueError("its bytes are of no format that Pillow reads") from None


def _decode(picture: Any, layout: Layout) -> tuple[Image.Image, Box | None]:
    """The picture as it should look, in a mode of 8 bits or less, and which part of it counts."""
    box = None
    jpeg = picture.format in ("JPEG", "MPO")
    orientation = _orientation(picture) if jpeg else 0
    if jpeg and layout.size is not None:
        height, width = layout.size
        size = (width, height) if orientation >= 5 else (height, width)
        box = reduce_jpeg(picture, size, layout.resize)
    packing = _packing(picture)
    picture.load()
    upright = eight_bits(picture, packing)
    orientation = orientation or _orientation(picture)
    if orientation not in _TURNS:
        return upright, box
    turn, reverses = _TURNS[orientation]
    upright = upright.transpose(getattr(pillow().Transpose, turn))
    if box is None:
        return upright, None
    across, down = box[3:1:-1] if orientation >= 5 else box[2:]
    left = upright.width - across if reverses[0] else 0.0
    top = upright.height - down if reverses[1] else 0.0
    return upright, (left, top, left + across, top + down)


def _packing(picture: Any) -> str:
    """Pillow's name for the pixel format in the file, which it forgets after unpacking."""
    if not picture.tile:
        return ""
    settings = picture.tile[0][3]
    return str(settings[0] if isinstance(settings, tuple) else settings)


def _orientation(picture: Any) -> int:
    """How a photograph must be turned to be upright; 0 if it need not, or its EXIF is damaged."""
    if picture.format == "TIFF":
        return 0  # Pillow turns these while it loads them
    try:
        found = picture.getexif().get(_ORIENTATION)
    except Exception:  # the pixels are intact, only their metadata is not
        return 0
    return found if isinstance(found, int) and found in _TURNS else 0


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
