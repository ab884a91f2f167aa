"""What is called while a network trains: early stopping, and what a user adds."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments
from pocketcnn.training.checkpoint import network_arrays
from pocketcnn.training.history import Record
from pocketcnn.training.monitor import Mode, direction, improves, monitored
from pocketcnn.training.run import Run


class Callback:
    """Base class: override what is needed; every method does nothing here.

    A callback may change `trainer.optimizer.lr` and set `trainer.stop = True`, which ends
    training after the current epoch. `trainer` is the calling `Trainer`, and your class may
    annotate it so.

    Attributes
    ----------
    on_first_rank_only : bool
        Whether only rank 0 calls it when several processes train together, because it prints or
        writes files. All call the others, which see the same records.
    """

    on_first_rank_only: ClassVar[bool] = False

    def on_fit_begin(self, trainer: Any) -> None:
        """Before the first epoch; `trainer.epoch`, `trainer.epochs`, `trainer.samples` are set."""

    def on_epoch_begin(self, trainer: Any) -> None:
        """Before the first batch of epoch `trainer.epoch` (counted from 1).

        It is called too where a run is resumed in the middle of an epoch. What it changes in the
        callback, the network and the optimiser then becomes what it was at the checkpoint.
        """

    def on_batch_end(self, trainer: Any, size: int) -> None:
        """After an update; `size` samples were in the batch, `trainer.loss` is their mean loss."""

    def on_epoch_end(self, trainer: Any, record: Record) -> None:
        """After validation, before the epoch's checkpoint is written."""

    def on_fit_end(self, trainer: Any) -> None:
        """After the last epoch, also when training ends with an exception.

        It is called if this callback's `on_fit_begin` raised nothing, even if another's did.
        """

    def state_dict(self) -> dict[str, object]:
        """Return what a resumed run needs, by name.

        Arrays, numbers, strings and None, and lists and dicts of the last three. Called after
        `on_fit_begin` and for every checkpoint, which may be in the middle of an epoch.
        """
        return {}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned in the run that is resumed."""

    def __repr__(self) -> str:
        """Name the settings that are attributes and not at their defaults."""
        shown = [
            f"{name}={value!r}"
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if (value := getattr(self, name, parameter.default)) is not parameter.default
            and not np.array_equal(value, parameter.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class EarlyStopping(Callback):
    """Stop when a quantity has not improved for some epochs.

    A run that it has stopped stays stopped when it is resumed, unless with more patience.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A key of the history's records, also that of a metric such as "val_f1". Accuracies, shares
        and `images_per_second` should rise, losses and errors fall. NaN is never an improvement.
    patience : int, default 5
        How many epochs without improvement are allowed.
    min_delta : float, default 0
        How much better than the best so far counts as an improvement.
    restore_best : bool, default False
        Put the weights of the best epoch back at the end.
    mode : {"min", "max"}, optional
        Whether the quantity should fall or rise; needed for a metric of your own.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch, waited : int
        Its epoch, and the number of epochs since.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = False,
        mode: Mode | None = None,
    ) -> None:
        self.monitor, self.mode = monitor, mode
        self._rising = direction(monitor, mode)
        self.patience = _arguments.integer("patience", patience, 1)
        self.min_delta = _arguments.non_negative("min_delta", min_delta)
        self.restore_best = bool(restore_best)
        self.best: float | None = None
        self.best_epoch = self.waited = 0
        self._best_arrays: dict[str, NDArray[np.generic]] = {}

    def on_fit_begin(self, trainer: Run) -> None:
        """Forget an earlier run."""
        self.best, self.best_epoch, self.waited = None, 0, 0
        self._best_arrays = {}

    @property
    def has_stopped(self) -> bool:
        """Whether the patience has run out."""
        return self.waited >= self.patience

    def on_epoch_end(self, trainer: Run, record: Record) -> None:
        """Compare with the best epoch so far.

        Raises
        ------
        ValueError
            The monitored quantity is not measured: `fit` was given no validation data.
        """
        value = monitored(record, self.monitor)
        if improves(value, self.best, self._rising, self.min_delta):
            self.best, self.best_epoch = value, record["epoch"]
            if self.restore_best:
                arrays = network_arrays(trainer.net)
                self._best_arrays = {name: array.copy() for name, array in arrays.items()}
        self.waited = record["epoch"] - self.best_epoch
        if self.has_stopped:
            trainer.stop = True

    def on_fit_end(self, trainer: Run) -> None:
        """Put the best weights back if `restore_best` is set."""
        for name, array in network_arrays(trainer.net).items():
            if name in self._best_arrays:
                array[...] = self._best_arrays[name]

    def state_dict(self) -> dict[str, object]:
        """Return the best value, its epoch and, with `restore_best`, its weights."""
        counts = {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}
        return {**counts, **self._best_arrays}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned in the run that is resumed.

        Raises
        ------
        ValueError
            The values are not those of an early stopping.
        """
        best, epoch, waited = (values.get(name) for name in ("best", "best_epoch", "waited"))
        if not (
            (best is None or type(best) in (int, float))
            and all(type(count) is int and count >= 0 for count in (epoch, waited))
        ):
            raise ValueError(f"values has {best!r}, {epoch!r}, {waited!r}: no early stopping's")
        self.best = None if best is None else float(cast(float, best))
        self.best_epoch, self.waited = cast(int, epoch), cast(int, waited)
        self._best_arrays = {
            name: array for name, array in values.items() if isinstance(array, np.ndarray)
        }
