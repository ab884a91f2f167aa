"""The images of a run: those it trains on, and those that it is measured on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pocketcnn import data
from pocketcnn.commands.sources import (
    KNOWN,
    Part,
    Reading,
    Source,
    find_parts,
    label_of,
    load_source,
    read_folder,
)

# The warning of `ImageFolder` about classes of very different sizes.
_ONE_SIDED = r"path '.*': ('.*' is the only class|class '.*' has [\d,]+ images, but)"


@dataclass(frozen=True)
class Dataset:
    """Images to train and to measure on, and the names of the classes.

    `test` says what the second part is: "test", or "validation" if it was split off here;
    `stratified` says how.
    """

    name: str
    training: Part
    measured: Part
    classes: list[str]
    test: str = "test"
    stratified: bool = True

    def settled(self) -> Dataset:
        """Return it with its images in memory, unless they are too many."""
        parts = self.training.settled(), self.measured.settled()
        return replace(self, training=parts[0], measured=parts[1])


def load_dataset(
    name: str,
    *,
    share: float,
    seed: int,
    validate: bool = False,
    limit: int | None = None,
    stratified: bool = True,
    **reading: Any,
) -> Dataset:
    """Load a data set for a run.

    Parameters
    ----------
    name : str
        As `load_source` takes it.
    share : float
        Which share of the images is held out when there are no test images, or when `validate`
        says so.
    seed : int
        Decides which images are held out.
    validate : bool, default False
        Do not use the test images: hold out some of the training images instead.
    limit : int, optional
        Keep at most this many training images, drawn at random.
    stratified : bool, default True
        Hold out the same share of every class; False draws as earlier versions did.
    **reading
        As `Reading` takes them.
    """
    source = load_source(name, Reading(**reading))
    training, measured, kind = source.training, source.test, "test"
    if measured is None or validate:
        training, measured = _hold_out(source, share, seed, stratified)
        kind = "validation"
    if limit is not None and limit < len(training):
        kept = np.sort(np.random.default_rng(seed).permutation(len(training))[:limit])
        training = training.take(kept)
    return Dataset(label_of(name), training, measured, source.classes, kind, stratified)


def load_new_images(name: str, reading: Reading) -> tuple[str, Part, list[str]]:
    """Load images that were not trained on: the test images, or all if there is no test set.

    Returns
    -------
    title : str
        Which images they are: "the 1,000 test images of digits".
    part : Part
    classes : list of str
    """
    folder = Path(name)
    test = find_parts(folder)[1] if name not in KNOWN and folder.is_dir() else None
    if test is not None:
        part, classes = read_folder(test, reading)
        return f"the {len(part):,} test images of {label_of(name)}", part, classes
    with warnings.catch_warnings():
        # What matters to a training does not to a measurement.
        warnings.filterwarnings("ignore", _ONE_SIDED, UserWarning)
        source = load_source(name, reading)
    if source.test is not None:
        title = f"the {len(source.test):,} test images of {label_of(name)}"
        return title, source.test, source.classes
    title = f"all {len(source.training):,} images of {label_of(name)}"
    return title, source.training, source.classes


def _hold_out(source: Source, share: float, seed: int, stratified: bool) -> tuple[Part, Part]:
    part = source.training
    count = round(len(part) * share)
    if not 0 < count < len(part):
        raise ValueError(f"a share of {share} of {len(part)} images leaves no images to hold out")
    if stratified:
        kept, held = (each.indices for each in data.split(part.dataset, share, seed))
    else:
        order = np.random.default_rng(seed).permutation(len(part))
        held, kept = np.sort(order[:count]), np.sort(order[count:])
    return part.take(kept), part.take(held)
