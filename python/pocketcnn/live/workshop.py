"""Workshop: the runs of a page, of which one trains at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pocketcnn._arguments import Array
from pocketcnn.live.collection import Collection
from pocketcnn.live.exhibit import Exhibit
from pocketcnn.live.recipe import NETWORKS, Recipe, checked_rate
from pocketcnn.live.training import Run
from pocketcnn.live.unfolding import fresh_copy, unfold
from pocketcnn.network.net import ConvNet

# Older ones are forgotten, as every run keeps the weights of its epochs.
_MOST_RUNS = 6

_ACTIONS: dict[Any, Callable[[Run], None]] = {
    "pause": Run.pause,
    "resume": Run.resume,
    "step": Run.step,
    "stop": Run.stop,
}


class _Room:
    """A run, and the exhibit in which its weights are shown, those of one epoch at a time."""

    def __init__(self, run: Run, exhibit: Exhibit) -> None:
        self.run, self.exhibit = run, exhibit
        self.lock = threading.Lock()
        self.shown: int | None = None


class Workshop:
    """Trains copies of a network, and shows what they are or were.

    Parameters
    ----------
    net : ConvNet
    classes : list of str or None
    collection : Collection or None
        Without it nothing can be trained.
    """

    def __init__(
        self, net: ConvNet, classes: list[str] | None, collection: Collection | None
    ) -> None:
        self._net, self._classes, self._collection = net, classes, collection
        self._lock = threading.Lock()
        self._rooms: dict[int, _Room] = {}
        self._made = 0

    def command(self, values: Mapping[str, Any]) -> int:
        """Do what a browser asks for: `action` and, for most, `run`; return the run's number.

        Raises
        ------
        ValueError, LookupError
            There is no such action or run, or nothing to train on.
        """
        action = values.get("action")
        if action == "start":
            return self._start(Recipe.of(values))
        if action not in ("rate", *_ACTIONS):
            wanted = ", ".join(("start", "rate", *_ACTIONS))
            raise ValueError(f"action is {action!r:.40}: wanted one of {wanted}")
        run = self._room(values.get("run")).run
        if action == "rate":
            run.set_rate(checked_rate(values.get("rate")))
        else:
            _ACTIONS[action](run)
        return run.number

    def version(self) -> str:
        """Return a text that changes with anything that `report` says."""
        return " ".join(f"{room.run.number}:{room.run.version}" for room in self._all())

    def report(self) -> list[dict[str, Any]]:
        """Describe all runs."""
        return [room.run.report() for room in self._all()]

    def exhibit(self, number: object) -> Exhibit:
        """Return the exhibit of a run, with whatever weights it has."""
        return self._room(number).exhibit

    def filters(self, number: object, epoch: int | None) -> Array:
        """Return the first filters of a run; see `Run.filters`."""
        return self._room(number).run.filters(epoch)

    @contextmanager
    def showing(self, number: object, epoch: int) -> Iterator[Exhibit]:
        """Give the exhibit of a run with the weights of an epoch, for as long as it is looked at.

        Raises
        ------
        LookupError
            There is no such run, or its weights of that epoch are not kept.
        """
        room = self._room(number)
        with room.lock:
            if room.shown != epoch:
                room.exhibit.load(room.run.snapshot(epoch))
                room.shown = epoch
            yield room.exhibit

    def make(self, begin: str) -> ConvNet:
        """Make what is trained, by the word of a `Recipe`.

        Raises
        ------
        ValueError
            The images are too small for it.
        """
        if begin == "model":
            return unfold(self._net)
        if begin == "fresh":
            return fresh_copy(unfold(self._net))
        classes = len(self._classes or ())
        net = NETWORKS[begin](classes, input_shape=self._net.input_shape)
        net.preprocessing = self._net.preprocessing
        return net

    def close(self) -> None:
        """End all runs."""
        for room in self._all():
            room.run.stop()

    def _start(self, recipe: Recipe) -> int:
        if self._collection is None or self._classes is None:
            raise ValueError("there are no labelled images to train on")
        with self._lock:
            net = self.make(recipe.begin)
            for room in self._rooms.values():
                room.run.stop()
            run = Run(self._made + 1, recipe, net, self._collection)
            self._made += 1
            self._rooms[run.number] = _Room(run, Exhibit(net, self._classes))
            for old in list(self._rooms)[:-_MOST_RUNS]:
                del self._rooms[old]
            run.start()
        return run.number

    def _all(self) -> list[_Room]:
        with self._lock:
            return list(self._rooms.values())

    def _room(self, number: object) -> _Room:
        room = self._rooms.get(number) if isinstance(number, int) else None
        if room is None:
            raise LookupError(f"run is {number!r:.40}, but there are {list(self._rooms)}")
        return room
