"""The command line: the subcommands, and how errors are reported. The work is in `commands/`.

Exit codes: 0 success, 1 a failure in the run, 2 wrong usage, 130 interrupted (Ctrl-C), 143
terminated. Results go to standard output, the progress bar and errors to standard error; an error
is one line.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from pocketcnn import __version__
from pocketcnn.commands import (
    bench,
    console,
    evaluating,
    exchange,
    live,
    options,
    pictures,
    predicting,
    scaling,
    several,
    tools,
    train,
)
from pocketcnn.commands.completion import SHELLS, PrintCompletion
from pocketcnn.commands.fields import add_fields
from pocketcnn.commands.options import Common
from pocketcnn.commands.parser import (
    Parser,
    WrongUsage,
    add_data,
    add_images,
    add_invert,
    add_model,
    add_out,
    image_shape,
    natural,
    port,
    positive,
)
from pocketcnn.config import set_num_threads

Command = Callable[[argparse.Namespace], "int | None"]
Subparsers: TypeAlias = "argparse._SubParsersAction[Parser]"

_EXAMPLES = """\
examples:
  pocketcnn train                           the built-in digits, in seconds
  pocketcnn train --model deep_convnet --data mnist --epochs 5
  pocketcnn train --data photos --size 32   a folder with a subfolder per class
  pocketcnn train --resume runs/simple_convnet-digits-1 --epochs 40
  pocketcnn predict runs/simple_convnet-digits-1 digits:0 my-digit.png
  pocketcnn predict runs/simple_convnet-digits-1 photos --json > classes.jsonl
  pocketcnn evaluate runs/simple_convnet-digits-1 --confusion --doubtful 20
  pocketcnn features runs/simple_convnet-digits-1 digits:0
  pocketcnn saliency runs/simple_convnet-digits-1 digits:0 digits:1
  pocketcnn export runs/simple_convnet-digits-1 digits.onnx
  pocketcnn live runs/simple_convnet-digits-1
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
    arguments = argparse.Namespace(debug=False)
    try:
        with console.answering():
            try:
                _make_parser().parse_args(argv, arguments)
                code = _run(arguments)
            except SystemExit as leaving:  # argparse has printed the help
                code = int(leaving.code or 0)
            except WrongUsage as error:
                several.end_after(2, sys.argv[1:] if argv is None else argv)
                console.complain(str(error))
                code = 2
            console.flush_output()
            return code
    except BaseException as error:
        if arguments.debug:
            traceback.print_exc()
        return _tell(error)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.check is not None:
        arguments.check(arguments.parser, arguments)
    if arguments.threads is not None:
        try:
            set_num_threads(arguments.threads)
        except ValueError as error:
            arguments.parser.error(f"argument --threads: {error}")
    command: Command = arguments.command
    return command(arguments) or 0


def _tell(error: BaseException) -> int:
    """Print what went wrong in one line; return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        word, code = console.describe_stop(error)
        console.warn(str(error) or word)
        return code
    if isinstance(error, BrokenPipeError) and error.filename is None:
        # The reader of our output has gone (`| head`): there is no one to tell.
        console.abandon_output()
    else:
        console.warn(console.explain(error))
    return 1


def _make_parser() -> Parser:
    parser = Parser(
        prog="pocketcnn",
        description="Train convolutional networks on the CPU, look into them and use them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pocketcnn {__version__}")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        metavar="SHELL",
        help=f"print a script with which a shell completes commands: {', '.join(SHELLS)}",
    )
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="name", required=True
    )
    _add_train(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_filters(commands)
    _add_features(commands)
    _add_patches(commands)
    _add_saliency(commands)
    _add_export(commands)
    _add_import(commands)
    _add_info(commands)
    _add_bench(commands)
    _add_live(commands)
    return parser


def _add(
    commands: Subparsers, name: str, command: Command, about: str, usage: str | None = None
) -> Parser:
    parser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        usage=usage,
        allow_abbrev=False,
    )
    parser.set_defaults(command=command, parser=parser, check=None)
    add_fields(parser, Common)
    return parser


def _add_train(commands: Subparsers) -> None:
    about = "train a network and keep it with its pictures"
    parser = _add(commands, "train", train.train, about, "pocketcnn train [OPTION ...]")
    parser.description = (
        "Train a network. Leaves in runs/<model>-<data>-<number>/ the model, the history and its "
        "pictures. Without options: the simple convnet on the built-in digits."
    )
    options.add_options(parser)
    parser.set_defaults(check=options.check)


def _add_predict(commands: Subparsers) -> None:
    parser = _add(commands, "predict", predicting.predict, "tell the class of images")
    add_model(parser)
    add_images(parser)
    parser.add_argument("--top", type=positive, default=1, metavar="K", help="classes told (1)")
    add_invert(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help='one JSON object a line: "image", "class", "probability" and "top", a list of '
        'classes; or "image" and "error"',
    )


def _add_evaluate(commands: Subparsers) -> None:
    parser = _add(commands, "evaluate", evaluating.evaluate, "measure accuracy on a data set")
    add_model(parser)
    add_data(parser)
    parser.add_argument(
        "--confusion", action="store_true", help="print how often each class was taken for each"
    )
    parser.add_argument(
        "--doubtful",
        type=natural,
        default=0,
        metavar="N",
        help="list the N images whose labels the model finds least probable: mistakes, of the "
        "model or of the labels (0)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object with all numbers and the doubtful images",
    )
    parser.add_argument(
        "--pictures",
        action="store_true",
        help="draw the confusion matrix and the misclassified images (confusion.png and "
        "misclassified.png beside the model)",
    )


def _add_filters(commands: Subparsers) -> None:
    parser = _add(commands, "filters", pictures.filters, "draw the filters of a convolution")
    add_model(parser)
    parser.add_argument("--layer", metavar="NAME", help="which layer (the first convolution)")
    parser.add_argument(
        "--channel", type=natural, default=0, metavar="N", help="which input channel (0)"
    )
    add_out(parser, "filters-<layer>.png")


def _add_features(commands: Subparsers) -> None:
    parser = _add(commands, "features", pictures.features, "draw what each layer makes of an image")
    add_model(parser)
    parser.add_argument("image", metavar="IMAGE", help="an image file, .npy array, or digits:N")
    parser.add_argument("--layers", metavar="NAME,NAME", help="which layers (all with maps)")
    parser.add_argument("--maps", type=positive, default=10, metavar="N", help="maps a layer (10)")
    add_invert(parser)
    add_out(parser, "features.png")


def _add_patches(commands: Subparsers) -> None:
    about = "draw the patches of test images that excite filters most"
    parser = _add(commands, "patches", pictures.patches, about)
    add_model(parser)
    parser.add_argument(
        "--layer", metavar="NAME", help="which layer (the activation of the first convolution)"
    )
    add_data(parser)
    add_out(parser, "patches-<layer>.png")


def _add_saliency(commands: Subparsers) -> None:
    about = "draw which pixels and regions of images speak for their class"
    parser = _add(commands, "saliency", pictures.saliency, about)
    add_model(parser)
    add_images(parser)
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
    add_invert(parser)
    add_out(parser, "saliency.png")


def _add_export(commands: Subparsers) -> None:
    about = "write a model to an ONNX file, for other libraries"
    parser = _add(commands, "export", exchange.export_model, about)
    add_model(parser)
    parser.add_argument("out", type=Path, metavar="OUT.onnx", help="the file to write")
    parser.add_argument(
        "--opset", type=positive, default=17, metavar="N", help="version of ONNX's operators (17)"
    )


def _add_import(commands: Subparsers) -> None:
    about = "make a model of an ONNX file"
    parser = _add(commands, "import", exchange.import_model, about)
    parser.add_argument("file", metavar="IN.onnx", help="the file to read")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors", help="the model to write")
    parser.add_argument(
        "--input-shape",
        type=image_shape,
        metavar="C,H,W",
        help="size of an image (as the file says; needed if it leaves sizes free)",
    )
    parser.add_argument(
        "--output", metavar="NAME", help="which output the model gives (the only one)"
    )


def _add_info(commands: Subparsers) -> None:
    parser = _add(commands, "info", tools.info, "show this installation, or a model")
    told = "a .safetensors or .onnx file, or a run's folder"
    parser.add_argument("model", nargs="?", metavar="MODEL", help=told)
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw the model's architecture (not drawn)"
    )
    parser.set_defaults(check=_check_info)


def _add_bench(commands: Subparsers) -> None:
    parser = _add(commands, "bench", bench.bench, "time the simple convnet on this machine")
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="images a step (100; with --scale 8)"
    )
    parser.add_argument(
        "--repeat", type=positive, metavar="N", help="measurements a row (50; with --scale 3)"
    )
    group = parser.add_argument_group("training on many machines")
    group.add_argument(
        "--scale",
        action="store_true",
        help="predict how fast networks would train on N machines like this one, from a measured "
        "step and a given network",
    )
    for flag, settings in scaling.OPTIONS.items():
        group.add_argument(flag, **settings)


def _add_live(commands: Subparsers) -> None:
    about = "open a local page: draw, look into every layer, train"
    parser = _add(commands, "live", live.live, about)
    told = "a .safetensors or .onnx file, or a run's folder (a network that knows digits)"
    parser.add_argument("model", nargs="?", metavar="MODEL", help=told)
    parser.add_argument(
        "--port", type=port, default=0, metavar="N", help="port of this computer (a free one)"
    )
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="print the address alone"
    )
    parser.add_argument(
        "--static",
        metavar="OUT",
        help="write the page to a folder instead, for any server of static files",
    )
    parser.add_argument(
        "--wasm", metavar="DIR", help="with --static: the folder of the WebAssembly module"
    )
    parser.set_defaults(check=live.check)


def _check_info(parser: Parser, arguments: argparse.Namespace) -> None:
    if arguments.picture is not None and arguments.model is None:
        parser.error("a picture needs a model to draw")
