"""Pixels of any kind as 8 bits, and as the channels that are wanted.

Converted here where Pillow would lose something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}

_PHOTOMETRIC = 0x0106


def eight_bits(picture: Image.Image, packing: str) -> Image.Image:
    """Scale wider pixels to 0..255; `packing` is Pillow's name for the pixel format in the file."""
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
    from PIL import Image

    make = Image.fromarray
    grey: Image.Image = make(np.rint(values).astype(np.uint8))
    if opaque is not None:
        grey.putalpha(make(np.where(opaque, np.uint8(255), np.uint8(0))))
    return grey


def convert(picture: Image.Image, channels: int) -> Image.Image:
    """Convert the picture to this many channels, on white if it loses its alpha."""
    mode = picture.mode
    palette = getattr(picture.palette, "mode", "") if mode == "P" else ""
    if mode == "La":  # Pillow converts it to nothing else
        picture = picture.convert("LA")
    if channels == 4:
        return picture.convert("RGBA")
    if mode[-1] in "Aa" or palette.endswith("A") or "transparency" in picture.info:
        from PIL import Image

        picture = picture.convert("RGBA")
        ground = Image.new("RGB", picture.size, "white")
        ground.paste(picture, mask=picture)
        picture = ground
    return picture if picture.mode == MODES[channels] else picture.convert(MODES[channels])
