"""The words that the command line takes for augmentations: `crop:4,flip`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from pocketcnn.data.augment.affine import RandomAffine
from pocketcnn.data.augment.base import Augment, Mixing
from pocketcnn.data.augment.color import ColorJitter
from pocketcnn.data.augment.crop import RandomCrop
from pocketcnn.data.augment.erasing import Cutout, RandomErasing
from pocketcnn.data.augment.flip import RandomFlip
from pocketcnn.data.augment.mixing import CutMix, MixUp
from pocketcnn.data.augment.resized_crop import RandomResizedCrop


class Word(NamedTuple):
    """What a word makes, the type of the number that may follow it, and what that number says.

    An integer counts pixels. Without a number, the class's own default holds.
    """

    make: Callable[..., Augment | Mixing]
    number: type[int] | type[float]
    meaning: str


AUGMENTATIONS: dict[str, Word] = {
    "crop": Word(partial(RandomCrop, reflect=True), int, "shift by up to so many pixels, mirrored"),
    "shift": Word(lambda pixels=2: RandomCrop(pixels), int, "shift by up to so many pixels"),
    "resized_crop": Word(
        lambda least=0.08: RandomResizedCrop((least, 1.0)), float, "enlarge a part of this area"
    ),
    "flip": Word(RandomFlip, float, "mirror with this probability"),
    "affine": Word(
        lambda degrees=10.0: RandomAffine(degrees=degrees), float, "turn by up to so many degrees"
    ),
    "color": Word(
        lambda amount=0.2: ColorJitter(amount, amount, amount),
        float,
        "change brightness, contrast and saturation by up to this share",
    ),
    "cutout": Word(Cutout, int, "erase a square of so many pixels"),
    "erasing": Word(RandomErasing, float, "erase a rectangle with this probability"),
    "mixup": Word(MixUp, float, "mix with another image; alpha of the beta distribution"),
    "cutmix": Word(CutMix, float, "paste a part of another image; alpha"),
}
