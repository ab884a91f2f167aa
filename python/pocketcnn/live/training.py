"""Training that the page can watch, pause and go back in: one run in a thread of its own."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.live.collection import Collection
from pocketcnn.live.recipe import OPTIMIZERS, Recipe
from pocketcnn.network.net import ConvNet
from pocketcnn.network.preprocessing import Preprocessing
from pocketcnn.training.callbacks import Callback
from pocketcnn.training.checkpoint import network_arrays
from pocketcnn.training.history import Record
from pocketcnn.training.trainer import Trainer

# Weights of past epochs are kept up to so many bytes; then every other one is let go.
_KEPT_BYTES = 2**27
_POINTS = 300


class Run:
    """A network that is trained in a thread, and what it was after each epoch.

    Parameters
    ----------
    number : int
        Its name.
    recipe : Recipe
    net : ConvNet
        What is trained; unfolded, as an `Exhibit` takes its weights.
    collection : Collection

    Attributes
    ----------
    state : str
        "running", "paused", "done", "stopped" or "failed".
    version : int
        Grows with anything that `report` says.
    """

    def __init__(self, number: int, recipe: Recipe, net: ConvNet, collection: Collection) -> None:
        self.number, self.recipe = number, recipe
        self.state = "paused" if recipe.paused else "running"
        self.version = 0
        self._error = ""
        self._net = net
        optimizer = OPTIMIZERS[recipe.optimizer](recipe.rate)
        self._trainer = Trainer(self._net, optimizer, batch_size=recipe.batch_size)
        self._collection = collection
        self._turn = threading.Condition()
        self._steps_allowed = 0
        self._points: list[tuple[float, float, float | None]] = []
        self._records: list[Record] = []
        self._snapshots: dict[int, dict[str, Array]] = {}
        self._filters_name, self._filters = "", np.zeros((0, 0, 0, 0))
        self._thread = threading.Thread(target=self._train, name=f"run {number}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def pause(self) -> None:
        """Stop after the current update, for a while."""
        self._become("paused", of=("running",))

    def resume(self) -> None:
        """Go on."""
        self._become("running", of=("paused",))

    def step(self) -> None:
        """Make one update, and pause."""
        self._become("paused", of=("running",))
        with self._turn:
            self._steps_allowed += 1
            self._turn.notify_all()

    def stop(self) -> None:
        """End after the current update, for good; returns when it has ended."""
        self._become("stopped", of=("running", "paused"))
        if self._thread.is_alive():
            self._thread.join()

    def set_rate(self, rate: float) -> None:
        """Change the learning rate from the next update on."""
        self._trainer.optimizer.lr = rate
        self.version += 1

    def snapshot(self, epoch: int) -> dict[str, Array]:
        """Return the weights as they were after an epoch, 0 for those at the beginning.

        Raises
        ------
        LookupError
            They are not kept.
        """
        with self._turn:
            if epoch not in self._snapshots:
                raise LookupError(f"epoch is {epoch}, but there are {list(self._snapshots)}")
            return self._snapshots[epoch]

    def filters(self, epoch: int | None = None) -> Array:
        """Return the first filters, of an epoch or as they were last seen; empty without any."""
        return self._filters if epoch is None else self.snapshot(epoch)[self._filters_name]

    def report(self) -> dict[str, Any]:
        """Describe the run and its curves for the page.

        `points` are the place in epochs, the loss and the accuracy of updates; `epochs` those whose
        weights are kept.
        """
        with self._turn:
            return {
                "number": self.number,
                "recipe": vars(self.recipe),
                "state": self.state,
                "error": self._error,
                "rate": self._trainer.optimizer.lr,
                "epoch": self._trainer.epoch,
                "step": len(self._points),
                "epochs": list(self._snapshots),
                "points": _thinned(self._points),
                "records": list(self._records),
                "filters": self._filters_name,
            }

    def keep_weights(self) -> None:
        """Keep the weights as those of the current epoch."""
        arrays = {name: a.copy() for name, a in network_arrays(self._net).items()}
        size = sum(array.nbytes for array in arrays.values())
        with self._turn:
            self._snapshots[self._trainer.epoch] = arrays
            while len(self._snapshots) > 2 and len(self._snapshots) * size > _KEPT_BYTES:
                for epoch in list(self._snapshots)[1:-1:2]:
                    del self._snapshots[epoch]
        self.keep_filters()

    def keep_filters(self) -> None:
        """Keep the filters of the first layer that has some."""
        for name, array in self._net.params.items():
            if array.ndim == 4:
                self._filters_name, self._filters = name, array.copy()
                break
        self.version += 1

    def keep_record(self, record: Record) -> None:
        """Keep what was measured after an epoch."""
        with self._turn:
            self._records.append(record)

    def keep_point(self, place: float, loss: float, accuracy: float | None) -> None:
        """Keep what an update's batch showed, `place` epochs after the beginning."""
        with self._turn:
            self._points.append((place, loss, accuracy))
            self.version += 1

    def wait_for_turn(self) -> None:
        """Wait while the run is paused; a step that was asked for is let through."""
        with self._turn:
            while self.state == "paused" and not self._steps_allowed:
                self._turn.wait()
            self._steps_allowed = max(0, self._steps_allowed - 1)
            if self.state == "stopped":
                self._trainer.pause = True

    def _become(self, state: str, of: tuple[str, ...]) -> None:
        with self._turn:
            if self.state in of:
                self.state = state
                self.version += 1
                self._turn.notify_all()

    def _train(self) -> None:
        data, scale = self._collection, (self._net.preprocessing or Preprocessing()).scaled
        try:
            self._trainer.fit(
                *(scale(data.x), data.t),
                epochs=self.recipe.epochs,
                validation=(scale(data.x_test), data.t_test),
                callbacks=[_Watch(self)],
            )
            self._become("done", of=("running", "paused"))
        except Exception as error:  # whatever it is, the page has to tell it
            self._error = str(error) or type(error).__name__
            self._become("failed", of=("running", "paused"))


class _Watch(Callback):
    """Tells a run what its trainer does, and holds the trainer while the run is paused."""

    # In seconds: filters are copied not oftener than anyone can see.
    _BETWEEN_FILTERS = 0.1

    def __init__(self, run: Run) -> None:
        self.run = run
        self.hits = 0.0
        self.seen = 0
        self.last_filters = 0.0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Keep the first weights."""
        self.run.keep_weights()
        self.run.wait_for_turn()

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Count from the beginning."""
        self.hits, self.seen = 0.0, 0

    def on_batch_end(self, trainer: Trainer, size: int) -> None:
        """Keep loss and accuracy of the batch, sometimes the filters, and wait."""
        _, accuracy, _ = trainer.running()
        self.seen += size
        own = None
        if accuracy is not None:
            before, self.hits = self.hits, accuracy * self.seen
            own = (self.hits - before) / size
        place = trainer.epoch - 1 + self.seen / trainer.samples
        self.run.keep_point(place, trainer.loss, own)
        now = time.monotonic()
        if now - self.last_filters > self._BETWEEN_FILTERS or self.run.state == "paused":
            self.last_filters = now
            self.run.keep_filters()
        self.run.wait_for_turn()

    def on_epoch_end(self, trainer: Trainer, record: Record) -> None:
        """Keep what was measured, and the weights."""
        self.run.keep_record(record)
        self.run.keep_weights()


def _thinned(points: list[tuple[float, float, float | None]]) -> list[list[float | None]]:
    """Return a few hundred points at most, means of as many neighbours each."""
    step = -(-len(points) // _POINTS) or 1
    groups = (points[start : start + step] for start in range(0, len(points), step))
    return [[_mean(column) for column in zip(*group, strict=True)] for group in groups]


def _mean(values: tuple[float | None, ...]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
