"""Data sets as NumPy arrays: images `uint8 (N, C, H, W)`, labels `int64 (N,)`; augmentation.

Nothing here scales or shuffles: divide the images by 255 to train on them.
"""

from pocketcnn.data.augment import (
    Augment,
    ColorJitter,
    Compose,
    CutMix,
    Cutout,
    Mixing,
    MixUp,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomResizedCrop,
)
from pocketcnn.data.cifar import cifar10, cifar100
from pocketcnn.data.class_names import CLASS_NAMES
from pocketcnn.data.dataset import Arrays, Dataset, Subset
from pocketcnn.data.digits import digits
from pocketcnn.data.idx import idx
from pocketcnn.data.image_folder import ImageFolder, image_folder
from pocketcnn.data.mnist import fashion_mnist, mnist
from pocketcnn.data.npz import npz
from pocketcnn.data.split import split

__all__ = [
    "CLASS_NAMES",
    "Arrays",
    "Augment",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "Dataset",
    "ImageFolder",
    "MixUp",
    "Mixing",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomResizedCrop",
    "Subset",
    "cifar10",
    "cifar100",
    "digits",
    "fashion_mnist",
    "idx",
    "image_folder",
    "mnist",
    "npz",
    "split",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)
