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
from pocketcnn.commands.run import RUN, SPLIT
from pocketcnn.commands.sources import Part

if TYPE_CHECKING:
    from pocketcnn.live.collection import Collection
    from pocketcnn.live.server import LiveServer

# Of a larger data set some images are taken: up to so many, and so many bytes of pixels.
_TRAINING, _TEST, _BYTES = 5_000, 1_000, 2**25


def live(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C, which is how it ends."""
    server = _make_server(arguments)
    server.start()
    console.say(f"{server.address}   (Ctrl-C ends)", flush=True)
    if arguments.browser:
        webbrowser.open(server.address)
    try:
        server.wait()
    except console.Terminated:
        raise
    except KeyboardInterrupt:
        console.complain("stopped")
    finally:
        server.stop()


def _make_server(arguments: argparse.Namespace) -> LiveServer:
    try:
        from pocketcnn.live.app import Page
        from pocketcnn.live.server import LiveServer
    except ModuleNotFoundError as error:
        raise ImportError(
            "the page needs Starlette and uvicorn: pip install starlette uvicorn "
            "(pocketcnn's extra `live`)"
        ) from error
    if arguments.model is None:
        net, title, classes = models.deep_convnet(pretrained=True), "deep_convnet", None
        collection = _digits()
    else:
        model = load_model(arguments.model, classifier=False)
        net, title, classes = model.net, _title(model), model.classes
        if len(net.input_shape) != 3:
            raise ValueError(f"{model.path} takes {net.input_shape}: wanted images (C, H, W)")
        collection = _at_hand(model)
    is_classifier = len(net.output_shape) == 1
    names = classes or [str(index) for index in range(net.output_shape[0])]
    page = Page(net, names if is_classifier else None, title, collection)
    return LiveServer(page, arguments.port)


def _title(model: Model) -> str:
    """Name a model by its run's folder, or else by its file."""
    path = model.path.resolve()
    return path.stem if model.run is None else path.parent.name


def _at_hand(model: Model) -> Collection | None:
    """Find the images that a model was trained on, or the built-in digits if they fit."""
    if len(model.net.output_shape) != 1:
        return None
    if model.run is None:
        is_digits = model.net.input_shape == (1, 28, 28) and len(model.classes) == 10
        return _digits() if is_digits and not model.named else None
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
