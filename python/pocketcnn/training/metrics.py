"""What is counted while a network trains or is evaluated."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import cast

from pocketcnn._arguments import Array
from pocketcnn.losses import count_hits


class Counts:
    """Means over the samples since `start`.

    Attributes
    ----------
    seen : int
        How many samples were counted.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin again at zero."""
        self.seen = self._hits = 0
        self._loss_sum = 0.0
        self._began = time.perf_counter()

    def add(self, output: Array, t: Array, loss: float) -> None:
        """Count a batch with its output and its mean loss."""
        self.seen += len(t)
        self._hits += count_hits(output, t)
        self._loss_sum += loss * len(t)

    def state_dict(self) -> dict[str, object]:
        """Return the sums and the time, so that counting can go on in another process."""
        sums = {"seen": self.seen, "hits": self._hits, "loss_sum": self._loss_sum}
        return {**sums, "seconds": self.seconds}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ValueError
            The values are no sums.
        """
        names = ("seen", "hits", "loss_sum", "seconds")
        seen, hits, loss_sum, seconds = (values.get(name) for name in names)
        if not (
            all(type(count) is int and count >= 0 for count in (seen, hits))
            and all(type(number) in (int, float) for number in (loss_sum, seconds))
        ):
            raise ValueError(f"the counts are {dict(values)!r}")
        self.seen, self._hits = cast(int, seen), cast(int, hits)
        self._loss_sum = float(cast(float, loss_sum))
        self._began = time.perf_counter() - float(cast(float, seconds))

    @property
    def seconds(self) -> float:
        """Time since `start`."""
        return time.perf_counter() - self._began

    @property
    def loss(self) -> float:
        """Mean loss."""
        return self._loss_sum / max(self.seen, 1)

    @property
    def accuracy(self) -> float:
        """Part of the samples whose largest score is at the target's class."""
        return self._hits / max(self.seen, 1)

    @property
    def speed(self) -> float:
        """Samples per second."""
        return self.seen / max(self.seconds, 1e-9)
