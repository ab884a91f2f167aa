"""The images that a model is measured on, with labels in the model's own order."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketcnn.commands import console, run
from pocketcnn.commands.datasets import load_dataset, load_new_images
from pocketcnn.commands.inputs import preparation
from pocketcnn.commands.models import Model
from pocketcnn.commands.options import Options, restore
from pocketcnn.commands.sources import KNOWN, Labels, Part, Reading, label_of
from pocketcnn.network.preprocessing import Preprocessing


@dataclass(frozen=True)
class TestSet:
    """Images to measure a model on.

    Attributes
    ----------
    label : str
        What the data set is called.
    title : str
        Which images they are: "the 1,000 test images of digits".
    part : Part
        The images.
    preprocessing : Preprocessing
        How the model takes them.
    t : ndarray of int64 (N,)
        Their labels.
    classes : list of str
        A name for each score of the model.
    present : list of int
        The labels whose classes are in the data set.
    """

    label: str
    title: str
    part: Part
    preprocessing: Preprocessing
    t: Labels
    classes: list[str]
    present: list[int]

    def scaled(self, indices: Iterable[int]) -> NDArray[np.float32]:
        """Read some of the images (N, C, H, W), as the model takes them."""
        return self.preprocessing.scaled(self.part.images(indices))

    def name(self, index: int) -> str:
        """Return what an image is called: its file, or its place in the data set."""
        files = self.part.files
        return f"{self.label}:{index}" if files is None else str(files[index])


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
    preprocessing = preparation(model.net)
    reading = Reading((height, width), channels, preprocessing.resize, options.on_error)
    if model.run is not None and _is_same(name, options.data):
        dataset = load_dataset(
            name,
            share=options.holdout,
            seed=options.seed,
            stratified=run.SPLIT in model.run.data,
            **vars(reading),
        )
        part, classes = dataset.measured.settled(), dataset.classes
        title = f"the {len(part):,} {dataset.test} images of {dataset.name}"
        if not options.validate and model.run.data.get("test", "") not in ("", part.digest()):
            console.warn(
                f"{name} is no longer as it was: images that the model was trained on may be "
                "among those that it is measured on"
            )
    else:
        title, part, classes = load_new_images(name, reading)
    if part.shape != model.net.input_shape:
        raise ValueError(
            f"data {name} has images {part.shape}, but {model.path} takes {model.net.input_shape}"
        )
    present = _labels(classes, model, name)
    names = model.classes if model.named else classes
    return TestSet(
        label_of(name), title, part, preprocessing, np.array(present)[part.labels], names, present
    )


def _is_same(name: str, other: str) -> bool:
    if name in KNOWN or other in KNOWN:
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
