"""The images that a model is measured on, with labels in the model's own order."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketcnn.commands import console, run
from pocketcnn.commands.datasets import (
    BUILT_IN,
    Images,
    Labels,
    load_dataset,
    load_new_images,
)
from pocketcnn.commands.models import Model
from pocketcnn.commands.options import Options, restore


@dataclass(frozen=True)
class TestSet:
    """Images to measure a model on.

    Attributes
    ----------
    title : str
        Which images they are: "the 1,000 test images of digits".
    x, t : ndarray
        Images and labels.
    classes : list of str
        A name for each score of the model.
    present : list of int
        The labels whose classes are in the data set.
    """

    title: str
    x: Images
    t: Labels
    classes: list[str]
    present: list[int]


def load_test_set(model: Model, name: str | None) -> TestSet:
    """Load the data set `name`, or the one that the model was trained on, in the model's form.

    For the data set that it was trained on, these are the images that training left out; for
    another one its test images, or all if it has no test set.

    Raises
    ------
    ValueError
        The images do not fit the model, or it does not know all of the classes.
    """
    channels, height, width = model.net.input_shape
    options = Options()
    if model.run is not None:
        options = restore(model.run.options, model.path.parent / run.RUN)
    name = options.data if name is None else name
    if model.run is not None and _is_same(name, options.data):
        dataset = load_dataset(
            name,
            size=(height, width),
            channels=channels,
            share=options.holdout,
            seed=options.seed,
        )
        title = f"the {len(dataset.x_test):,} {dataset.test} images of {dataset.name}"
        x, t, classes = dataset.x_test, dataset.t_test, dataset.classes
        if not options.validate and model.run.data.get("test", "") not in ("", run.digest(x, t)):
            console.warn(
                f"{name} is no longer as it was: images that the model was trained on may be "
                "among those that it is measured on"
            )
    else:
        title, x, t, classes = load_new_images(name, (height, width), channels)
    if x.shape[1:] != model.net.input_shape:
        raise ValueError(
            f"data {name} has images {x.shape[1:]}, but {model.path} takes {model.net.input_shape}"
        )
    present = _labels(classes, model, name)
    names = model.classes if model.named else classes
    return TestSet(title, x, np.array(present)[t], names, present)


def _is_same(name: str, other: str) -> bool:
    if name in BUILT_IN or other in BUILT_IN:
        return name == other
    return Path(name).resolve() == Path(other).resolve()


def _labels(classes: list[str], model: Model, name: str) -> list[int]:
    """Return the model's label of each class."""
    if not model.named:
        if len(classes) != len(model.classes):
            raise ValueError(
                f"data {name} has {len(classes)} classes, but {model.path} tells "
                f"{len(model.classes)} apart"
            )
        return list(range(len(classes)))
    # File systems encode accents in different ways.
    known, asked = (
        [unicodedata.normalize("NFC", text) for text in names] for names in (model.classes, classes)
    )
    if not set(asked) <= set(known):
        raise ValueError(
            f"data {name} has other classes than {model.path} knows: "
            f"{run.differences(known, asked)}"
        )
    return [known.index(text) for text in asked]
