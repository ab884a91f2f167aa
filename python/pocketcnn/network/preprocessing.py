"""How pixels become what a network takes: part of a model, because scores depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pocketcnn._text import excerpt

SCALES = ("unit", "raw")
RESIZE_RULES = ("stretch", "crop", "pad")


@dataclass(frozen=True)
class Preprocessing:
    """What is done with the pixels of a picture before a network sees them.

    The size and the channels are the network's `input_shape`.

    Parameters
    ----------
    scale : {"unit", "raw"}
        "unit" divides pixels by their white, 255, so that they go from 0 to 1; "raw" leaves them
        from 0 to 255, for networks that begin with a layer such as `Normalize`.
    resize : {"stretch", "crop", "pad"}
        A picture of another shape is stretched to the size; or resized to cover it, and the middle
        cut out; or resized to lie within it, with black at two sides.

    Examples
    --------
    >>> Preprocessing(scale="raw").scaled(np.array([0, 255], np.uint8))
    array([  0., 255.], dtype=float32)
    """

    scale: str = "unit"
    resize: str = "stretch"

    def __post_init__(self) -> None:
        for name, known in (("scale", SCALES), ("resize", RESIZE_RULES)):
            value = getattr(self, name)
            if value not in known:
                words = ", ".join(map(repr, known))
                raise ValueError(f"{name} is {excerpt(repr(value))}: wanted one of {words}")

    def scaled(self, pixels: NDArray[np.integer], white: int = 255) -> NDArray[np.float32]:
        """Return whole numbers, of which `white` is the largest, as a network takes them."""
        if self.scale == "unit":
            unit: NDArray[np.float32] = np.divide(pixels, white, dtype=np.float32)
            return unit
        raw = pixels.astype(np.float32)
        if white != 255:
            raw *= np.float32(255 / white)
        return raw

    def as_dict(self) -> dict[str, str]:
        """The settings as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Preprocessing:
        """What `as_dict` returned, read from a file.

        Raises
        ------
        ValueError
            It is something else.
        """
        if not isinstance(value, Mapping) or not value.keys() <= {"scale", "resize"}:
            raise ValueError(f"preprocessing is {excerpt(repr(value))}: wanted scale and resize")
        return cls(**value)
