"""What a browser may ask of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from pocketcnn import models, optim

OPTIMIZERS: dict[str, Callable[[float], optim.Optimizer]] = {
    "Adam": optim.Adam,
    "AdamW": optim.AdamW,
    "SGD": partial(optim.SGD, momentum=0.9),  # as most people use it
    "RMSprop": optim.RMSprop,
    "AdaGrad": optim.AdaGrad,
}

# Networks that are trained in seconds, beside the one that the page shows.
NETWORKS = {"simple_convnet": models.simple_convnet, "lenet5": models.lenet5}

# What a browser may ask for: not what trains well, but what ends.
_LEAST_RATE, _MOST_RATE = 1e-7, 10.0
_LIMITS = {"batch_size": (1, 1000), "epochs": (1, 200)}


@dataclass(frozen=True)
class Recipe:
    """How a run is made.

    Attributes
    ----------
    optimizer : str
        A name of `OPTIMIZERS`.
    rate : float
        Its learning rate.
    batch_size, epochs : int
    begin : str
        What is trained: "fresh", the model's layers with new weights; "model", the model as it is;
        or a name of `NETWORKS`.
    paused : bool
        Whether it waits before the first update.
    """

    optimizer: str = "Adam"
    rate: float = 0.001
    batch_size: int = 100
    epochs: int = 5
    begin: str = "fresh"
    paused: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what a browser sent.

        Raises
        ------
        ValueError
            A value is unknown, of another type or out of range.
        """
        given = {one.name: values.get(one.name, one.default) for one in fields(cls)}
        for name, known in (("optimizer", [*OPTIMIZERS]), ("begin", ["fresh", "model", *NETWORKS])):
            if given[name] not in known:
                wanted = ", ".join(known)
                raise ValueError(f"{name} is {given[name]!r:.40}: wanted one of {wanted}")
        if not isinstance(given["paused"], bool):
            raise ValueError(f"paused is {given['paused']!r:.40}: wanted true or false")
        given["rate"] = checked_rate(given["rate"])
        for name, (least, most) in _LIMITS.items():
            if type(given[name]) is not int or not least <= given[name] <= most:
                raise ValueError(f"{name} is {given[name]!r:.40}: wanted {least} to {most}")
        return cls(**given)


def checked_rate(value: object) -> float:
    """Return a learning rate; a ValueError if it is none."""
    if not isinstance(value, (int, float)) or not _LEAST_RATE <= value <= _MOST_RATE:
        raise ValueError(f"rate is {value!r:.40}: wanted {_LEAST_RATE} to {_MOST_RATE}")
    return float(value)
