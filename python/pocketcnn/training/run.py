"""What the parts of a training see of it: its state, without the `Trainer` class."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pocketcnn.data import Augment
from pocketcnn.network.net import ConvNet
from pocketcnn.optim import Optimizer
from pocketcnn.training.history import History


class Run(Protocol):
    """A `Trainer` while it trains; its attributes are documented there."""

    net: ConvNet
    optimizer: Optimizer
    batch_size: int
    seed: int
    label_smoothing: float
    augment: Augment | None
    epoch: int
    epochs: int
    samples: int
    history: History
    stop: bool

    @property
    def generators(self) -> dict[str, np.random.Generator]:
        """The random generators, by name."""

    def running(self) -> tuple[float, float, float]:
        """Return the current epoch's mean loss, accuracy and images per second so far."""


def every_generator(trainer: Run) -> dict[str, np.random.Generator]:
    """Return all random generators by name: the trainer's and the layers'."""
    return trainer.generators | trainer.net.generators
