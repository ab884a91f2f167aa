"""The parts of a run, made from words: network, optimiser, schedule, augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from pocketcnn import data, models, optim, schedules
from pocketcnn.data import Augment
from pocketcnn.data.augment import AUGMENTATIONS
from pocketcnn.network.net import ConvNet

MODELS: dict[str, Callable[..., ConvNet]] = {
    "simple_convnet": models.simple_convnet,
    "lenet5": models.lenet5,
    "deep_convnet": models.deep_convnet,
    "alexnet": models.alexnet,
    "vgg16": models.vgg16,
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "mobilenet_v2": models.mobilenet_v2,
    "efficientnet_lite0": models.efficientnet_lite0,
    "compact_resnet": models.compact_resnet,
}

OPTIMIZERS: dict[str, type[optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "adagrad": optim.AdaGrad,
    "rmsprop": optim.RMSprop,
}

# The learning rates when none is given. Adam's were compared by training on the built-in digits and
# measuring on MNIST's training images from the 5,001st on, which are not among them: simple_convnet
# at 0.001, 0.002, 0.003, 0.005 with three seeds (96.2, 96.4, 96.5, 96.6%; the lower of the last two
# was chosen), lenet5 and deep_convnet at 0.001 and 0.003. Those for the large networks are the
# usual ones, not measured.
RATES = {"sgd": 0.05, "adagrad": 0.01, "rmsprop": 0.001}
ADAM_RATES = {
    "simple_convnet": 0.003,
    "lenet5": 0.003,
    "deep_convnet": 0.001,
    "alexnet": 0.0001,
    "vgg16": 0.0001,
    "resnet18": 0.001,
    "resnet50": 0.001,
    "mobilenet_v2": 0.001,
    "efficientnet_lite0": 0.001,
    "compact_resnet": 0.001,
}

# The network if none is named, and Adam's rate for one that is trained already.
MODEL = "simple_convnet"
FROM_RATE = 0.001

SCHEDULES: dict[str, type[schedules.Schedule] | None] = {
    "constant": None,
    "cosine": schedules.Cosine,
    "one_cycle": schedules.OneCycle,
    "steps": schedules.Steps,
}


def make_schedule(name: str, warmup: float | None) -> schedules.Schedule | None:
    """Make the schedule with a name of `SCHEDULES`; None if the rate is constant.

    Raises
    ------
    ValueError
        `warmup` is given, but the schedule has none.
    """
    kind = SCHEDULES[name]
    if kind in (schedules.Cosine, schedules.OneCycle):
        return kind() if warmup is None else kind(warmup=warmup)
    if warmup is not None:
        raise ValueError(f"warmup belongs to cosine and one_cycle: {name} has none")
    return None if kind is None else kind()


def words(text: str | None) -> list[str]:
    """Return the words between the commas of a text."""
    return [] if text is None else [word.strip() for word in text.split(",")]


def balanced(labels: NDArray[np.int64], classes: int) -> list[float]:
    """Return a weight for each class with which all count alike; their mean over images is 1."""
    counts = np.bincount(labels, minlength=classes)
    return [len(labels) / (np.count_nonzero(counts) * max(count, 1)) for count in counts.tolist()]


def make_augment(text: str | None, shape: tuple[int, ...] | None = None) -> Augment | None:
    """Make augmentations from words such as `"crop:2,flip"`, applied in this order.

    Parameters
    ----------
    text : str or None
        The words; None makes nothing.
    shape : tuple of int, optional
        Shape of the images (C, H, W): no number of pixels may then be larger than they are.

    Raises
    ------
    ValueError
        A word that is not in `AUGMENTATIONS`, or a number that it does not take.
    """
    if text is None:
        return None
    steps = []
    for word, name, numbers in _words(text):
        make, kind, _ = AUGMENTATIONS[name]
        if shape is not None and kind is int and any(n > min(shape[1:]) for n in numbers):
            raise ValueError(
                f"augment has {word!r}, but the images are {shape[1]} x {shape[2]} pixels: "
                "wanted fewer"
            )
        try:
            steps.append(make(*numbers))
        except ValueError as error:
            raise ValueError(f"augment has {word!r}: {error}") from None
    return data.Compose(*steps)


def _words(text: str) -> Iterator[tuple[str, str, list[float]]]:
    """Yield each word as it is written, its name, and its number if it has one."""
    for part in text.split(","):
        word = part.strip()
        name, colon, amount = word.partition(":")
        if name not in AUGMENTATIONS:
            raise ValueError(f"augment has {name!r}: wanted some of {', '.join(AUGMENTATIONS)}")
        yield word, name, [_number(word, amount, AUGMENTATIONS[name].number)] if colon else []


def _number(word: str, text: str, kind: type[int] | type[float]) -> float:
    for convert, wanted in ((float, "number"), (kind, "whole number")):
        try:
            number = convert(text)
        except ValueError:
            raise ValueError(f"augment has {word!r}: {text!r} is no {wanted}") from None
    return number
