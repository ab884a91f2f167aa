"""One picture file as pixels of 8 bits, converted here where Pillow would lose something."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pocketcnn.data.files import blaming, open_regular

if TYPE_CHECKING:
    from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}

# Formats that start another program (EPS), that Pillow only recognises, or that unpack
# everything before their size is known (FITS).
_REFUSED = frozenset({"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"})

_ORIENTATION = 0x0112
_PHOTOMETRIC = 0x0106


def read_picture(path: Path, size: tuple[int, int] | None, channels: int) -> NDArray[np.uint8]:
    """Read an image file; of an animated one the first picture.

    Parameters
    ----------
    path : Path
        The file. Its format is recognised by its content.
    size : (int, int) or None
        Height and width to resize to.
    channels : {1, 3, 4}
        As in `image_folder`, which says how pixels are converted.

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
    Image = pillow()
    with open_regular(path) as file, blaming(path, "an image"), _quiet():
        picture = _convert(_decode(file), channels)
        if size is not None and picture.size != (size[1], size[0]):
            picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, dtype=np.uint8)
        return pixels.reshape(*pixels.shape[:2], channels)


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Pillow's warnings about metadata; damage to pixels is an error anyway."""
    log = logging.getLogger("PIL")
    if not log.handlers:
        log.addHandler(logging.NullHandler())  # without a handler, errors are printed
    with warnings.catch_warnings():
        # Filters belong to all threads. If two threads leave in the order in which they came, only
        # this filter remains.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _decode(file: BinaryIO) -> Image.Image:
    """The picture as it should look, in a mode of 8 bits or less."""
    library = pillow()
    formats = [name for name in library.ID if name not in _REFUSED]
    try:
        opened = library.open(file, formats=formats)
    except library.UnidentifiedImageError:
        raise ValueError("its bytes are of no format that Pillow reads") from None
    with opened:
        width, height = opened.size
        limit = largest_picture()
        if limit is not None and width * height > limit:
            raise ValueError(
                f"{width} x {height} are more than {limit} pixels (PIL.Image.MAX_IMAGE_PIXELS)"
            )
        packing = _packing(opened)
        opened.load()
        picture = _eight_bits(opened, packing)
        turn = _turn(opened)
        return picture if turn is None else picture.transpose(turn)


def _packing(picture: Any) -> str:
    """Pillow's name for the pixel format in the file, which it forgets after unpacking."""
    if not picture.tile:
        return ""
    settings = picture.tile[0][3]
    return str(settings[0] if isinstance(settings, tuple) else settings)


def _turn(picture: Image.Image) -> Any:
    """The rotation that makes a photograph upright; None if it is, or if its EXIF is unreadable."""
    if picture.format == "TIFF":
        return None  # Pillow turns these while it loads them
    turns = pillow().Transpose
    try:
        orientation: Any = picture.getexif().get(_ORIENTATION)
        return {
            2: turns.FLIP_LEFT_RIGHT,
            3: turns.ROTATE_180,
            4: turns.FLIP_TOP_BOTTOM,
            5: turns.TRANSPOSE,
            6: turns.ROTATE_270,
            7: turns.TRANSVERSE,
            8: turns.ROTATE_90,
        }.get(orientation)
    except Exception:  # the pixels are intact, only their metadata is not
        return None


def _eight_bits(picture: Image.Image, packing: str) -> Image.Image:
    """Scale wider pixels to 0..255."""
    mode, clear = picture.mode, picture.info.get("transparency")
    if mode[0] not in "IF":
        if clear is not None:
            # Pillow leaves the transparent colour in the file's units.
            if packing in ("L;2", "L;4"):
                picture.info["transparency"] = clear * (85 if packing == "L;2" else 17)
            elif packing.startswith("RGB;16"):
                picture.info["transparency"] = tuple(value >> 8 for value in clear)
        return picture
    # Grey PNG and PGM files of 16 bits come as wider integers from some versions of Pillow.
    if mode == "I" and picture.format not in ("PNG", "PPM"):
        raise ValueError("pixels are 32-bit or signed integers, of no known range: save 16 bits")
    values = np.asarray(picture)
    if mode == "F":
        values, largest = _unit_range(values), 1
    else:
        largest = 4095 if packing == "I;12" else 65535
    opaque = None if clear is None else values != clear
    if getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == 0:  # white is zero
        values = largest - values
    return _grey(np.multiply(values, 255 / largest, dtype=np.float32), opaque)


def _unit_range(values: NDArray[Any]) -> NDArray[Any]:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # also if one is NaN
        raise ValueError(f"floating point pixels go from {low:g} to {high:g}: wanted 0 to 1")
    return values


def _grey(values: NDArray[Any], opaque: NDArray[np.bool_] | None = None) -> Image.Image:
    """A grey picture of values 0..255, rounded; transparent where `opaque` is false."""
    make = pillow().fromarray
    grey: Image.Image = make(np.rint(values).astype(np.uint8))
    if opaque is not None:
        grey.putalpha(make(np.where(opaque, np.uint8(255), np.uint8(0))))
    return grey


def _convert(picture: Image.Image, channels: int) -> Image.Image:
    """Convert the picture to this many channels, on white if it loses its alpha."""
    mode = picture.mode
    palette = getattr(picture.palette, "mode", "") if mode == "P" else ""
    if mode == "La":  # Pillow converts it to nothing else
        picture = picture.convert("LA")
    if channels == 4:
        return picture.convert("RGBA")
    if mode[-1] in "Aa" or palette.endswith("A") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground: Image.Image = pillow().new("RGB", picture.size, "white")
        ground.paste(picture, mask=picture)
        picture = ground
    return picture.convert(MODES[channels])
