"""The options of `pocketcnn train`: their names, their values, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pocketcnn._files.reading import read_toml
from pocketcnn._text import excerpt
from pocketcnn.commands import console
from pocketcnn.commands.fields import add_fields, flag_of, given, key_of, option, read_values
from pocketcnn.commands.parser import (
    Parser,
    not_negative,
    positive,
    seed,
    share,
    some_number,
    some_share,
)
from pocketcnn.commands.recipe import (
    ADAM_RATES,
    MODEL,
    MODELS,
    OPTIMIZERS,
    RATES,
    SCHEDULES,
    make_augment,
    make_schedule,
)
from pocketcnn.commands.sources import KNOWN
from pocketcnn.data.augment import AUGMENTATIONS
from pocketcnn.data.resize import RULES

# The options allowed when a run is continued: none that decides its bits. The images are compared
# with those of the run's beginning, wherever they are now.
RESUMABLE = {"epochs", "data"}

_DATA, _TRAINING, _REGULAR, _RUN = "network and data", "training", "regularization", "the run"
_SEVERAL = "several processes"
_RATES = ", ".join(f"{name} {rate}" for name, rate in RATES.items())

_WORDS = ", ".join(f"{word} ({entry.meaning})" for word, entry in AUGMENTATIONS.items())


def _augmentations(text: str) -> str:
    try:
        make_augment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


@dataclass
class Options:
    """What decides the bits of a run; kept in its `run.json` and `run.toml`."""

    model: str | None = option(
        None,
        f"the network: {', '.join(MODELS)}",
        group=_DATA,
        choices=MODELS,
        metavar="NAME",
        shown=MODEL,
    )
    from_: str | None = option(
        None,
        "begin with a trained model; its last layer is made anew unless it knows the same classes",
        group=_DATA,
        metavar="MODEL",
    )
    freeze: str | None = option(
        None,
        "layers that keep their weights: names, or patterns such as conv*, with commas between "
        "them; a new last layer is not frozen",
        group=_TRAINING,
        metavar="PATTERN,...",
    )
    data: str = option(
        "digits",
        "digits: 6,000 images that come with pocketcnn; mnist: all 70,000; fashion_mnist, cifar10, "
        "cifar100; a folder with a subfolder of images per class, maybe inside train and test; a "
        "folder of IDX files; or an .npz file",
        group=_DATA,
        metavar="NAME|FOLDER",
    )
    size: int | None = option(
        None, "resize image files to N x N", group=_DATA, read=positive, metavar="N"
    )
    channels: int | None = option(
        None,
        "read image files as grey, RGB or RGBA",
        group=_DATA,
        read=int,
        choices=(1, 3, 4),
        shown="3",
    )
    resize: str | None = option(
        None,
        "what is done to image files of another aspect ratio: all of it is stretched, its middle "
        "is cut out, or zeros are put beside it",
        group=_DATA,
        choices=RULES,
        shown="stretch, or as the model of --from",
    )
    on_error: str = option(
        "raise",
        "whether damaged image files end the run, or are left out and listed",
        group=_DATA,
        choices=("raise", "skip"),
    )
    holdout: float = option(
        0.1,
        "share of the images to validate on when a folder has no test images of its own",
        group=_DATA,
        read=some_share,
        metavar="SHARE",
    )
    validate: bool = option(
        False,
        "measure on images held out of the training images, not on the test images: for choosing "
        "settings",
        group=_DATA,
    )
    limit: int | None = option(
        None,
        "train on N of the images only, for a quick look",
        group=_DATA,
        read=positive,
        metavar="N",
    )
    epochs: int = option(
        20, "how often all images are seen", group=_TRAINING, read=positive, metavar="N"
    )
    batch_size: int = option(
        100, "images per update, of each process", group=_TRAINING, read=positive, metavar="N"
    )
    optimizer: str = option("adam", "how weights are updated", group=_TRAINING, choices=OPTIMIZERS)
    lr: float | None = option(
        None,
        "learning rate",
        group=_TRAINING,
        read=not_negative,
        metavar="RATE",
        shown=f"adam and adamw {min(ADAM_RATES.values())} to {max(ADAM_RATES.values())} by the "
        f"network, {_RATES}",
    )
    momentum: float | None = option(
        None,
        "of sgd: share of the last step that is kept",
        group=_TRAINING,
        read=share,
        metavar="SHARE",
        shown="0.9",
    )
    nesterov: bool = option(False, "of sgd: Nesterov's momentum", group=_TRAINING)
    schedule: str = option(
        "constant",
        "how the learning rate runs from its highest to zero",
        group=_TRAINING,
        choices=SCHEDULES,
    )
    warmup: float | None = option(
        None,
        "share of the run in which the rate rises",
        group=_TRAINING,
        read=share,
        metavar="SHARE",
        shown="cosine 0, one_cycle 0.25",
    )
    accumulate: int = option(
        1,
        "batches whose gradients make one update: large batches in little memory",
        group=_TRAINING,
        read=positive,
        metavar="N",
    )
    clip_norm: float | None = option(
        None,
        "largest norm of the gradients, which are scaled down together",
        group=_TRAINING,
        read=some_number,
        metavar="X",
    )
    ema: float | None = option(
        None,
        "keep an average of the weights, of which each update keeps this share, and take it as "
        "the result: 0.999 for some thousand updates",
        group=_TRAINING,
        read=some_share,
        metavar="SHARE",
    )
    metrics: str | None = option(
        None,
        "what is measured besides, with commas between them: top5 (any number), f1, f1_classes",
        group=_TRAINING,
        metavar="NAME,...",
    )
    checkpoint_every: int | None = option(
        None,
        "write a checkpoint after every N updates too",
        group=_TRAINING,
        read=positive,
        metavar="N",
        shown="after every epoch",
    )
    seed: int = option(
        0,
        "of first weights, order of images, dropout",
        group=_TRAINING,
        read=seed,
        metavar="N",
    )
    augment: str | None = option(
        None,
        "random changes to the training images, in this order; words, each maybe with a number: "
        f"{_WORDS}",
        group=_REGULAR,
        read=_augmentations,
        metavar="WORD[:N],...",
    )
    weight_decay: float | None = option(
        None,
        "pull of the weights to zero",
        group=_REGULAR,
        read=not_negative,
        metavar="X",
        shown="0; adamw 0.01",
    )
    class_weight: str | None = option(
        None,
        "balanced: rare classes count as much as common ones, in the training loss and in the "
        "validation loss",
        group=_REGULAR,
        choices=("balanced",),
    )
    label_smoothing: float = option(
        0.0, "share of a label given to all", group=_REGULAR, read=share, metavar="SHARE", shown="0"
    )
    patience: int | None = option(
        None,
        "stop when the validation loss has not improved for N epochs, and keep the best",
        group=_REGULAR,
        read=positive,
        metavar="N",
    )

    scale_lr: bool = option(
        False,
        "with --distributed: multiply the learning rate by the number of processes, after a rise "
        "from the rate of one in the first twentieth of the run",
        group=_SEVERAL,
    )
    sync_batch_norm: bool = option(
        False,
        "with --distributed: normalise the batches of all processes as one",
        group=_SEVERAL,
    )
    micro_batches: int | None = option(
        None,
        "compute a batch of all processes in N parts, a multiple of their number, whose gradients "
        "are added in a fixed order: any number of processes then makes the same updates to the "
        "bit",
        group=_SEVERAL,
        read=positive,
        metavar="N",
        shown="no order",
    )
    compress: str | None = option(
        None,
        "with --distributed: send gradients in half the bytes",
        group=_SEVERAL,
        choices=("bfloat16",),
    )

    def __post_init__(self) -> None:
        if self.model is None and self.from_ is None:
            self.model = MODEL

    def check(self) -> None:
        """Raise ValueError if options exclude each other."""
        if self.from_ is not None:
            mine = {"model": self.model, "size": self.size, "channels": self.channels}
            odd = [flag_of(name) for name, value in mine.items() if value is not None]
            if odd:
                raise ValueError(f"these are those of the model of --from: leave out {odd[0]}")
        if self.optimizer != "sgd" and (self.momentum is not None or self.nesterov):
            raise ValueError(f"momentum belongs to sgd: {self.optimizer} has none")
        if self.data in KNOWN:
            self._check_known()
        make_schedule(self.schedule, self.warmup)

    def _check_known(self) -> None:
        channels, side = KNOWN[self.data]
        if self.size is not None or self.channels not in (None, channels):
            kind = "grey" if channels == 1 else "RGB"
            raise ValueError(
                f"size and channels are for folders of images: {self.data} is {kind}, "
                f"{side} x {side}"
            )
        if self.resize is not None or self.on_error != "raise":
            raise ValueError(
                f"resize and on-error are for folders of images: {self.data} is read as it is"
            )

    def to_dict(self) -> dict[str, object]:
        """Return the values by the names that files have for them."""
        return {key_of(entry.name): getattr(self, entry.name) for entry in fields(self)}


@dataclass
class Place:
    """Where a run comes from and is left, and what it prints."""

    config: str | None = option(
        None,
        "read options from a file, such as the run.toml of another run: their names, with "
        "underscores; what is given here counts more (--no-NAME sets a switch back)",
        group=_RUN,
        metavar="FILE.toml",
    )
    out: str | None = option(
        None,
        "where to leave the results",
        group=_RUN,
        metavar="FOLDER",
        shown="runs/<model>-<data>-<number>",
    )
    resume: str | None = option(
        None,
        "continue an interrupted run with its own options, to the same bits; --epochs may be "
        "raised, and --data tell where its folder of images is now",
        group=_RUN,
        metavar="FOLDER",
    )
    quiet: bool = option(False, "print the result only", group=_RUN)
    distributed: bool = option(
        False,
        "train in all the processes that mpiexec has started: mpiexec -n 4 pocketcnn train "
        "--distributed",
        group=_SEVERAL,
    )


@dataclass
class Common:
    """What every command takes."""

    threads: int | None = option(
        None, "threads to compute with", read=positive, metavar="N", shown="all cores"
    )
    debug: bool = option(False, "show where in the program an error came from")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `train`."""
    add_fields(parser, Options)
    add_fields(parser, Place)


def chosen(arguments: argparse.Namespace) -> Options:
    """Return the options of a new run, with absolute paths."""
    return Options(**_settled(given(arguments, Options)))


def changed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options given to a run that is continued, by name."""
    return _settled(given(arguments, Options))


def _settled(values: dict[str, Any]) -> dict[str, Any]:
    for name in ("data", "from_"):
        path = values.get(name)
        if path is not None and path not in KNOWN and Path(path).exists():
            values[name] = str(Path(path).resolve())
    return values


def restore(values: Mapping[str, object], source: Path) -> Options:
    """Read the options that a run has stored, with the same checks as the command line.

    Raises
    ------
    ValueError
        An option that `train` does not have, or a value that it does not take; the message names
        `source`.
    """
    try:
        options = chosen(read_values(values, Options))
        options.check()
    except ValueError as error:
        raise ValueError(
            f"{source} has options that train does not take: {excerpt(error)}"
        ) from error
    return options


def check(parser: Parser, arguments: argparse.Namespace) -> None:
    """Add the options of `--config`, and exit with code 2 if options exclude each other."""
    if arguments.config is not None:
        _add_config(parser, arguments)
    if arguments.resume is not None:
        fixed = [*given(arguments, Options), *(["out"] if arguments.out is not None else [])]
        fixed = [flag_of(name) for name in fixed if name not in RESUMABLE]
        if fixed:
            parser.error(f"a resumed run keeps its own options: leave out {', '.join(fixed)}")
        return
    try:
        chosen(arguments).check()
    except ValueError as error:
        parser.error(str(error))


def _add_config(parser: Parser, arguments: argparse.Namespace) -> None:
    """Take over those options of a file that were not given on the command line."""
    path = arguments.config
    try:
        values = read_toml(path)
    except (OSError, ValueError, ImportError) as error:
        parser.error(f"argument --config: {console.explain(error)}")
    try:
        if "config" in values:
            raise ValueError("config is for the command line alone")
        found = read_values(values, Options, Place, Common)
    except ValueError as error:
        parser.error(f"{path} has options that train does not take: {excerpt(error)}")
    for name, value in vars(found).items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
