"""Random changes to training images that do not change their classes.

Each is a small object, called with a batch and a generator: `(x, rng) -> x_changed`, a new array
of the same shape and dtype; `Trainer(..., augment=...)` takes one, or any function like it. Every
image of the batch has its own random draws, which do not depend on the pixels, so that a seed gives
the same images everywhere. Those with `mixes = True` change the targets too:
`(x, t, rng) -> (x, t)`, with the probabilities of the classes (N, K), which the trainer makes of
labels.
"""

from pocketcnn.data.augment.affine import RandomAffine
from pocketcnn.data.augment.base import Augment, Mixing
from pocketcnn.data.augment.color import ColorJitter
from pocketcnn.data.augment.compose import Compose, describe
from pocketcnn.data.augment.crop import RandomCrop
from pocketcnn.data.augment.erasing import Cutout, RandomErasing
from pocketcnn.data.augment.flip import RandomFlip
from pocketcnn.data.augment.mixing import CutMix, MixUp
from pocketcnn.data.augment.resized_crop import RandomResizedCrop
from pocketcnn.data.augment.words import AUGMENTATIONS, Word

__all__ = [
    "AUGMENTATIONS",
    "Augment",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "MixUp",
    "Mixing",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomResizedCrop",
    "Word",
    "describe",
]
