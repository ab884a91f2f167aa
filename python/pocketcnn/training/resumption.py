"""How a run is saved in its checkpoint and restored from it, completely or not at all.

A checkpoint is first read into a record with checked types (`saved_run`). Then it is compared with
the run that is to continue it. Only then does anything change.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.data.digest import digest
from pocketcnn.training.callbacks import Callback, EarlyStopping
from pocketcnn.training.checkpoint import (
    Arrays,
    network_arrays,
    plain,
    previous_path,
    split_state,
    write_checkpoint,
)
from pocketcnn.training.divergence import is_finite
from pocketcnn.training.identity import describe
from pocketcnn.training.run import Run
from pocketcnn.training.saved_run import SavedCallback, SavedRun, damaged, read_saved_run


class RunFile:
    """The checkpoint of one `fit`: knows the run's identity, writes it and reads it.

    Parameters
    ----------
    trainer : Run
    path : path-like
    data : (x, t)
    validation : (x, t) or None
    """

    def __init__(
        self,
        trainer: Run,
        path: str | os.PathLike[str],
        data: tuple[Array, Array],
        validation: tuple[Array, Array] | None,
    ) -> None:
        self.path = os.fspath(path)
        self._trainer = trainer
        optimizer = trainer.optimizer
        self._identity: dict[str, object] = {
            "architecture": [
                [name, describe(layer), *inputs] for name, layer, *inputs in trainer.net.entries
            ],
            "optimizer": type(optimizer).__name__,
            "batch_size": trainer.batch_size,
            "seed": trainer.seed,
            "label_smoothing": trainer.label_smoothing,
            "augment": describe(trainer.augment),
            "samples": len(data[0]),
            "x": digest(data[0]),
            "t": digest(data[1]),
        }
        self._validation = None if validation is None else " ".join(map(digest, validation))
        self._settings: dict[str, object] = {
            name: _setting(getattr(optimizer, name))
            for name in getattr(optimizer, "hyperparameters", ())
        }
        # Whether the existing file is a complete checkpoint of this run.
        self._whole = False

    def write(self, callbacks: Sequence[Callback]) -> None:
        """Write the run as it is now, and keep the previous checkpoint."""
        write_checkpoint(self.path, *self.collect(callbacks), keep_previous=self._whole)
        self._whole = True

    def collect(self, callbacks: Sequence[Callback]) -> tuple[Arrays, dict[str, object]]:
        """Return what a checkpoint of the run holds: arrays, and values for JSON.

        Raises
        ------
        TypeError
            A state holds something that cannot be stored.
        """
        trainer = self._trainer
        arrays = {f"net/{name}": array for name, array in network_arrays(trainer.net).items()}
        parts, optimizer = split_state(
            "optimizer", type(trainer.optimizer).__name__, trainer.optimizer.state_dict()
        )
        arrays.update(parts)
        states, kinds = [], []
        for position, callback in enumerate(callbacks):
            kind = type(callback).__name__
            parts, state = split_state(f"callback/{position}", kind, callback.state_dict())
            arrays.update(parts)
            states.append(state)
            kinds.append([kind, describe(callback), _takes_state(callback)])
        values: dict[str, object] = {
            "identity": self._identity,
            "settings": self._settings,
            "validation": self._validation,
            "epoch": trainer.epoch,
            "history": plain("the history", list(trainer.history)),
            "optimizer": optimizer,
            "callbacks": states,
            "callback_kinds": kinds,
            "generators": {
                name: _listed(rng.bit_generator.state) for name, rng in _generators(trainer).items()
            },
        }
        return arrays, values

    def read(self) -> tuple[SavedRun, list[str]]:
        """Read the run, and check that it is this one; nothing is changed yet.

        If the last checkpoint is damaged, the previous one is used.

        Returns
        -------
        saved : SavedRun
        notes : list of str
            What differs, but does not prevent resuming.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is damaged and there is no previous one, or it belongs to another run.
        """
        notes = []
        try:
            saved = read_saved_run(self.path)
            self._whole = True
        except ValueError as error:
            previous = previous_path(self.path)
            if not previous.is_file():
                raise
            saved = read_saved_run(previous)
            notes.append(f"{error}; the run goes on from {previous}, epoch {saved.epoch}")
        self._compare_identity(saved)
        _compare_network(saved, self._trainer)
        _compare_generators(saved, self._trainer)
        notes += self._changed_settings(saved)
        if saved.settings:
            self._settings = saved.settings
        return saved, notes

    def _compare_identity(self, saved: SavedRun) -> None:
        begin = f"checkpoint {saved.path!r}"
        for name, mine in self._identity.items():
            given = saved.identity.get(name)
            if given == plain(name, mine) or (not saved.settings and _is_vague(name, given)):
                continue
            if name not in saved.identity:
                raise damaged(saved.path, f"its identity lacks {name!r}")
            if name == "architecture":
                layers = cast(list[list[str]], given), cast(list[list[str]], mine)
                difference = _differing_layer(*layers)
                raise ValueError(f"{begin} is of another network: {difference}")
            if name in ("x", "t"):
                raise ValueError(f"{begin} is of other data: {name} is not what it was")
            raise ValueError(f"{begin} has {name} {given!r}, but this run has {mine!r}")

    def _changed_settings(self, saved: SavedRun) -> list[str]:
        kind = self._identity["optimizer"]
        notes = [
            f"checkpoint {saved.path!r} goes on with the {name} {saved.settings[name]!r} of its "
            f"{kind}, not with the {mine!r} that is given"
            for name, mine in self._settings.items()
            if saved.settings.get(name, mine) != mine
        ]
        if saved.settings and saved.validation != self._validation:
            notes.append(
                f"checkpoint {saved.path!r} was measured on other validation data, or none"
            )
        return notes


@contextmanager
def taking_part(
    trainer: Run,
    callbacks: Sequence[Callback],
    file: RunFile | None,
    saved: SavedRun | None,
    notes: list[str],
) -> Iterator[None]:
    """Begin a run, or resume one completely, and end it for all callbacks that have begun.

    Of several errors the first is raised. An error before the run has begun leaves network,
    optimiser and generators as they were.
    """
    begun: list[Callback] = []
    undo = error = None
    try:
        if saved is not None:
            undo = _restore(saved, trainer)
        for callback in callbacks:
            callback.on_fit_begin(trainer)
            begun.append(callback)
        if saved is not None:
            notes += _restore_callbacks(saved, callbacks)
        for note in notes if trainer.epoch < trainer.epochs else ():
            warnings.warn(note, stacklevel=_level_of_caller())
        if file is not None:
            file.collect(callbacks)  # reports what cannot be stored before an epoch is lost
        undo = None
        # Requests to stop from other callbacks, such as one with a time limit, are not kept.
        trainer.stop |= any(isinstance(c, EarlyStopping) and c.has_stopped for c in callbacks)
        yield
    except BaseException as caught:
        error = caught
    for callback in begun:
        try:
            callback.on_fit_end(trainer)
        except BaseException as caught:
            error = error or caught
    if undo is not None:
        undo()
    if error is not None:
        raise error


def _restore(saved: SavedRun, trainer: Run) -> Callable[[], None]:
    """Restore the state of network, optimiser and generators; return a function that undoes it."""
    own, generators = network_arrays(trainer.net), _generators(trainer)
    arrays = {name: array.copy() for name, array in own.items()}
    optimizer = trainer.optimizer.state_dict()
    states = {name: rng.bit_generator.state for name, rng in generators.items()}

    def undo() -> None:
        trainer.optimizer.load_state_dict(optimizer)
        for name, array in own.items():
            array[...] = arrays[name]
        for name, rng in generators.items():
            rng.bit_generator.state = states[name]

    try:
        trainer.optimizer.load_state_dict(saved.optimizer)
    except (TypeError, ValueError) as error:
        raise damaged(saved.path, error) from error
    for name, array in own.items():
        array[...] = saved.network[name]
    for name, rng in generators.items():
        rng.bit_generator.state = saved.generators[name]
    return undo


def _restore_callbacks(saved: SavedRun, callbacks: Sequence[Callback]) -> list[str]:
    """Restore the state of every callback, or of none; return what differs."""
    before = [callback.state_dict() for callback in callbacks]
    entries = _match(saved, callbacks, before)
    done = 0
    try:
        for callback, entry in zip(callbacks, entries, strict=True):
            if entry is not None:
                callback.load_state_dict(entry.state)
            done += 1
    except BaseException as error:
        for callback, state in zip(callbacks[:done], before, strict=False):
            with suppress(Exception):  # the first error is the one to report
                callback.load_state_dict(state)
        if isinstance(error, (KeyError, TypeError, ValueError)):
            kind = type(callbacks[done]).__name__
            raise damaged(saved.path, f"{kind} does not take its state: {error}") from error
        raise
    return [
        f"checkpoint {saved.path!r} was written with {entry.settings}, and goes on with {mine}"
        for callback, entry in zip(callbacks, entries, strict=True)
        if entry is not None and entry.settings not in (None, mine := describe(callback))
    ]


def _setting(value: object) -> object:
    """Return a hyper-parameter as JSON has it; a user's own may be anything."""
    try:
        return plain("", value)
    except TypeError:
        return describe(value)


def _takes_state(callback: Callback) -> bool:
    """Whether a callback restores its state: some only save one."""
    return type(callback).load_state_dict is not Callback.load_state_dict


def _level_of_caller() -> int:
    """Return the `stacklevel` for a warning that points at the first line outside the package."""
    frame, level = sys._getframe(1), 1
    inside = ("pocketcnn", "contextlib")
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in inside:
        frame, level = frame.f_back, level + 1
    return level


def _generators(trainer: Run) -> dict[str, np.random.Generator]:
    """Return all random generators: the trainer's and the layers'."""
    return trainer.generators | trainer.net.generators


def _listed(state: Any) -> Any:
    """Return the state of a generator with lists instead of arrays, which it also accepts."""
    if isinstance(state, np.ndarray):
        return state.tolist()
    if isinstance(state, dict):
        return {key: _listed(value) for key, value in state.items()}
    return plain("a generator's state", state)


# Compared with the run


def _is_vague(name: str, given: object) -> bool:
    """Whether the first format stores too little to compare: no data, or a memory address."""
    return given is None or (name == "augment" and (" at 0x" in str(given) or given == "<lambda>"))


def _differing_layer(theirs: list[list[str]], mine: list[list[str]]) -> str:
    for entry, own in zip(theirs, mine, strict=False):
        if entry != own:
            return f"it has {' '.join(entry)}, this one has {' '.join(own)}"
    return f"it has {len(theirs)} layers, this one has {len(mine)}"


def _compare_network(saved: SavedRun, trainer: Run) -> None:
    own = network_arrays(trainer.net)
    for name in own.keys() | saved.network.keys():
        if name not in own or name not in saved.network:
            where = "only it has" if name in saved.network else "it lacks"
            raise ValueError(f"checkpoint {saved.path!r} is of another network: {where} {name}")
        came, wanted = saved.network[name], own[name]
        if (came.shape, came.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"checkpoint {saved.path!r} is of another network: its {name} is {came.dtype} "
                f"{came.shape}, this one's is {wanted.dtype} {wanted.shape}"
            )
    for name, param in trainer.net.params.items():
        if not is_finite(saved.network[name]):
            raise damaged(saved.path, f"{name} has values that are not finite")
        for key, state in saved.optimizer.items():
            if not isinstance(state, np.ndarray) or key.partition("/")[2] != name:
                continue
            if (state.shape, state.dtype) != (param.shape, param.dtype):
                raise damaged(saved.path, f"{key} is {state.dtype} {state.shape}")


def _compare_generators(saved: SavedRun, trainer: Run) -> None:
    own = _generators(trainer)
    if odd := sorted(own.keys() ^ saved.generators.keys()):
        raise ValueError(
            f"checkpoint {saved.path!r} is of another network: only one of them draws random "
            f"numbers in {', '.join(odd)}"
        )
    for name, rng in own.items():
        try:
            trial = type(rng.bit_generator)()
            trial.state = saved.generators[name]
            same = _listed(trial.state) == saved.generators[name]
        except (
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
            AttributeError,
            IndexError,
        ) as error:
            raise damaged(saved.path, f"generator {name} has no such state: {error}") from error
        if not same:
            raise damaged(saved.path, f"generator {name} has no such state")


def _match(
    saved: SavedRun, callbacks: Sequence[Callback], states: Sequence[dict[str, object]]
) -> list[SavedCallback | None]:
    """Find the saved state of each callback, in the same order.

    Those without a state, such as a progress bar, may be added or left out.
    """
    theirs = [entry for entry in saved.callbacks if entry.state and entry.takes_state]
    matched: list[SavedCallback | None] = []
    for callback, own in zip(callbacks, states, strict=True):
        kind, state = type(callback).__name__, own if _takes_state(callback) else {}
        if theirs and (theirs[0].kind == kind or (theirs[0].kind is None and state)):
            matched.append(theirs.pop(0))
        elif not state:
            matched.append(None)
        else:
            instead = f"the checkpoint {theirs[0].kind}" if theirs else "the checkpoint none"
            raise ValueError(f"checkpoint {saved.path!r}: this run has {kind}, {instead}")
    if theirs:
        kinds = ", ".join(entry.kind or "a callback" for entry in theirs)
        raise ValueError(
            f"checkpoint {saved.path!r} was written with {kinds}, which this run lacks"
        )
    return matched
