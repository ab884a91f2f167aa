"""The epochs of one `fit`: order, batches, augmentation, callbacks, validation, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.training import divergence
from pocketcnn.training.callbacks import Callback
from pocketcnn.training.history import Record, add_metrics
from pocketcnn.training.run import Run
from pocketcnn.training.run_file import RunFile
from pocketcnn.training.saved_run import Progress
from pocketcnn.training.shares import Plan
from pocketcnn.training.source import Source


@dataclass
class Loop:
    """Trains epoch after epoch.

    Attributes
    ----------
    trainer : Run
    data : Source
    plan : Plan
        How its samples become batches.
    validation : Source or None
    callbacks : sequence of Callback
    file : RunFile or None
        Where checkpoints go.
    every : int or None
        After how many updates of an epoch a checkpoint is written, besides that after each epoch.
    weight : ndarray (N,) or None
        The weight of each sample.
    """

    trainer: Run
    data: Source
    plan: Plan
    validation: Source | None
    callbacks: Sequence[Callback]
    file: RunFile | None = None
    every: int | None = None
    weight: Array | None = None

    def run(self, progress: Progress | None) -> None:
        """Train until all epochs are done or a callback has stopped the run.

        Parameters
        ----------
        progress : Progress or None
            Where in an epoch the run goes on; its state is that of the trainer already.
        """
        trainer = self.trainer
        while trainer.epoch < trainer.epochs and not self._is_over():
            trainer.epoch += 1
            progress = self._begin(progress)
            self._train(progress)
            if trainer.is_paused():
                break
            trainer.updates.finish(trainer.optimizer)
            with trainer.updates.averaged():
                record = self._finish(progress.learning_rate)
                trainer.history.append(record)
                for callback in self.callbacks:
                    callback.on_epoch_end(trainer, record)
            if self.file is not None:
                self.file.write(self.callbacks)
            progress = None
        trainer.updates.settle()

    def _is_over(self) -> bool:
        """Whether the run is to end before the next epoch, for any rank's reason."""
        trainer = self.trainer
        if trainer.ranks.size > 1:
            wishes = trainer.ranks.total([trainer.stop, trainer.pause])
            trainer.stop, trainer.pause = map(bool, wishes)
        return trainer.stop or trainer.pause

    def _begin(self, progress: Progress | None) -> Progress:
        """Begin an epoch, unless the run goes on in the middle of one."""
        trainer = self.trainer
        if progress is not None:
            trainer.steps = progress.steps
            return progress
        trainer.steps = 0
        for callback in self.callbacks:
            callback.on_epoch_begin(trainer)
        trainer.counts.start()
        order = trainer.generators["trainer.order"].bit_generator.state
        return Progress(0, float(trainer.optimizer.lr), order)

    def _train(self, progress: Progress) -> None:
        """Make the updates of an epoch, or of its rest."""
        trainer = self.trainer
        chosen = self.plan.chosen(self._draw_order(progress))[progress.steps :]
        with closing(self.data.batches(chosen)) as batches:
            for indices, (images, targets) in zip(chosen, batches, strict=True):
                self.step(images, targets, None if self.weight is None else self.weight[indices])
                for callback in self.callbacks:
                    callback.on_batch_end(trainer, len(targets))
                paused = trainer.is_paused()
                if paused or (self.every and trainer.steps % self.every == 0):
                    self._save(progress)
                if paused:
                    trainer.pause = True  # on ranks that were not asked, too
                    return

    def _draw_order(self, progress: Progress) -> Array:
        """Draw the epoch's order; of an epoch that goes on, the same order once more."""
        rng = self.trainer.generators["trainer.order"]
        if progress.steps == 0:
            return rng.permutation(self.plan.drawn)
        now = rng.bit_generator.state
        rng.bit_generator.state = progress.order
        order = rng.permutation(self.plan.drawn)
        rng.bit_generator.state = now
        return order

    def step(self, images: Array, targets: Array, weight: Array | None) -> None:
        """Make one update with the augmented batch."""
        trainer = self.trainer
        if len(images):
            images, targets = self._augmented(images, targets)
        # A user's own `step` need not know of weights.
        weights = () if weight is None else (weight,)
        steps = trainer.steps
        try:
            trainer.step(images, targets, *weights)
            trainer.steps = steps + 1  # whatever a user's own `step` does
        except FloatingPointError as error:
            # The images as they were given, if they are the cause.
            found = self.data.describe_not_finite()
            if found is None and trainer.augment is not None:
                found = divergence.describe_not_finite("the augmented batch", images)
            if found:
                raise FloatingPointError(
                    f"the loss became {trainer.loss} in {trainer.place()}: {found}"
                ) from error
            raise

    def _augmented(self, images: Array, targets: Array) -> tuple[Array, Array]:
        augment: Any = self.trainer.augment
        if augment is None:
            return images, targets
        rng = self.trainer.generators["trainer.augment"]
        if not getattr(augment, "mixes", False):
            return augment(images, rng), targets
        if targets.ndim == 1:
            net = self.trainer.net
            labels, targets = targets, np.zeros((len(targets), *net.output_shape), net.dtype)
            targets[np.arange(len(labels)), labels] = 1
        images, targets = augment(images, targets, rng)
        return images, targets

    def _save(self, progress: Progress) -> None:
        """Write a checkpoint in the middle of an epoch."""
        if self.file is not None:
            steps = self.trainer.steps
            self.file.write(self.callbacks, Progress(steps, progress.learning_rate, progress.order))

    def _finish(self, rate: float) -> Record:
        """Measure the epoch that is done."""
        trainer = self.trainer
        trainer.counts.share(trainer.ranks)
        loss, accuracy, speed = trainer.running()
        seconds = trainer.counts.seconds
        if not math.isfinite(loss):  # from a user's own `step`
            raise FloatingPointError(f"the loss became {loss} in {trainer.place()}")
        if found := divergence.describe_parameters(trainer.net):
            raise FloatingPointError(
                f"the weights were spoilt in {trainer.place()}: {found}; "
                "a smaller learning rate may help"
            )
        val_loss, val_accuracy, measured = self._validate()
        record = Record(
            epoch=trainer.epoch,
            loss=loss,
            accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            seconds=seconds,
            images_per_second=speed,
            learning_rate=rate,
        )
        add_metrics(record, trainer.counts.metrics, measured)
        # Times differ a little: callbacks of all ranks shall see the same.
        return cast(Record, trainer.ranks.gather(record)[0])

    def _validate(self) -> tuple[float | None, float | None, Mapping[str, float | None]]:
        if self.validation is None:
            return None, None, {}
        trainer = self.trainer
        found = trainer.evaluate(*self.validation.given)
        loss, accuracy = found
        if not math.isfinite(loss):
            reason = self.validation.explain(trainer.net, trainer.batch_size)
            raise FloatingPointError(
                f"the validation loss became {loss} in epoch {trainer.epoch}: {reason}"
            )
        # A user's own `evaluate` may return a plain pair.
        return loss, accuracy, getattr(found, "metrics", {})
