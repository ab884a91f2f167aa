"""`pocketcnn live`: a local page on which a network is drawn for, looked into and trained."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketcnn import data, models
from pocketcnn.commands import console
from pocketcnn.commands.datasets import load_dataset
from pocketcnn.commands.inputs import preparation
from pocketcnn.commands.models import Model, load_model
from pocketcnn.commands.options import restore
from pocketcnn.commands.parser import Parser
from pocketcnn.commands.run import RUN, SPLIT
from pocketcnn.commands.sources import Part

if TYPE_CHECKING:
    from pocketcnn.live.app import Page
    from pocketcnn.live.collection import Collection
    from pocketcnn.live.server import LiveServer

# Of a larger data set some images are taken: up to so many, and so many bytes of pixels.
_TRAINING, _TEST, _BYTES = 5_000, 1_000, 2**25

_TEN = [str(digit) for digit in range(10)]


def check(parser: Parser, arguments: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if (arguments.static is None) != (arguments.wasm is None):
        parser.error("--static and --wasm go together")


def live(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C, which is how it ends; or write it as static files."""
    try:
        from pocketcnn.live.server import LiveServer
    except ModuleNotFoundError as error:
        raise ImportError(
            "the page needs Starlette and uvicorn: pip install starlette uvicorn "
            "(pocketcnn's extra `live`)"
        ) from error
    if arguments.static is not None:
        _write(arguments.model, Path(arguments.static), Path(arguments.wasm))
    else:
        _serve(LiveServer(make_page(arguments.model), arguments.port), arguments.browser)


def _serve(server: LiveServer, browser: bool) -> None:
    server.start()
    try:
        console.say(f"{server.address}   (Ctrl-C ends)", flush=True)
        if browser:
            webbrowser.open(server.address)
        server.wait()
    except console.Terminated:
        raise
    except KeyboardInterrupt:
        console.complain("stopped")
    finally:
        server.stop()


def _write(model: str | None, out: Path, module: Path) -> None:
    from pocketcnn.live.publishing import MODULE, publish

    missing = [name for name in MODULE if not (module / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"--wasm {module}: no {missing[0]} there; docs/webassembly.md says how the module "
            "is built"
        )
    publish(make_page(model), module, out)
    console.say(f"wrote {out}; to look at it: python -m http.server --directory {out}")


def make_page(path: str | None) -> Page:
    """Make the page of a model or a run; without one, of a network that knows digits."""
    from pocketcnn.live.app import Page

    if path is None:
        net = models.deep_convnet(pretrained=True)
        # The same digits in a tenth of the time.
        return Page(net, _TEN, "deep_convnet", _digits(), begin="simple_convnet")
    model = load_model(path, classifier=False)
    if len(model.net.input_shape) != 3:
        raise ValueError(f"{model.path} takes {model.net.input_shape}: wanted images (C, H, W)")
    is_classifier = len(model.net.output_shape) == 1
    classes = model.classes if is_classifier else None
    return Page(model.net, classes, _title(model), _at_hand(model) if is_classifier else None)


def _title(model: Model) -> str:
    """Name a model by its run's folder, or else by its file."""
    path = model.path.resolve()
    return path.stem if model.run is None else path.parent.name


def _at_hand(model: Model) -> Collection | None:
    """Find the images that a model was trained on, or the built-in digits if they fit."""
    if model.run is None:
        fits = model.net.input_shape == (1, 28, 28) and model.classes == _TEN
        return _digits() if fits else None
    try:
        return _of_run(model)
    except (OSError, ValueError) as error:
        console.warn(f"{console.explain(error)}; the page has no images to train on")
        return None


def _digits() -> Collection:
    from pocketcnn.live.collection import Collection

    (x, t), (x_test, t_test) = data.digits()
    return Collection("digits", x, t, x_test, t_test)


def _of_run(model: Model) -> Collection:
    from pocketcnn.live.collection import Collection

    assert model.run is not None
    options = restore(model.run.options, model.path.parent / RUN)
    channels, height, width = model.net.input_shape
    found = load_dataset(
        options.data,
        share=options.holdout,
        seed=options.seed,
        stratified=SPLIT in model.run.data,
        size=(height, width),
        channels=channels,
        resize=preparation(model.net).resize,
        on_error="skip",
    )
    if found.classes != model.classes or found.training.shape != model.net.input_shape:
        raise ValueError(f"data {options.data} are not what {model.path} was trained on")
    return Collection(found.name, *_some(found.training, _TRAINING), *_some(found.measured, _TEST))


def _some(part: Part, most: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read some images of a part, drawn at random, and their labels."""
    count = min(len(part), most, max(1, _BYTES // int(np.prod(part.shape))))
    chosen = np.sort(np.random.default_rng(0).permutation(len(part))[:count])
    return part.images(chosen.tolist()), part.labels[chosen]
