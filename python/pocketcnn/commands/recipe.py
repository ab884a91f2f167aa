"""The schedule and the augmentation of a run, made from words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pocketcnn import data, schedules
from pocketcnn.data import Augment

SCHEDULES: dict[str, type[schedules.Schedule] | None] = {
    "constant": None,
    "cosine": schedules.Cosine,
    "one_cycle": schedules.OneCycle,
    "steps": schedules.Steps,
}

# What each makes from its number, and the type of that number: an integer counts pixels. Without a
# number, the class's own default holds.
AUGMENTATIONS: dict[str, tuple[Callable[..., Augment], type[int] | type[float]]] = {
    "crop": (partial(data.RandomCrop, reflect=True), int),
    "shift": (lambda pixels=2: data.RandomCrop(pixels), int),
    "flip": (data.RandomFlip, float),
    "affine": (lambda degrees=10.0: data.RandomAffine(degrees=degrees), float),
    "cutout": (data.Cutout, int),
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
        make, kind = AUGMENTATIONS[name]
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
        yield word, name, [_number(word, amount, AUGMENTATIONS[name][1])] if colon else []


def _number(word: str, text: str, kind: type[int] | type[float]) -> float:
    for convert, wanted in ((float, "number"), (kind, "whole number")):
        try:
            number = convert(text)
        except ValueError:
            raise ValueError(f"augment has {word!r}: {text!r} is no {wanted}") from None
    return number
