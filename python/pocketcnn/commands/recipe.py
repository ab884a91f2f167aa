"""How a run is trained beyond its optimiser, from words: the schedule and the augmentation."""

from __future__ import annotations

from collections.abc import Callable

from pocketcnn import data, schedules
from pocketcnn.data import Augment

SCHEDULES: dict[str, type[schedules.Schedule] | None] = {
    "constant": None,
    "cosine": schedules.Cosine,
    "one_cycle": schedules.OneCycle,
    "steps": schedules.Steps,
}

# Each takes at most one number; without it, the class's own default holds.
AUGMENTATIONS: dict[str, Callable[..., Augment]] = {
    "crop": lambda padding=4: data.RandomCrop(int(padding), reflect=True),
    "shift": lambda pixels=2: data.RandomCrop(int(pixels)),
    "flip": data.RandomFlip,
    "affine": lambda degrees=10.0: data.RandomAffine(degrees=degrees),
    "cutout": lambda size=8: data.Cutout(int(size)),
}


def make_schedule(name: str, warmup: float | None) -> schedules.Schedule | None:
    """Make the schedule of a name of `SCHEDULES`; None where the rate stays.

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


def make_augment(text: str | None) -> Augment | None:
    """Make augmentations out of words such as `"crop:2,flip"`, applied in this order.

    Raises
    ------
    ValueError
        A word that is not in `AUGMENTATIONS`, or its number is none.
    """
    if text is None:
        return None
    steps = []
    for word in text.split(","):
        name, colon, amount = word.strip().partition(":")
        if name not in AUGMENTATIONS:
            raise ValueError(f"augment has {name!r}: wanted some of {', '.join(AUGMENTATIONS)}")
        try:
            numbers = [float(amount)] if colon else []
        except ValueError:
            raise ValueError(f"augment has {word.strip()!r}: {amount!r} is no number") from None
        steps.append(AUGMENTATIONS[name](*numbers))
    return data.Compose(*steps)
