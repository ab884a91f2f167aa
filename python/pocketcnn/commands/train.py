"""`pocketcnn train`: one run, from options to a folder with the model and its pictures."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pocketcnn import losses, optim, plot
from pocketcnn.commands import console, run, several
from pocketcnn.commands.datasets import Dataset, load_dataset
from pocketcnn.commands.fields import to_toml
from pocketcnn.commands.frozen import Features, kept_layer
from pocketcnn.commands.inputs import Scaled, preparation
from pocketcnn.commands.options import Options, changed, chosen, restore
from pocketcnn.commands.pictures import first_convolution, write_picture
from pocketcnn.commands.recipe import balanced, make_augment, make_schedule, words
from pocketcnn.commands.run import KeepRun, Run
from pocketcnn.commands.several import Ranks
from pocketcnn.commands.sources import Part
from pocketcnn.commands.start import load_base, make_net, make_optimizer, resize_rule
from pocketcnn.config import get_num_threads
from pocketcnn.data import Augment
from pocketcnn.data import Dataset as TrainingData
from pocketcnn.distributed import ScaledRate
from pocketcnn.network.net import ConvNet
from pocketcnn.training.callbacks import Callback, EarlyStopping
from pocketcnn.training.progress import format_seconds
from pocketcnn.training.ranks import Alone, from_first
from pocketcnn.training.shares import Shard
from pocketcnn.training.trainer import Trainer


@dataclass
class Job:
    """All that a run needs, made before its folder is changed."""

    options: Options
    dataset: Dataset
    net: ConvNet
    optimizer: optim.Optimizer
    augment: Augment | None
    frozen: str | None  # the layer whose output is computed once for all images
    comm: Ranks = field(default_factory=Alone)

    @classmethod
    def prepare(cls, options: Options, comm: Ranks, before: Run | None = None) -> Job:
        """Load the data, as for an earlier part of the run, and make everything else to fit."""
        base = load_base(options)
        size: int | tuple[int, int] | None = options.size
        channels = options.channels
        if base is not None:
            channels, height, width = base.net.input_shape
            size = height, width
        dataset = load_dataset(
            options.data,
            size=size,
            channels=channels,
            resize=resize_rule(options, base),
            on_error=options.on_error,
            share=options.holdout,
            seed=options.seed,
            validate=options.validate,
            limit=options.limit,
            stratified=before is None or run.SPLIT in before.data,
        ).settled()
        net = make_net(options, dataset.classes, dataset.training.shape)
        augment = make_augment(options.augment, dataset.training.shape)
        several.apply(options, comm)
        images = len(dataset.training) + len(dataset.measured)
        possible = kept_layer(net, images) if augment is None else None
        frozen = possible if before is None else before.data.get(run.FEATURES)
        return cls(options, dataset, net, make_optimizer(options), augment, frozen, comm)

    @property
    def title(self) -> str:
        """What the network is called."""
        if self.options.from_ is None:
            return str(self.options.model)
        path = Path(self.options.from_)
        if path.name == run.MODEL:
            path = path.parent
        return path.stem if path.is_file() else path.name

    def make_trainer(self) -> Trainer:
        """Make the trainer."""
        options, labels = self.options, self.dataset.training.labels
        settings: dict[str, Any] = {"label_smoothing": options.label_smoothing}
        if options.class_weight is not None:
            weight = balanced(labels, len(self.dataset.classes))
            settings = {"loss": losses.CrossEntropy(options.label_smoothing, weight)}
        return Trainer(
            self.net if self.frozen is None else self.net.head(self.frozen),
            self.optimizer,
            batch_size=options.batch_size,
            seed=options.seed,
            augment=self.augment,
            metrics=words(options.metrics),
            clip_norm=options.clip_norm,
            accumulate=options.accumulate,
            ema=options.ema,
            comm=self.comm,
            sync_batch_norm=options.sync_batch_norm,
            micro_batches=options.micro_batches,
            **settings,
        )

    def describe(self) -> str:
        """Say which network is trained on which data, and how."""
        options, dataset = self.options, self.dataset
        more = "" if options.augment is None else f", augmented: {options.augment}"
        if options.freeze is not None:
            more = f"{more}, frozen: {options.freeze}"
        if self.frozen is not None:
            more = f"{more} (computed once, up to {self.frozen})"
        if self.comm.size > 1:
            threads = get_num_threads()
            more = f"{more}\n{self.comm.size} processes of {threads} thread{'s' * (threads > 1)}"
        return (
            f"{self.title} on {dataset.name}: {len(dataset.training):,} training and "
            f"{len(dataset.measured):,} {dataset.test} images, {len(dataset.classes)} classes\n"
            f"{type(self.optimizer).__name__}, learning rate {self.optimizer.lr:g} "
            f"({options.schedule}), batches of {options.batch_size}, seed {options.seed}{more}"
        )

    def sets(self) -> tuple[TrainingData, TrainingData]:
        """Return what is trained on, and what is measured on, divided among the processes."""
        return self._taken(self.dataset.training), self._taken(self.dataset.measured)

    def _taken(self, part: Part) -> TrainingData:
        data: TrainingData = Scaled(part.dataset, preparation(self.net))
        if self.frozen is not None:
            data = Features(self.net, self.frozen, data)
        return Shard(data, self.comm.rank, self.comm.size) if self.comm.size > 1 else data

    def record(self) -> Run:
        """Return what `run.json` stores before there is a result."""
        dataset = self.dataset
        digests = {"training": dataset.training.digest(), "test": dataset.measured.digest()}
        if dataset.stratified:
            digests[run.SPLIT] = "stratified"
        if self.frozen is not None:
            digests[run.FEATURES] = self.frozen
        return Run(self.options.to_dict(), dataset.classes, digests)


def train(arguments: argparse.Namespace) -> None:
    """Run the command; see `pocketcnn train --help`."""
    with several.ranks(arguments) as comm:
        if arguments.resume is None:
            _begin(arguments, comm)
        else:
            _resume(arguments, comm)


def _begin(arguments: argparse.Namespace, comm: Ranks) -> None:
    options = chosen(arguments)
    out = None if arguments.out is None else Path(arguments.out)
    if out is not None:
        from_first(comm, lambda: run.refuse_used(out))
    job = Job.prepare(options, comm)
    trainer = job.make_trainer()
    made = run.new_folder(out, f"{job.title}-{job.dataset.name}")
    with several.folder_of(comm, made) as folder:
        _run(job, trainer, folder, None, bool(arguments.quiet))


def _resume(arguments: argparse.Namespace, comm: Ranks) -> None:
    folder = Path(arguments.resume)
    with several.folder_of(comm, _hold_run(folder)):
        before = from_first(comm, lambda: _read_run(folder))
        options = replace(restore(before.options, folder / run.RUN), **changed(arguments))
        options.check()
        job = Job.prepare(options, comm, before)
        _run(job, job.make_trainer(), folder, before, bool(arguments.quiet))


@contextmanager
def _hold_run(folder: Path) -> Iterator[Path]:
    """Hold the folder of a run, which must be one."""
    if not (folder / run.RUN).is_file() and not (folder / run.CHECKPOINT).is_file():
        raise FileNotFoundError(
            f"{str(folder)!r} is not the folder of a run: it has no {run.RUN} and no checkpoint"
        )
    with run.hold(folder):
        yield folder


def _read_run(folder: Path) -> Run:
    before = run.read(folder)
    if before is None:
        raise ValueError(
            f"{folder / run.CHECKPOINT} does not say which options it was trained with, and "
            f"{run.RUN} is missing"
        )
    return before


def _run(job: Job, trainer: Trainer, folder: Path, before: Run | None, quiet: bool) -> None:
    several.advise(job.comm, folder)
    if job.comm.rank > 0:
        sets = job.sets()
        pausing = console.pausing(lambda: setattr(trainer, "pause", True))
        with pausing, suppress(several.Paused):  # which rank 0 reports
            _train(job, trainer, sets, folder, [], before is not None)
        return
    record = _write_before(job, folder, before)
    if not quiet:
        console.say(f"{job.net.summary(console.line_length())}\n\n{job.describe()}\n", flush=True)
    try:
        told = _train_and_save(job, trainer, folder, record, before is not None, quiet)
    except KeyboardInterrupt as interrupt:
        interrupt.args = (_how_to_go_on(interrupt, trainer, several.again(job.comm, folder)),)
        raise
    console.say(told, flush=True)
    try:
        files = _draw(job, trainer, folder)
    except KeyboardInterrupt as interrupt:
        word, _ = console.describe_stop(interrupt)
        interrupt.args = (f"{word} while pictures were drawn: the run is finished in {folder}/",)
        raise
    if not quiet:
        names = [run.MODEL, run.CHECKPOINT, run.CONFIG, "history.csv", "history.json", *files]
        console.say("\n  ".join([f"{folder}/", *names]))


def _write_before(job: Job, folder: Path, before: Run | None) -> Run:
    """Write what a run's folder says before the first epoch."""
    record = job.record()
    if before is not None:
        run.compare_data(before, record)
        record = replace(record, result=before.result)
    if record != before or not (folder / run.RUN).is_file():
        run.write(folder, record)
    run.write_config(folder, to_toml(job.options))
    return record


def _train(
    job: Job,
    trainer: Trainer,
    sets: tuple[TrainingData, TrainingData],
    folder: Path,
    callbacks: Sequence[Callback],
    resume: bool,
) -> tuple[float, float]:
    """Train and measure; return loss and accuracy. All processes call it.

    Raises
    ------
    Paused
        A process was asked to stop, and all have, after the same step.
    """
    training, measured = sets
    trainer.fit(
        training,
        epochs=job.options.epochs,
        validation=measured,
        callbacks=[*_callbacks(job), *callbacks],
        checkpoint=folder / run.CHECKPOINT,
        checkpoint_every=job.options.checkpoint_every,
        resume=resume,
    )
    if trainer.pause and not trainer.stop and len(trainer.history) < job.options.epochs:
        raise several.Paused
    loss, accuracy = trainer.evaluate(measured)
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the {job.dataset.test} loss is {loss} after the last epoch: a smaller learning "
            "rate may help"
        )
    return loss, accuracy


def _train_and_save(
    job: Job, trainer: Trainer, folder: Path, record: Run, resume: bool, quiet: bool
) -> str:
    """Train, and write the model, the history and the result; return what to print."""
    dataset, start = job.dataset, time.perf_counter()
    sets = job.sets()
    with console.pausing(lambda: setattr(trainer, "pause", True)) as asked:
        kept = KeepRun(record, asked)
        # The bar is last: the others then have the same places in a quiet run's checkpoint.
        shown = [] if quiet else [console.progress()]
        try:
            loss, accuracy = _train(job, trainer, sets, folder, [kept, *shown], resume)
        except several.Paused as paused:
            raise (asked[0] if asked else KeyboardInterrupt()) from paused
    seconds, epochs = time.perf_counter() - start, len(trainer.history)
    job.net.save(folder / run.MODEL)
    trainer.history.to_csv(folder / "history.csv")
    trainer.history.to_json(folder / "history.json")
    result = {"epochs": epochs, "loss": loss, "accuracy": accuracy}
    run.write(folder, replace(record, result=result))
    total = len(dataset.measured)
    told = (
        f"{dataset.test} accuracy {accuracy:.2%} ({round(accuracy * total):,} of {total:,}), "
        f"loss {loss:.4f}"
    )
    return told if quiet else f"\n{_describe_time(epochs, kept.began, seconds)}\n{told}"


def _callbacks(job: Job) -> list[Callback]:
    callbacks: list[Callback] = []
    options = job.options
    schedule = make_schedule(options.schedule, options.warmup)
    if options.scale_lr and job.comm.size > 1:
        schedule = ScaledRate(job.comm.size, schedule)
    if schedule is not None:
        callbacks.append(schedule)
    if options.patience is not None:
        callbacks.append(EarlyStopping(patience=options.patience, restore_best=True))
    return callbacks


def _describe_time(epochs: int, began: int, seconds: float) -> str:
    """Say how many epochs were trained, and how many of them before this resumed run."""
    trained = epochs - began
    text = f"trained {trained} epoch{'s' * (trained != 1)} in {format_seconds(seconds)}"
    return f"{text}, after {began} before" if began else text


def _how_to_go_on(interrupt: KeyboardInterrupt, trainer: Trainer, again: str) -> str:
    word, _ = console.describe_stop(interrupt)
    done = len(trainer.history) if trainer.pause else trainer.epoch - 1
    if trainer.epoch == 0:
        return f"{word} before the first epoch; continue with: {again}"
    place = f"epoch {trainer.epoch} of {trainer.epochs}"
    if trainer.pause:  # the checkpoint is of that step
        place = f"{place}, after step {trainer.steps}"
    text = f"{word} in {place}; continue with: {again}"
    return f"{text} (with --epochs {done} to keep it as it is)" if done else text


def _draw(job: Job, trainer: Trainer, folder: Path) -> list[str]:
    """Draw how the run went; return the names of the pictures. A failure is only reported."""
    files = []
    try:
        if len(trainer.history):
            write_picture(plot.curves(trainer.history), folder / "curves.png")
            files.append("curves.png")
        name = first_convolution(job.net)
        if name is not None:
            # The seed gives the first weights of the training again.
            first = make_net(job.options, job.dataset.classes, job.net.input_shape)
            picture = plot.filters(first.params[name], job.net.params[name], change=True)
            write_picture(picture, folder / "filters.png")
            files.append("filters.png")
    except Exception as error:  # Matplotlib and its back ends may raise anything
        console.warn(f"no pictures: {console.explain(error)}")
    return files
