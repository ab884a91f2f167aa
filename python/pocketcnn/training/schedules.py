"""Learning-rate schedules: callbacks that set the optimiser's rate.

A `Schedule` is a curve: a factor for each completed share of the run. It scales the rate that the
optimiser has when training begins, which is the highest of the run.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import cast

from pocketcnn import _arguments
from pocketcnn.training.callbacks import Callback
from pocketcnn.training.history import Record
from pocketcnn.training.monitor import Mode, direction, improves, monitored
from pocketcnn.training.run import Run


class Schedule(Callback):
    """Base class: a subclass says in `factor` how the rate changes from the start to the end.

    Before update number k (from 0) of n in the whole run, the rate becomes `base * factor(k / n)`.
    A resumed run continues where it was; with another number of epochs, the rest of the schedule is
    stretched or shrunk to fit. When training ends, the optimiser gets its first rate back. The
    history's `learning_rate` is that of an epoch's first update.

    Attributes
    ----------
    base : float
        The optimiser's rate at the beginning of the run.
    """

    def __init__(self) -> None:
        self.base = 0.0
        self._updates = 0

    @abstractmethod
    def factor(self, progress: float) -> float:
        """Return the factor for the rate.

        Parameters
        ----------
        progress : float
            Share of the run's updates that are done: at least 0 and less than 1.
        """

    def on_fit_begin(self, trainer: Run) -> None:
        """Take the optimiser's rate as the highest."""
        self.base = float(trainer.optimizer.lr)
        self._updates = 0

    def on_epoch_begin(self, trainer: Run) -> None:
        """Set the rate of the epoch's first update."""
        self._set(trainer)

    def on_batch_end(self, trainer: Run, size: int) -> None:
        """Set the rate of the next update."""
        self._updates += 1
        self._set(trainer)

    def on_fit_end(self, trainer: Run) -> None:
        """Give the optimiser its first rate back."""
        trainer.optimizer.lr = self.base

    def state_dict(self) -> dict[str, object]:
        """Return the highest rate and the number of updates made."""
        return {"base": self.base, "updates": self._updates}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Continue the run that is resumed."""
        base, updates = values.get("base"), values.get("updates")
        if (
            type(base) not in (int, float)
            or not 0 <= (rate := float(cast(float, base))) < math.inf
            or type(updates) is not int
            or updates < 0
        ):
            raise ValueError(f"values is {dict(values)!r}, which no {type(self).__name__} wrote")
        self.base, self._updates = rate, updates

    def _set(self, trainer: Run) -> None:
        total = trainer.epochs * trainer.batches
        if self._updates < total:
            trainer.optimizer.lr = self.base * self.factor(self._updates / total)


class Cosine(Schedule):
    """Half a cosine from the highest rate down to zero, after a linear rise from zero.

    Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
    equation 5, with one period and no lowest rate.

    Parameters
    ----------
    warmup : float, default 0
        Share of the run in which the rate rises.

    Examples
    --------
    >>> [round(Cosine(warmup=0.2).factor(p), 3) for p in (0, 0.1, 0.2, 0.6, 0.99)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(self, *, warmup: float = 0.0) -> None:
        super().__init__()
        self.warmup = _arguments.share("warmup", warmup)

    def factor(self, progress: float) -> float:
        """Rise along a line, fall along the cosine."""
        if progress < self.warmup:
            return progress / self.warmup
        done = (progress - self.warmup) / (1 - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * done))


class OneCycle(Schedule):
    """A linear rise to the highest rate and a linear fall to zero.

    Smith, Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates", 2018 (arXiv:1708.07120), section 4; their last phase, a further fall by orders of
    magnitude, is replaced here by the end of the line. Momentum stays as it is.

    Parameters
    ----------
    warmup : float, default 0.25
        Share of the run in which the rate rises.
    start : float, default 0.1
        The first rate, as a share of the highest.

    Examples
    --------
    >>> [round(OneCycle(warmup=0.5).factor(p), 3) for p in (0, 0.25, 0.5, 0.75, 0.99)]
    [0.1, 0.55, 1.0, 0.5, 0.02]
    """

    def __init__(self, *, warmup: float = 0.25, start: float = 0.1) -> None:
        super().__init__()
        self.warmup = _arguments.share("warmup", warmup)
        self.start = _arguments.number("start", start, 0.0, 1.0)

    def factor(self, progress: float) -> float:
        """Rise along a line, fall along another."""
        if progress < self.warmup:
            return self.start + (1 - self.start) * progress / self.warmup
        return (1 - progress) / (1 - self.warmup)


class Steps(Schedule):
    """The same rate for a while, then a smaller one, and so on.

    Parameters
    ----------
    at : sequence of float, default (0.5, 0.75)
        The shares of the run after which the rate falls, in ascending order.
    by : float, default 0.1
        The factor of each fall.

    Examples
    --------
    >>> [round(Steps().factor(p), 3) for p in (0, 0.49, 0.5, 0.75)]
    [1.0, 1.0, 0.1, 0.01]
    """

    def __init__(self, *, at: Sequence[float] = (0.5, 0.75), by: float = 0.1) -> None:
        super().__init__()
        self.at = tuple(_arguments.share("at", share) for share in at)
        if list(self.at) != sorted(self.at):
            raise ValueError(f"at is {self.at}: wanted an ascending order")
        self.by = _arguments.number("by", by, 0.0, 1.0)

    def factor(self, progress: float) -> float:
        """Multiply once for each share of `at` that is passed."""
        return self.by ** sum(progress >= share for share in self.at)


class Plateau(Callback):
    """Lower the rate when a quantity has not improved for some epochs.

    As PyTorch's `ReduceLROnPlateau` with an absolute threshold and no cooldown. When training ends,
    the optimiser gets its first rate back.

    Parameters
    ----------
    factor : float, default 0.1
        The rate is multiplied with it, 0 to less than 1.
    patience : int, default 10
        How many epochs without improvement are allowed; one more, and the rate falls.
    monitor : str, default "val_loss"
        A key of the history's records, as in `EarlyStopping`.
    min_delta : float, default 0
        How much better than the best so far counts as an improvement.
    lowest : float, default 0
        The rate does not fall below it.
    mode : {"min", "max"}, optional
        Whether the quantity should fall or rise; needed for a metric of your own.
    """

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        monitor: str = "val_loss",
        *,
        min_delta: float = 0.0,
        lowest: float = 0.0,
        mode: Mode | None = None,
    ) -> None:
        self.factor = _arguments.share("factor", factor)
        self.patience = _arguments.integer("patience", patience, 0)
        self.monitor, self.mode = monitor, mode
        self._rising = direction(monitor, mode)
        self.min_delta = _arguments.non_negative("min_delta", min_delta)
        self.lowest = _arguments.non_negative("lowest", lowest)
        self.base = 0.0
        self._best: float | None = None
        self._waited = 0

    def on_fit_begin(self, trainer: Run) -> None:
        """Forget an earlier run, and remember the rate."""
        self.base = float(trainer.optimizer.lr)
        self._best, self._waited = None, 0

    def on_epoch_end(self, trainer: Run, record: Record) -> None:
        """Compare with the best epoch so far.

        Raises
        ------
        ValueError
            The monitored quantity is not measured.
        """
        value = monitored(record, self.monitor)
        if improves(value, self._best, self._rising, self.min_delta):
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited > self.patience:
            self._waited = 0
            rate = float(trainer.optimizer.lr)
            trainer.optimizer.lr = min(rate, max(rate * self.factor, self.lowest))

    def on_fit_end(self, trainer: Run) -> None:
        """Give the optimiser its first rate back."""
        trainer.optimizer.lr = self.base

    def state_dict(self) -> dict[str, object]:
        """Return the first rate, the best value and the epochs since."""
        return {"base": self.base, "best": self._best, "waited": self._waited}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Continue the run that is resumed.

        Raises
        ------
        ValueError
            The values are not those of a plateau.
        """
        base, best, waited = (values.get(name) for name in ("base", "best", "waited"))
        if (
            type(base) not in (int, float)
            or not (best is None or type(best) in (int, float))
            or type(waited) is not int
        ):
            raise ValueError(f"values is {dict(values)!r}, which no Plateau wrote")
        self.base, self._waited = float(cast(float, base)), waited
        self._best = None if best is None else float(cast(float, best))
