"""Brightness, contrast and colours of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketcnn import _arguments
from pocketcnn.data.augment.base import Array, check_batch, keep, restored

# How bright the eye sees red, green and blue (ITU-R BT.601).
_GREY = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast, saturation and hue, in this order.

    The first three multiply by a factor drawn between `1 - amount` and `1 + amount`, at least 0:
    all pixels; their distance from the image's mean grey; their distance from their own grey. Hue
    turns the circle of colours by up to `hue` of a whole turn, either way. Every image has its own
    four draws. Integers are pixels of 0 to 255 and stay there; floating point pixels have no limit.

    Images of 3 or 4 channels are taken as red, green, blue (and alpha, which stays); others have
    no saturation and no hue, and their mean over all channels is their grey.

    Parameters
    ----------
    brightness, contrast, saturation : float, default 0.2
        Each 0 or more; 0 changes nothing.
    hue : float, default 0
        From 0 to 0.5.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            keep(self, name, _arguments.number(name, getattr(self, name), 0.0, 1e3))
        keep(self, "hue", _arguments.number("hue", self.hue, 0.0, 0.5))

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """Change every image of x (N, C, H, W)."""
        x = check_batch(x, rng)
        most = np.array([[self.brightness], [self.contrast], [self.saturation], [self.hue]])
        draws = rng.uniform(-1.0, 1.0, (4, len(x))) * most
        colored = x.shape[1] in (3, 4)
        whole = x.astype(np.result_type(x, np.float32), order="C")
        pixels = whole[:, :3] if colored else whole
        top = 255 if x.dtype.kind in "iub" else None
        factors = np.maximum(0, 1 + draws[:3]).astype(whole.dtype)[..., None, None, None]
        if self.brightness:
            pixels *= factors[0]
            _limit(pixels, top)
        if self.contrast:
            mean = _grey(pixels, colored).mean(axis=(1, 2, 3), keepdims=True)
            _blend(pixels, mean, factors[1], top)
        if self.saturation and colored:
            _blend(pixels, _grey(pixels, colored), factors[2], top)
        if self.hue and colored:
            _turn_hue(pixels, draws[3].astype(whole.dtype))
        return restored(whole, x.dtype)


def _limit(pixels: Array, top: int | None) -> None:
    if top is not None:
        np.clip(pixels, 0, top, out=pixels)


def _grey(pixels: Array, colored: bool) -> Array:
    """The brightness of pixels, (N, 1, H, W)."""
    channels = pixels.shape[1]
    grey: Array = np.zeros_like(pixels[:, :1], shape=(len(pixels), 1, *pixels.shape[2:]))
    for channel in range(channels):
        weight = _GREY[channel] if colored else 1 / channels
        grey += pixels[:, channel : channel + 1] * pixels.dtype.type(weight)
    return grey


def _blend(pixels: Array, other: Array, factor: Array, top: int | None) -> None:
    """Move pixels away from others, or nearer to them."""
    pixels -= other
    pixels *= factor
    pixels += other
    _limit(pixels, top)


def _turn_hue(pixels: Array, turns: Array) -> None:
    """Turn the hues of (N, 3, H, W), keeping each pixel's largest and smallest channel.

    The hue of HSV in sixths of a turn: red is 0, green 2, blue 4. A channel is the largest value
    within one sixth of its own colour, the smallest beyond two.
    """
    red, green, blue = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    largest = pixels.max(axis=1)
    spread = largest - pixels.min(axis=1)
    divisor = np.where(spread > 0, spread, 1)
    hue = np.where(
        largest == red,
        (green - blue) / divisor,
        np.where(largest == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue += 6 * turns[:, None, None]
    for channel in range(3):
        away = np.abs(np.remainder(hue - 2 * channel + 3, 6) - 3)
        pixels[:, channel] = largest - spread * np.clip(away - 1, 0, 1)
