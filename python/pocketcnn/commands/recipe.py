"""The schedule and the augmentation of a run, made from words."""

from __future__ import annotations

from collections.abc import Iterator

from pocketcnn import data, schedules
from pocketcnn.data import Augment
from pocketcnn.data.augment import AUGMENTATIONS

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
