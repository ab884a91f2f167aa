"""The file of one run: what is written in it, and whether one that is there is of this run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pocketcnn._arguments import Array
from pocketcnn.data.digest import digest
from pocketcnn.losses import CrossEntropy
from pocketcnn.losses.base import OwnLoss
from pocketcnn.training.callbacks import Callback
from pocketcnn.training.checkpoint import (
    Arrays,
    network_arrays,
    plain,
    plain_state,
    previous_path,
    require_writable,
    split_state,
    write_checkpoint,
)
from pocketcnn.training.comparison import (
    compare_generators,
    compare_identity,
    compare_network,
    compare_progress,
    takes_state,
)
from pocketcnn.training.identity import describe
from pocketcnn.training.ranks import Ranks, from_first
from pocketcnn.training.run import Run, every_generator, parts_of
from pocketcnn.training.saved_run import Progress, SavedRun, read_saved_run
from pocketcnn.training.shares import Plan
from pocketcnn.training.source import Source


class RunFile:
    """The checkpoint of one `fit`: knows the run's identity, writes it and reads it.

    Parameters
    ----------
    trainer : Run
    path : path-like
    data : Source
    plan : Plan
        How its samples become batches.
    validation : Source or None
    weight : ndarray or None
        The weight of each sample.

    Attributes
    ----------
    plan : Plan
        That of the run: a run of another number of ranks goes on with its batches.
    """

    def __init__(
        self,
        trainer: Run,
        path: str | os.PathLike[str],
        data: Source,
        plan: Plan,
        validation: Source | None = None,
        weight: Array | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.plan = plan
        self._trainer = trainer
        optimizer = trainer.optimizer
        images, targets = _identity(data, plan, trainer.ranks)
        self._identity: dict[str, object] = {
            "architecture": [
                [name, describe(layer), *inputs] for name, layer, *inputs in trainer.net.entries
            ],
            "frozen": trainer.net.frozen,
            "optimizer": type(optimizer).__name__,
            "batch_size": plan.together,
            "seed": trainer.seed,
            "label_smoothing": trainer.label_smoothing,
            "loss": _loss(trainer),
            "metrics": list(trainer.columns),
            "clip_norm": trainer.updates.clip_norm,
            "accumulate": trainer.updates.accumulate,
            "ema": trainer.updates.ema,
            "augment": describe(trainer.augment),
            "samples": plan.samples,
            "x": images,
            "t": targets,
            "sample_weight": None if weight is None else digest(weight),
        }
        self._validation = None
        if validation is not None:
            self._validation = " ".join(map(str, _identity(validation, plan, trainer.ranks)))
        self._settings: dict[str, object] = {
            name: _setting(getattr(optimizer, name))
            for name in (*getattr(optimizer, "hyperparameters", ()), "rates")
            if hasattr(optimizer, name)
        }
        # Whether the existing file is a complete checkpoint of this run.
        self._whole = False

    def write(self, callbacks: Sequence[Callback], progress: Progress | None = None) -> None:
        """Write the run as it is now, in the middle of an epoch or after one, and keep the last.

        All ranks call it, and rank 0 writes.
        """
        arrays, values = self.collect(callbacks, progress)
        if self._trainer.ranks.rank == 0:
            write_checkpoint(self.path, arrays, values, keep_previous=self._whole)
        self._whole = True

    def collect(
        self, callbacks: Sequence[Callback], progress: Progress | None = None
    ) -> tuple[Arrays, dict[str, object]]:
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
            kinds.append([kind, describe(callback), takes_state(callback)])
        named: dict[str, object] = {}
        for name, part in parts_of(trainer, progress is not None, shared=True).items():
            parts, named[name] = split_state(f"part/{name}", name, part.state_dict())
            arrays.update(parts)
        generators = trainer.ranks.gather(
            {
                name: plain_state(rng.bit_generator.state)
                for name, rng in every_generator(trainer).items()
            }
        )
        values: dict[str, object] = {
            "identity": self._identity,
            "settings": self._settings,
            "validation": self._validation,
            "epoch": len(trainer.history),
            "history": plain("the history", list(trainer.history)),
            "optimizer": optimizer,
            "callbacks": states,
            "callback_kinds": kinds,
            "parts": named,
            "progress": None if progress is None else plain_state(asdict(progress)),
            "generators": generators[0],
        }
        if trainer.ranks.size > 1:
            values["other_ranks"] = generators[1:]
        return arrays, values

    def open(self, resume: bool) -> tuple[SavedRun | None, list[str]]:
        """Check that the file can be written and, to resume, read what is there on rank 0.

        Returns and raises on all ranks what `read` does, with None if there is nothing to read.
        """

        def first() -> tuple[SavedRun | None, list[str], Plan]:
            require_writable(self.path)
            saved, notes = self.read() if resume and Path(self.path).exists() else (None, [])
            return saved, notes, self.plan

        saved, notes, self.plan = from_first(self._trainer.ranks, first)
        self.plan = replace(self.plan, rank=self._trainer.ranks.rank)
        return saved, notes

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
        notes += self._take_batches(saved)
        compare_identity(saved, self._identity)
        compare_network(saved, self._trainer)
        compare_generators(saved, self._trainer)
        compare_progress(saved, self._trainer, self.plan.batches)
        notes += self._changed_settings(saved)
        if saved.settings:
            self._settings = saved.settings
        return saved, notes

    def _take_batches(self, saved: SavedRun) -> list[str]:
        """Go on with the batches of a run that had another number of ranks; return what to say."""
        size, mine = saved.identity.get("batch_size"), self._trainer.batch_size
        ranks = 1 + len(saved.other_ranks)
        if not self.plan.divided or ranks == self.plan.size or size != mine * ranks:
            return []
        self.plan = self.plan.with_together(mine * ranks)
        self._identity["batch_size"] = size
        each = -(-mine * ranks // self.plan.size)
        return [
            f"checkpoint {saved.path!r} was written by {ranks} ranks with {mine} samples each: its "
            f"batches of {size} are now divided among {self.plan.size}, up to {each} each"
        ]

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


def _identity(data: Source, plan: Plan, ranks: Ranks) -> tuple[str | None, str | None]:
    """Return digests of images and targets, of all ranks where each has its own."""
    own = data.identity()
    if plan.divided:
        return own
    images, targets = zip(*ranks.gather(own), strict=True)
    return " ".join(map(str, images)), " ".join(map(str, targets))


def _loss(trainer: Run) -> str | None:
    """Describe a loss that is not the one that label_smoothing tells."""
    loss = trainer.objective
    if repr(loss) == repr(CrossEntropy(trainer.label_smoothing)):
        return None
    return describe(loss.function if isinstance(loss, OwnLoss) else loss)


def _setting(value: object) -> object:
    """Return a hyper-parameter as JSON has it; a user's own may be anything."""
    try:
        return plain("", value)
    except TypeError:
        return describe(value)
