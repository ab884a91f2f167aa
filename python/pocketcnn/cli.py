"""The command line: what can be asked, and how errors are told. The work is in `commands/`.

Exit codes: 0 success, 1 a failure in the run, 2 wrong usage, 130 interrupted (Ctrl-C).
Results go to standard output, progress and errors to standard error; an error is one line.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from pocketcnn import __version__
from pocketcnn.commands import bench, pictures, tools, train
from pocketcnn.commands.recipe import AUGMENTATIONS, SCHEDULES
from pocketcnn.commands.train import ADAM_RATES, MODELS, OPTIMIZERS, RATES, Options
from pocketcnn.config import set_num_threads

Command = Callable[[argparse.Namespace], None]
Subparsers: TypeAlias = "argparse._SubParsersAction[_Parser]"

# What may change when a run is continued: nothing that decides its bits.
RESUMABLE = {"epochs"}

_EXAMPLES = """\
examples:
  pocketcnn train                                 the built-in digits, in seconds
  pocketcnn train --model deep_convnet --data mnist --epochs 5
  pocketcnn train --data photos/ --size 32        a folder of images, a subfolder a class
  pocketcnn train --resume runs/simple_convnet-digits-1 --epochs 40
  pocketcnn predict runs/simple_convnet-digits-1 digits:0 my-digit.png
  pocketcnn features runs/simple_convnet-digits-1 digits:0
  pocketcnn saliency runs/simple_convnet-digits-1 digits:0 digits:1
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of this process when not given.

    Returns
    -------
    int
        The exit code.
    """
    try:
        arguments = _parse(argv)
    except SystemExit as leaving:  # argparse has printed its line, or the help
        return int(leaving.code or 0)
    command: Command = arguments.command
    try:
        if arguments.threads is not None:
            set_num_threads(arguments.threads)
        command(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        return _fail(str(interrupt) or "interrupted", 130)
    except BrokenPipeError:
        # The reader of our output left (`| head`): nobody is there to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, ImportError, FloatingPointError) as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), 1)
    except MemoryError as error:
        return _fail(f"not enough memory: {error}" if str(error) else "not enough memory", 1)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"pocketcnn: {' '.join(message.split())}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Tells wrong usage in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="pocketcnn",
        description="Train convolutional networks on the CPU, look into them and use them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pocketcnn {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="name", required=True
    )
    train_parser = _add_train(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_filters(commands)
    _add_features(commands)
    _add_patches(commands)
    _add_saliency(commands)
    _add_info(commands)
    _add_bench(commands)
    arguments = parser.parse_args(argv)
    if arguments.command is train.train:
        _check_train(train_parser, arguments)
    return arguments


def _add(commands: Subparsers, name: str, command: Command, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False
    )
    parser.set_defaults(command=command)
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="threads to compute with (all cores)"
    )
    return parser


def _add_train(commands: Subparsers) -> argparse.ArgumentParser:
    default = Options()
    parser = _add(commands, "train", train.train, "train a network and keep it with its pictures")
    parser.description = (
        "Train a network. Leaves in runs/<model>-<data>-<number>/ the model, the history and its "
        "pictures. Without options: the simple convnet on the built-in digits."
    )
    what = parser.add_argument_group("network and data")
    what.add_argument("--model", choices=MODELS, help=f"the network ({default.model})")
    what.add_argument(
        "--data",
        metavar="digits|mnist|FOLDER",
        help="digits: 6,000 images that come with pocketcnn (the default); mnist: all 70,000; or "
        "a folder with a subfolder of images a class, maybe inside train and test",
    )
    what.add_argument("--size", type=_positive, metavar="N", help="resize image files to N x N")
    what.add_argument(
        "--channels", type=int, choices=(1, 3, 4), help="read image files as grey, RGB or RGBA (3)"
    )
    what.add_argument(
        "--holdout",
        type=_share,
        metavar="SHARE",
        help="share of the images to validate on when a folder has no test images of its own "
        f"({default.holdout})",
    )
    what.add_argument(
        "--validate",
        action="store_const",
        const=True,
        help="measure on images held out of the training images, not on the test images: for "
        "choosing settings",
    )
    what.add_argument(
        "--limit",
        type=_positive,
        metavar="N",
        help="train on N of the images only, for a quick look",
    )
    how = parser.add_argument_group("training")
    how.add_argument(
        "--epochs",
        type=_positive,
        metavar="N",
        help=f"how often all images are seen ({default.epochs})",
    )
    how.add_argument(
        "--batch-size", type=_positive, metavar="N", help=f"images an update ({default.batch_size})"
    )
    how.add_argument(
        "--optimizer", choices=OPTIMIZERS, help=f"how weights are updated ({default.optimizer})"
    )
    rates = ", ".join(f"{name} {rate}" for name, rate in (ADAM_RATES | RATES).items())
    how.add_argument(
        "--lr",
        type=_not_negative,
        metavar="RATE",
        help=f"learning rate (adam and adamw by the network, others by the optimizer: {rates})",
    )
    how.add_argument(
        "--momentum",
        type=_share,
        metavar="SHARE",
        help="of sgd: share of the last step that is kept (0.9)",
    )
    how.add_argument(
        "--nesterov", action="store_const", const=True, help="of sgd: Nesterov's momentum"
    )
    how.add_argument(
        "--weight-decay",
        type=_not_negative,
        metavar="X",
        help="pull of the weights to zero (0; adamw 0.01)",
    )
    how.add_argument(
        "--schedule",
        choices=SCHEDULES,
        help=f"how the learning rate runs from its highest to zero ({default.schedule})",
    )
    how.add_argument(
        "--warmup",
        type=_share,
        metavar="SHARE",
        help="share of the run in which the rate rises (cosine 0, one_cycle 0.25)",
    )
    how.add_argument(
        "--augment",
        metavar="WORD[:N],...",
        help="random changes to the training images, in this order; words, some with a number: "
        f"{', '.join(AUGMENTATIONS)}",
    )
    how.add_argument(
        "--label-smoothing", type=_share, metavar="SHARE", help="share of a label given to all (0)"
    )
    how.add_argument(
        "--patience",
        type=_positive,
        metavar="N",
        help="stop when the validation loss has not improved for N epochs, and keep the best",
    )
    how.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"of first weights, order of images, dropout ({default.seed})",
    )
    run = parser.add_argument_group("the run")
    run.add_argument("--out", type=Path, metavar="FOLDER", help="where to leave the results")
    run.add_argument(
        "--resume",
        metavar="FOLDER",
        help="continue an interrupted run with its own options, to the same bits; "
        "--epochs may be raised",
    )
    run.add_argument("--quiet", action="store_true", help="print the result only")
    return parser


def _check_train(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.resume is None:
        return
    fixed = [name for name in (*vars(Options()), "out") if name not in RESUMABLE]
    given = [name for name in fixed if getattr(arguments, name) is not None]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        parser.error(f"a resumed run keeps its own options: leave out {options}")


def _add_predict(commands: Subparsers) -> None:
    parser = _add(commands, "predict", tools.predict, "tell the class of images")
    _add_model(parser)
    _add_images(parser)
    parser.add_argument("--top", type=_positive, default=1, metavar="K", help="classes told (1)")
    _add_invert(parser)


def _add_evaluate(commands: Subparsers) -> None:
    parser = _add(commands, "evaluate", tools.evaluate, "measure accuracy on a data set")
    _add_model(parser)
    _add_data(parser)
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="draw the confusion matrix and the misclassified images (confusion.png and "
        "misclassified.png beside the model)",
    )


def _add_filters(commands: Subparsers) -> None:
    parser = _add(commands, "filters", pictures.filters, "draw the filters of a convolution")
    _add_model(parser)
    parser.add_argument("--layer", metavar="NAME", help="which layer (the first convolution)")
    parser.add_argument(
        "--channel", type=int, default=0, metavar="N", help="which input channel (0)"
    )
    _add_out(parser, "filters-<layer>.png")


def _add_features(commands: Subparsers) -> None:
    parser = _add(commands, "features", pictures.features, "draw what each layer makes of an image")
    _add_model(parser)
    parser.add_argument("image", metavar="IMAGE", help="an image file, .npy array, or digits:N")
    parser.add_argument("--layers", metavar="NAME,NAME", help="which layers (all with maps)")
    parser.add_argument("--maps", type=_positive, default=10, metavar="N", help="maps a layer (10)")
    _add_invert(parser)
    _add_out(parser, "features.png")


def _add_patches(commands: Subparsers) -> None:
    about = "draw the patches of test images that excite filters most"
    parser = _add(commands, "patches", pictures.patches, about)
    _add_model(parser)
    parser.add_argument(
        "--layer", metavar="NAME", help="which layer (the activation of the first convolution)"
    )
    _add_data(parser)
    _add_out(parser, "patches-<layer>.png")


def _add_saliency(commands: Subparsers) -> None:
    about = "draw which pixels and regions of images speak for their class"
    parser = _add(commands, "saliency", pictures.saliency, about)
    _add_model(parser)
    _add_images(parser)
    parser.add_argument(
        "--class",
        dest="target",
        metavar="NAME",
        help="the class that is asked about (for each image the most probable)",
    )
    parser.add_argument(
        "--layer",
        metavar="NAME",
        help="whose maps Grad-CAM weighs (the last that does not shrink them)",
    )
    _add_invert(parser)
    _add_out(parser, "saliency.png")


def _add_info(commands: Subparsers) -> None:
    parser = _add(commands, "info", tools.info, "show this installation, or a model")
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a model file or a run's folder")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw the model's architecture (not drawn)"
    )


def _add_bench(commands: Subparsers) -> None:
    parser = _add(commands, "bench", bench.bench, "time the simple convnet on this machine")
    parser.add_argument(
        "--batch-size", type=_positive, default=100, metavar="N", help="images a step (100)"
    )
    parser.add_argument(
        "--repeat", type=_positive, default=50, metavar="N", help="measurements a row (50)"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .safetensors file or a run's folder")


def _add_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, .npy arrays, or digits:N for one of the built-in test digits",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="digits|mnist|FOLDER", help="as in train (what it was trained on)"
    )


def _add_invert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--invert", action="store_true", help="exchange dark and light: for ink on white paper"
    )


def _add_out(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"the picture ({name} beside the model)"
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 0 and less than 1")
    return value


# argparse names the function in its message for text that is no number at all.
_positive.__name__ = "whole number"
_not_negative.__name__ = _share.__name__ = "number"
