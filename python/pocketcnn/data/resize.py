"""How a picture of any size becomes one of the size that is wanted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from PIL import Image

RULES = ("stretch", "crop", "pad")

# Left, top, right and bottom of the part of a picture that is meant.
Box: TypeAlias = "tuple[float, float, float, float]"

# A JPEG is decoded at a half, a quarter or an eighth of its size if that is still this many times
# the size that is wanted: more changes pixels by several levels, less saves no time.
_GAP = 2


def check_rule(name: str, rule: str) -> str:
    """Return the name of a rule, or raise ValueError."""
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"{name} is {rule!r:.80}: wanted one of {', '.join(map(repr, RULES))}")
    return rule


def reduce_jpeg(picture: Any, size: tuple[int, int], rule: str) -> Box | None:
    """Let a JPEG file decode fewer pixels, where many more than wanted are in it.

    Parameters
    ----------
    picture : PIL.JpegImagePlugin.JpegImageFile
        Opened, and not loaded yet.
    size : (int, int)
        Height and width that are wanted, as the picture lies in the file.
    rule : str
        One of `RULES`.

    Returns
    -------
    tuple of float or None
        The part of the decoded pixels that is the picture; None if that is all of them.
    """
    width, height = _scaled(picture.size, size, rule)
    found = picture.draft(None, (math.ceil(_GAP * width), math.ceil(_GAP * height)))
    return None if found is None else found[1]


def resize(
    picture: Image.Image, size: tuple[int, int], rule: str, box: Box | None = None
) -> Image.Image:
    """Resize with antialiasing.

    Parameters
    ----------
    picture : PIL.Image.Image
    size : (int, int)
        Height and width of the result.
    rule : {"stretch", "crop", "pad"}
        Take the whole picture, whatever its aspect ratio; or cut the middle out of it, as large as
        possible; or take the whole picture with its aspect ratio, between bands of zeros.
    box : tuple of float, optional
        The part of the pixels that is the picture.
    """
    from PIL import Image

    height, width = size
    left, top, right, bottom = box or (0, 0, *picture.size)
    place = None
    across, down = _scaled((right - left, bottom - top), size, rule)
    if rule == "crop":
        # The whole picture in whole pixels, of which the middle ones are computed.
        whole = max(width, round(across)), max(height, round(down))
        across, down = whole[0] / (right - left), whole[1] / (bottom - top)
        left += (whole[0] - width) // 2 / across
        top += (whole[1] - height) // 2 / down
        right, bottom = min(right, left + width / across), min(bottom, top + height / down)
    elif rule == "pad":
        inner = max(1, round(across)), max(1, round(down))
        place = (width - inner[0]) // 2, (height - inner[1]) // 2
        width, height = inner
    part = (left, top, right, bottom)
    if picture.size != (width, height) or part != (0, 0, width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR, part)
    if place is None or picture.size == (size[1], size[0]):
        return picture
    ground = Image.new(picture.mode, (size[1], size[0]))
    ground.paste(picture, place)
    return ground


def _scaled(picture: tuple[float, float], size: tuple[int, int], rule: str) -> tuple[float, float]:
    """Width and height of the whole picture once it is resized."""
    height, width = size
    factors = width / picture[0], height / picture[1]
    if rule == "stretch":
        return float(width), float(height)
    factor = max(factors) if rule == "crop" else min(factors)
    return factor * picture[0], factor * picture[1]
