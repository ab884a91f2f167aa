"""The options of `pocketcnn train`: their names, their values, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from pocketcnn import models, optim
from pocketcnn._text import excerpt
from pocketcnn.commands.datasets import BUILT_IN
from pocketcnn.commands.parser import Parser, not_negative, positive, seed, share, some_share
from pocketcnn.commands.recipe import SCHEDULES, make_augment, make_schedule
from pocketcnn.data.augment import AUGMENTATIONS
from pocketcnn.network.net import ConvNet

MODELS: dict[str, Callable[..., ConvNet]] = {
    "simple_convnet": models.simple_convnet,
    "lenet5": models.lenet5,
    "deep_convnet": models.deep_convnet,
    "alexnet": models.alexnet,
    "vgg16": models.vgg16,
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "mobilenet_v2": models.mobilenet_v2,
    "efficientnet_lite0": models.efficientnet_lite0,
    "compact_resnet": models.compact_resnet,
}

OPTIMIZERS: dict[str, type[optim.Optimizer]] = {
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "sgd": optim.SGD,
    "adagrad": optim.AdaGrad,
    "rmsprop": optim.RMSprop,
}

# The learning rates when none is given. Adam's were compared by training on the built-in digits and
# measuring on MNIST's training images from the 5,001st on, which are not among them: simple_convnet
# at 0.001, 0.002, 0.003, 0.005 with three seeds (96.2, 96.4, 96.5, 96.6%; the lower of the last two
# was chosen), lenet5 and deep_convnet at 0.001 and 0.003. Those for the large networks are the
# usual ones, not measured.
RATES = {"sgd": 0.05, "adagrad": 0.01, "rmsprop": 0.001}
ADAM_RATES = {
    "simple_convnet": 0.003,
    "lenet5": 0.003,
    "deep_convnet": 0.001,
    "alexnet": 0.0001,
    "vgg16": 0.0001,
    "resnet18": 0.001,
    "resnet50": 0.001,
    "mobilenet_v2": 0.001,
    "efficientnet_lite0": 0.001,
    "compact_resnet": 0.001,
}

# The options allowed when a run is continued: none that decides its bits. The images are compared
# with those of the run's beginning, wherever they are now.
RESUMABLE = {"epochs", "data"}


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

    def make_net(self, classes: int, shape: tuple[int, ...]) -> ConvNet:
        """Make the network with its first weights, for images of `shape`."""
        try:
            return MODELS[self.model](classes, input_shape=shape, seed=self.seed)
        except ValueError as error:
            raise ValueError(f"{self.model} does not take images {shape}: {error}") from error

    def make_optimizer(self) -> optim.Optimizer:
        """Make the optimiser."""
        kind = OPTIMIZERS[self.optimizer]
        settings: dict[str, Any] = {"lr": self.lr}
        if self.lr is None:
            adam = issubclass(kind, optim.Adam)
            settings["lr"] = ADAM_RATES[self.model] if adam else RATES[self.optimizer]
        if self.weight_decay is not None:
            settings["weight_decay"] = self.weight_decay
        if kind is optim.SGD:
            settings["momentum"] = 0.9 if self.momentum is None else self.momentum
            settings["nesterov"] = self.nesterov
        return kind(**settings)


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, by name; a folder as an absolute path."""
    values = {field.name: getattr(arguments, field.name) for field in fields(Options)}
    chosen = {name: value for name, value in values.items() if value is not None}
    data = chosen.get("data")
    if data is not None and data not in BUILT_IN and Path(data).is_dir():
        chosen["data"] = str(Path(data).resolve())
    return chosen


def restore(values: Mapping[str, object], source: Path) -> Options:
    """Read the options that a run has stored, with the same checks as the command line.

    Raises
    ------
    ValueError
        An option that `train` does not have, or a value that it does not take; the message names
        `source`.
    """
    unknown = sorted(values.keys() - {field.name for field in fields(Options)})
    if unknown:
        raise ValueError(f"{source} has unknown options {unknown}")
    words = [
        f"--{_flag(name)}" if value is True else f"--{_flag(name)}={value}"
        for name, value in values.items()
        if value is not None and value is not False
    ]
    parser = _Refusing(add_help=False, allow_abbrev=False)
    add_options(parser)
    try:
        return Options(**given(parser.parse_args(words)))
    except ValueError as error:
        raise ValueError(
            f"{source} has options that train does not take: {excerpt(error)}"
        ) from error


def check(parser: Parser, arguments: argparse.Namespace) -> None:
    """Exit with code 2 if options exclude each other."""
    if arguments.resume is not None:
        fixed = [*given(arguments), *(["out"] if arguments.out is not None else [])]
        fixed = [f"--{_flag(name)}" for name in fixed if name not in RESUMABLE]
        if fixed:
            parser.error(f"a resumed run keeps its own options: leave out {', '.join(fixed)}")
        return
    options = Options(**given(arguments))
    if options.optimizer != "sgd" and (options.momentum is not None or options.nesterov):
        parser.error(f"momentum belongs to sgd: {options.optimizer} has none")
    if options.data in BUILT_IN and (options.size is not None or options.channels not in (None, 1)):
        parser.error(
            f"size and channels are for folders of images: {options.data} is grey, 28 x 28"
        )
    try:
        make_schedule(options.schedule, options.warmup)
    except ValueError as error:
        parser.error(str(error))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that decide the bits of a run."""
    _add_network_and_data(parser.add_argument_group("network and data"))
    _add_optimizer(parser.add_argument_group("training"))
    _add_regularization(parser.add_argument_group("regularization"))


def _add_network_and_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", choices=MODELS, help=f"the network ({Options.model})")
    group.add_argument(
        "--data",
        metavar="digits|mnist|FOLDER",
        help="digits: 6,000 images that come with pocketcnn (the default); mnist: all 70,000; or "
        "a folder with a subfolder of images per class, maybe inside train and test",
    )
    group.add_argument("--size", type=positive, metavar="N", help="resize image files to N x N")
    group.add_argument(
        "--channels", type=int, choices=(1, 3, 4), help="read image files as grey, RGB or RGBA (3)"
    )
    group.add_argument(
        "--holdout",
        type=some_share,
        metavar="SHARE",
        help="share of the images to validate on when a folder has no test images of its own "
        f"({Options.holdout})",
    )
    group.add_argument(
        "--validate",
        action="store_const",
        const=True,
        help="measure on images held out of the training images, not on the test images: for "
        "choosing settings",
    )
    group.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help="train on N of the images only, for a quick look",
    )


def _add_optimizer(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--epochs",
        type=positive,
        metavar="N",
        help=f"how often all images are seen ({Options.epochs})",
    )
    group.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help=f"images per update ({Options.batch_size})",
    )
    group.add_argument(
        "--optimizer", choices=OPTIMIZERS, help=f"how weights are updated ({Options.optimizer})"
    )
    rates = ", ".join(f"{name} {rate}" for name, rate in (ADAM_RATES | RATES).items())
    group.add_argument(
        "--lr",
        type=not_negative,
        metavar="RATE",
        help=f"learning rate (adam and adamw by the network, others by the optimizer: {rates})",
    )
    group.add_argument(
        "--momentum",
        type=share,
        metavar="SHARE",
        help="of sgd: share of the last step that is kept (0.9)",
    )
    group.add_argument(
        "--nesterov", action="store_const", const=True, help="of sgd: Nesterov's momentum"
    )
    group.add_argument(
        "--schedule",
        choices=SCHEDULES,
        help=f"how the learning rate runs from its highest to zero ({Options.schedule})",
    )
    group.add_argument(
        "--warmup",
        type=share,
        metavar="SHARE",
        help="share of the run in which the rate rises (cosine 0, one_cycle 0.25)",
    )
    group.add_argument(
        "--seed",
        type=seed,
        metavar="N",
        help=f"of first weights, order of images, dropout ({Options.seed})",
    )


def _add_regularization(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--augment",
        type=_augmentations,
        metavar="WORD[:N],...",
        help="random changes to the training images, in this order; words, some with a number: "
        f"{', '.join(AUGMENTATIONS)}",
    )
    group.add_argument(
        "--weight-decay",
        type=not_negative,
        metavar="X",
        help="pull of the weights to zero (0; adamw 0.01)",
    )
    group.add_argument(
        "--label-smoothing", type=share, metavar="SHARE", help="share of a label given to all (0)"
    )
    group.add_argument(
        "--patience",
        type=positive,
        metavar="N",
        help="stop when the validation loss has not improved for N epochs, and keep the best",
    )


class _Refusing(Parser):
    """Raises an error where the command line would exit with a message."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _augmentations(text: str) -> str:
    try:
        make_augment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _flag(name: str) -> str:
    return name.replace("_", "-")
