"""How a run is begun, or restored from its checkpoint, completely or not at all.

A checkpoint is first read into a record with checked types (`saved_run`). Then it is compared with
the run that is to continue it (`comparison`). Only then does anything change.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from pocketcnn.training.callbacks import Callback, EarlyStopping
from pocketcnn.training.checkpoint import network_arrays
from pocketcnn.training.comparison import match
from pocketcnn.training.identity import describe
from pocketcnn.training.ranks import draw_apart
from pocketcnn.training.run import Run, every_generator, parts_of, remember
from pocketcnn.training.run_file import RunFile
from pocketcnn.training.saved_run import SavedRun, damaged


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
        if saved is not None and saved.progress is not None and trainer.epoch < trainer.epochs:
            _begin_epoch_again(saved, trainer, callbacks)
        if saved is not None:
            notes += _restore_callbacks(saved, callbacks)
        told = trainer.epoch < trainer.epochs and trainer.ranks.rank == 0
        for note in notes if told else ():
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
    """Restore all state but the callbacks'; return a function that undoes it."""
    undo = remember(trainer)
    try:
        _put(saved, trainer)
    except (TypeError, ValueError) as error:
        undo()
        raise damaged(saved.path, error) from error
    return undo


def _put(saved: SavedRun, trainer: Run) -> None:
    trainer.optimizer.load_state_dict(saved.optimizer)
    for name, part in parts_of(trainer, counts=True).items():
        # What was counted is that of all ranks, which one of them goes on with.
        if name in saved.parts and not (name == "counts" and trainer.ranks.rank > 0):
            part.load_state_dict(saved.parts[name])
    for name, array in network_arrays(trainer.net).items():
        array[...] = saved.network[name]
    _put_generators(saved, trainer)


def _put_generators(saved: SavedRun, trainer: Run) -> None:
    """Restore this rank's generators; a rank that was not there draws apart from the first."""
    every, rank = every_generator(trainer), trainer.ranks.rank
    known = [saved.generators, *saved.other_ranks]
    for name, rng in every.items():
        rng.bit_generator.state = known[rank if rank < len(known) else 0][name]
    if rank >= len(known):
        draw_apart(trainer.ranks, {n: rng for n, rng in every.items() if n != "trainer.order"})


def _begin_epoch_again(saved: SavedRun, trainer: Run, callbacks: Sequence[Callback]) -> None:
    """Let the callbacks begin the epoch that the run goes on in, and take back what they change.

    Afterwards they get their states, of the middle of the epoch.
    """
    trainer.epoch += 1
    for callback in callbacks:
        callback.on_epoch_begin(trainer)
    trainer.epoch -= 1
    _put(saved, trainer)


def _restore_callbacks(saved: SavedRun, callbacks: Sequence[Callback]) -> list[str]:
    """Restore the state of every callback, or of none; return what differs."""
    before = [callback.state_dict() for callback in callbacks]
    entries = match(saved, callbacks, before)
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


def _level_of_caller() -> int:
    """Return the `stacklevel` for a warning that points at the first line outside the package."""
    frame, level = sys._getframe(1), 1
    inside = ("pocketcnn", "contextlib")
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in inside:
        frame, level = frame.f_back, level + 1
    return level
