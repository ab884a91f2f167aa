"""What the parts of a training see of it: its state, without the `Trainer` class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Protocol

import numpy as np

from pocketcnn.data import Augment, Mixing
from pocketcnn.losses.base import Loss
from pocketcnn.network.net import ConvNet
from pocketcnn.optim import Optimizer
from pocketcnn.training.checkpoint import network_arrays
from pocketcnn.training.counts import Counts
from pocketcnn.training.history import History
from pocketcnn.training.ranks import Ranks
from pocketcnn.training.update import Update


class Stateful(Protocol):
    """Something whose state is saved in a checkpoint."""

    def state_dict(self) -> dict[str, object]:
        """Return arrays, numbers, strings and None, and lists and dicts of the last three."""

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned; a ValueError if it cannot."""


class Run(Protocol):
    """A `Trainer` while it trains; its attributes are documented there."""

    net: ConvNet
    optimizer: Optimizer
    batch_size: int
    seed: int
    label_smoothing: float
    augment: Augment | Mixing | None
    epoch: int
    epochs: int
    samples: int
    batches: int
    ranks: Ranks
    history: History
    stop: bool
    pause: bool
    loss: float
    steps: int
    counts: Counts
    objective: Loss
    updates: Update

    @property
    def generators(self) -> dict[str, np.random.Generator]:
        """The random generators, by name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the metrics in the history."""

    def running(self) -> tuple[float, float | None, float]:
        """Return the current epoch's mean loss, accuracy and images per second so far."""

    def step(self, x_batch: Any, t_batch: Any, sample_weight: Any = None, /) -> float:
        """Make one update, and return the batch's mean loss before it."""

    def evaluate(self, x: Any, t: Any = None, /) -> tuple[float, Any]:
        """Return mean loss and accuracy of arrays or of a data set."""

    def place(self) -> str:
        """Say which update it is."""

    def is_paused(self) -> bool:
        """Whether `pause` is set, as all ranks know it."""

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """What else has a state that a resumed run needs, by name."""


def every_generator(trainer: Run) -> dict[str, np.random.Generator]:
    """Return all random generators by name: the trainer's and the layers'."""
    return trainer.generators | trainer.net.generators


def parts_of(trainer: Run, counts: bool, shared: bool = False) -> dict[str, Stateful]:
    """Return all that is saved beside network, optimiser and callbacks, by name.

    Parameters
    ----------
    trainer : Run
    counts : bool
        Whether the sums of the current epoch are among it.
    shared : bool
        Whether these sums are to be those of all ranks.
    """
    parts = dict(trainer.parts)
    if counts:
        parts["counts"] = trainer.counts.of_all(trainer.ranks) if shared else trainer.counts
    return parts


def remember(trainer: Run) -> Callable[[], None]:
    """Return a function that puts network, optimiser, generators and counts back."""
    arrays = {name: array.copy() for name, array in network_arrays(trainer.net).items()}
    generators = every_generator(trainer)
    states = {name: rng.bit_generator.state for name, rng in generators.items()}
    parts = parts_of(trainer, counts=True)
    before = {name: deepcopy(part.state_dict()) for name, part in parts.items()}
    optimizer = deepcopy(trainer.optimizer.state_dict())
    loss, steps = trainer.loss, trainer.steps

    def undo() -> None:
        for name, array in network_arrays(trainer.net).items():
            array[...] = arrays[name]
        for name, rng in generators.items():
            rng.bit_generator.state = states[name]
        for name, part in parts.items():
            part.load_state_dict(before[name])
        trainer.optimizer.load_state_dict(optimizer)
        trainer.loss, trainer.steps = loss, steps

    return undo
