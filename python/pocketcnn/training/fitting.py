"""One `fit`: what it was given, checked before anything changes, and then run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from pocketcnn import _arguments
from pocketcnn._arguments import Array
from pocketcnn.training.callbacks import Callback
from pocketcnn.training.history import Record
from pocketcnn.training.loop import Loop
from pocketcnn.training.resumption import taking_part
from pocketcnn.training.run import Run
from pocketcnn.training.run_file import RunFile
from pocketcnn.training.samples import (
    check_callbacks,
    check_every,
    check_last_batch,
    check_weights,
)
from pocketcnn.training.saved_run import SavedRun
from pocketcnn.training.shares import Plan
from pocketcnn.training.source import Source
from pocketcnn.training.together import Together


@dataclass(frozen=True)
class Fit:
    """Epochs that are to be trained; what the names say is documented at `Trainer.fit`."""

    data: Source
    plan: Plan
    validation: Source | None
    epochs: int
    callbacks: Sequence[Callback]
    file: RunFile | None
    every: int | None
    weight: Array | None
    saved: SavedRun | None
    notes: list[str]

    @classmethod
    def prepare(
        cls,
        trainer: Run,
        together: Together,
        data: Source,
        divided: bool,
        validation: Source | None,
        *,
        epochs: int,
        callbacks: Sequence[Callback],
        checkpoint: str | os.PathLike[str] | None,
        checkpoint_every: int | None,
        resume: bool,
        sample_weight: ArrayLike | None,
    ) -> Fit:
        """Check what was given, compare it with the other ranks', and read the checkpoint."""
        epochs = _arguments.integer("epochs", epochs, 0)
        callbacks = check_callbacks(
            callbacks, validated=validation is not None, measured=trainer.columns
        )
        ranks = trainer.ranks
        callbacks = [c for c in callbacks if ranks.rank == 0 or not c.on_first_rank_only]
        plan = Plan.of(len(data), trainer.batch_size, ranks, divided, together.micro)
        check_last_batch(trainer.net, plan, trainer.batch_size)
        weight = check_weights(sample_weight, len(data))
        every = check_every(checkpoint_every, checkpoint)
        if resume and checkpoint is None:
            raise ValueError("resume=True needs a checkpoint to continue from")
        together.agree(trainer, epochs=epochs, checkpoint_every=every, validation=validation)
        file, saved, notes = None, None, list[str]()
        if checkpoint is not None:
            file = RunFile(trainer, checkpoint, data, plan, validation, weight)
            saved, notes = file.open(resume)
            plan = file.plan
        return cls(data, plan, validation, epochs, callbacks, file, every, weight, saved, notes)

    @property
    def resumed(self) -> int:
        """How many epochs are done already."""
        return 0 if self.saved is None else self.saved.epoch

    @property
    def records(self) -> Sequence[Record]:
        """The history of these epochs."""
        return () if self.saved is None else self.saved.history

    def run(self, trainer: Run) -> None:
        """Train, from where the checkpoint ends."""
        trainer.counts.start()
        trainer.updates.drop()
        with taking_part(trainer, self.callbacks, self.file, self.saved, self.notes):
            loop = Loop(
                trainer,
                self.data,
                self.plan,
                self.validation,
                self.callbacks,
                self.file,
                self.every,
                self.weight,
            )
            loop.run(None if self.saved is None else self.saved.progress)
