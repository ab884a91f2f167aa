"""`pocketcnn train`: one run, from options to a folder with the model and its pictures."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pocketcnn import __version__, models, optim, plot
from pocketcnn.callbacks import Callback, EarlyStopping, ProgressBar, format_seconds
from pocketcnn.commands.inputs import Dataset, load_dataset, read_run, scale
from pocketcnn.commands.recipe import make_augment, make_schedule
from pocketcnn.history import History
from pocketcnn.net import ConvNet
from pocketcnn.trainer import Trainer

MODELS: dict[str, Callable[..., ConvNet]] = {
    "simple_convnet": models.simple_convnet,
    "lenet5": models.lenet5,
    "deep_convnet": models.deep_convnet,
    "alexnet": models.alexnet,
    "vgg16": models.vgg16,
    "resnet18": models.resnet18,
    "compact_resnet": models.compact_resnet,
}

OPTIMIZERS: dict[str, type[optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "adagrad": optim.AdaGrad,
    "rmsprop": optim.RMSprop,
}

# The learning rates when none is given. Adam's were compared by training on the built-in digits
# and measuring on MNIST's training images from the 5,001st on, which are not among them:
# simple_convnet at 0.001, 0.002, 0.003, 0.005 with three seeds (96.2, 96.4, 96.5, 96.6%; the
# lower of the last two was taken), lenet5 and deep_convnet at 0.001 and 0.003. Those for the large
# networks are customary, not measured.
RATES = {"sgd": 0.05, "adagrad": 0.01, "rmsprop": 0.001}
ADAM_RATES = {
    "simple_convnet": 0.003,
    "lenet5": 0.003,
    "deep_convnet": 0.001,
    "alexnet": 0.0001,
    "vgg16": 0.0001,
    "resnet18": 0.001,
    "compact_resnet": 0.001,
}


@dataclass
class Options:
    """What decides the bits of a run; kept in its `run.json`."""

    model: str = "simple_convnet"
    data: str = "digits"
    epochs: int = 20
    batch_size: int = 100
    optimizer: str = "adam"
    lr: float | None = None
    momentum: float | None = None
    nesterov: bool = False
    weight_decay: float | None = None
    schedule: str = "constant"
    warmup: float | None = None
    label_smoothing: float = 0.0
    augment: str | None = None
    patience: int | None = None
    seed: int = 0
    size: int | None = None
    channels: int | None = None
    holdout: float = 0.1
    validate: bool = False
    limit: int | None = None


def train(arguments: argparse.Namespace) -> None:
    """Run the command; see `pocketcnn train --help`."""
    options, folder, resume = _plan(arguments)
    quiet = arguments.quiet
    dataset = load_dataset(
        options.data,
        size=options.size,
        channels=options.channels,
        share=options.holdout,
        seed=options.seed,
        validate=options.validate,
        limit=options.limit,
    )
    net, optimizer = _make_net(options, dataset), _make_optimizer(options)
    folder = _make_folder(folder, options, dataset, resume)
    _write_run(folder, options, dataset)
    _say(quiet, net.summary())
    _say(
        quiet,
        f"\n{options.model} on {dataset.name}: {len(dataset.x_train):,} training and "
        f"{len(dataset.x_test):,} {dataset.test} images, {len(dataset.classes)} classes\n"
        f"{type(optimizer).__name__}, learning rate {optimizer.lr:g} ({options.schedule}), "
        f"batches of {options.batch_size}, seed {options.seed}"
        f"{'' if options.augment is None else f', augmented: {options.augment}'}\n",
    )
    start = time.perf_counter()
    trainer = _fit(net, optimizer, options, dataset, folder, resume, quiet)
    seconds = time.perf_counter() - start
    loss, accuracy = trainer.evaluate(scale(dataset.x_test), dataset.t_test)
    files = _write_results(folder, net, trainer.history, options, dataset)
    epochs, total = len(trainer.history), len(dataset.t_test)
    _write_run(folder, options, dataset, {"epochs": epochs, "loss": loss, "accuracy": accuracy})
    _say(quiet, f"\ntrained {epochs} epoch{'s' * (epochs != 1)} in {format_seconds(seconds)}")
    print(
        f"{dataset.test} accuracy {accuracy:.2%} ({round(accuracy * total):,} of {total:,}), "
        f"loss {loss:.4f}"
    )
    _say(quiet, "\n  ".join([f"{folder}/", *files]))


def _fit(
    net: ConvNet,
    optimizer: optim.Optimizer,
    options: Options,
    dataset: Dataset,
    folder: Path,
    resume: bool,
    quiet: bool,
) -> Trainer:
    # The bar is last, so that the others have the same place in the checkpoint of a quiet run.
    callbacks: list[Callback] = [] if quiet else [ProgressBar()]
    if options.patience is not None:
        callbacks.insert(0, EarlyStopping(patience=options.patience, restore_best=True))
    schedule = make_schedule(options.schedule, options.warmup)
    if schedule is not None:
        callbacks.insert(0, schedule)
    trainer = Trainer(
        net,
        optimizer,
        batch_size=options.batch_size,
        seed=options.seed,
        label_smoothing=options.label_smoothing,
        augment=make_augment(options.augment),
    )
    try:
        trainer.fit(
            scale(dataset.x_train),
            dataset.t_train,
            epochs=options.epochs,
            validation=(scale(dataset.x_test), dataset.t_test),
            callbacks=callbacks,
            checkpoint=folder / "checkpoint.safetensors",
            resume=resume,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted in epoch {trainer.epoch} of {options.epochs}; "
            f"continue with: pocketcnn train --resume {folder}"
        ) from None
    return trainer


def _plan(arguments: argparse.Namespace) -> tuple[Options, Path | None, bool]:
    """Return the options, the folder (None: choose one), and whether a run is resumed."""
    given = {
        field.name: getattr(arguments, field.name)
        for field in fields(Options)
        if getattr(arguments, field.name) is not None
    }
    if arguments.resume is None:
        return Options(**given), arguments.out, False
    folder = Path(arguments.resume)
    stored = read_run(folder).get("options")
    if stored is None:
        raise FileNotFoundError(f"{str(folder)!r} is not the folder of a run: it has no run.json")
    known = {field.name for field in fields(Options)}
    if not stored.keys() <= known:
        raise ValueError(f"{folder}/run.json has unknown options {sorted(stored.keys() - known)}")
    return Options(**{**stored, **given}), folder, True


def _make_net(options: Options, dataset: Dataset) -> ConvNet:
    shape = dataset.x_train.shape[1:]
    try:
        return MODELS[options.model](len(dataset.classes), input_shape=shape, seed=options.seed)
    except ValueError as error:
        raise ValueError(f"{options.model} does not take images {shape}: {error}") from error


def _make_optimizer(options: Options) -> optim.Optimizer:
    kind = OPTIMIZERS[options.optimizer]
    settings: dict[str, Any] = {"lr": options.lr}
    if options.lr is None:
        adam = issubclass(kind, optim.Adam)
        settings["lr"] = ADAM_RATES[options.model] if adam else RATES[options.optimizer]
    if options.weight_decay is not None:
        settings["weight_decay"] = options.weight_decay
    if kind is optim.SGD:
        settings["momentum"] = 0.9 if options.momentum is None else options.momentum
        settings["nesterov"] = options.nesterov
    elif options.momentum is not None or options.nesterov:
        raise ValueError(f"momentum belongs to sgd: {options.optimizer} has none")
    return kind(**settings)


def _make_folder(folder: Path | None, options: Options, dataset: Dataset, resume: bool) -> Path:
    if folder is None:
        stem = f"{options.model}-{dataset.name}"
        number = 1
        while True:
            folder = Path("runs") / f"{stem}-{number}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                number += 1
            else:
                return folder
    if not resume:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{str(folder)!r} exists already: a run is never overwritten")
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_run(
    folder: Path, options: Options, dataset: Dataset, result: dict[str, Any] | None = None
) -> None:
    values = {
        "pocketcnn": __version__,
        "options": asdict(options),
        "classes": dataset.classes,
        "result": result,
    }
    (folder / "run.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _write_results(
    folder: Path, net: ConvNet, history: History, options: Options, dataset: Dataset
) -> list[str]:
    """Write everything a run leaves; return the files' names."""
    net.save(folder / "model.safetensors")
    history.to_csv(folder / "history.csv")
    history.to_json(folder / "history.json")
    files = ["model.safetensors", "checkpoint.safetensors", "history.csv", "history.json"]
    try:
        if len(history):
            plot.curves(history).savefig(folder / "curves.png")
            files.append("curves.png")
        name = first_convolution(net)
        if name is not None:
            # The seed gives the weights that training began with once more.
            before = _make_net(options, dataset).params[name]
            plot.filters(before, net.params[name], change=True).savefig(folder / "filters.png")
            files.append("filters.png")
    except ImportError as error:
        print(f"pocketcnn: no pictures: {error}", file=sys.stderr)
    return files


def first_convolution(net: ConvNet) -> str | None:
    """Return the name of the first parameter that is a set of filters, if there is one."""
    return next((name for name, array in net.params.items() if array.ndim == 4), None)


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        print(text, flush=True)
