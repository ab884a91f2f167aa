"""`pocketcnn predict`: the classes of images, as lines or as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketcnn import functional as F
from pocketcnn._text import columns, fit, printable
from pocketcnn.commands import console
from pocketcnn.commands.inputs import expand, read_parts
from pocketcnn.commands.models import Model, load_model

# Names in a table are cut at this length; one long name would leave no room for the rest.
LONGEST_NAME = 32
_LONGEST_PATH = 60

# Images that are predicted together: as many as fit into so many bytes, but no more than a few.
_TOGETHER = 64
_BYTES_TOGETHER = 2**26

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Failure:
    """An image that cannot be read."""

    name: str
    message: str


def predict(arguments: argparse.Namespace) -> int:
    """Print the most probable classes of each image, one line per image.

    An image that cannot be read is reported on standard error after the others are predicted.

    Returns
    -------
    int
        1 if there was such an image.
    """
    model = load_model(arguments.model)
    reader = _Reader(model, arguments.images, arguments.invert)
    top = min(arguments.top, len(model.classes))
    tell = _json_teller(model, top) if arguments.json else _line_teller(model, top, reader.width)
    failures: list[Failure] = []
    with console.counter(len(reader.names), "image") as counted:
        for found in reader:
            if isinstance(found, Failure):
                failures.append(found)
                if arguments.json:
                    console.say(json.dumps({"image": found.name, "error": found.message}))
            else:
                x, labels = found
                for label, row in zip(labels, probabilities(model, x), strict=True):
                    console.say(tell(label, row))
            console.flush_output()
            counted(reader.read)
    for failure in failures:
        named = failure.name in failure.message
        console.warn(failure.message if named else f"{failure.name}: {failure.message}")
    return 1 if failures else 0


def probabilities(model: Model, x: NDArray[np.float32]) -> Probabilities:
    """Return the probability of each class for images (N, C, H, W).

    Raises
    ------
    FloatingPointError
        The scores are not finite.
    """
    scores = model.net.predict(x)
    if not np.isfinite(scores).all():
        raise FloatingPointError(f"{model.path} gives scores that are not finite")
    return F.softmax(scores.astype(np.float64))


def images_together(shape: tuple[int, ...]) -> int:
    """Return how many images of a shape are predicted together."""
    return max(1, min(_TOGETHER, _BYTES_TOGETHER // (4 * max(1, int(np.prod(shape))))))


def _line_teller(model: Model, top: int, width: int) -> Callable[[str, Probabilities], str]:
    names = [printable(name) for name in model.classes]
    name_width = min(LONGEST_NAME, max(map(columns, names)))

    def tell(label: str, row: Probabilities) -> str:
        told = "   ".join(f"{fit(names[k], name_width)} {row[k]:>7.2%}" for k in _best(row, top))
        shown = printable(label)
        return f"{fit(shown, max(width, columns(shown)))}  {told}"

    return tell


def _json_teller(model: Model, top: int) -> Callable[[str, Probabilities], str]:
    def tell(label: str, row: Probabilities) -> str:
        found = [{"class": model.classes[k], "probability": float(row[k])} for k in _best(row, top)]
        return json.dumps({"image": label, **found[0], "top": found})

    return tell


def _best(row: Probabilities, top: int) -> list[int]:
    best: list[int] = np.argsort(-row, kind="stable")[:top].tolist()
    return best


class _Reader:
    """Yields the images of many names, some at a time and in order, and those that cannot be read.

    Attributes
    ----------
    names : list of str
        The files and built-in digits.
    read : int
        How many of them have been read.
    width : int
        How many columns most of their labels need.
    """

    def __init__(self, model: Model, names: Sequence[str], invert: bool) -> None:
        self.net, self.invert = model.net, invert
        self.read = 0
        self.failures: list[Failure] = []
        self.names = [file for name in names for file in self._files(name)]
        widths = [columns(printable(name)) for name in self.names]
        self.width = min(_LONGEST_PATH, max(widths, default=0))

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], list[str]] | Failure]:
        yield from self.failures
        together = images_together(self.net.input_shape)
        parts: list[NDArray[np.float32]] = []
        labels: list[str] = []
        for name in self.names:
            self.read += 1
            failure = None
            try:
                for x, its_labels in read_parts(
                    name, self.net, invert=self.invert, at_most=together
                ):
                    parts.append(x)
                    labels += its_labels
                    if len(labels) >= together:
                        yield np.concatenate(parts), labels
                        parts, labels = [], []
            except ImportError:
                raise  # Pillow is missing: the files are not at fault
            except Exception as error:
                failure = Failure(name, console.explain(error))
            if failure is not None:
                if parts:
                    yield np.concatenate(parts), labels
                    parts, labels = [], []
                yield failure
        if parts:
            yield np.concatenate(parts), labels

    def _files(self, name: str) -> list[str]:
        try:
            return list(expand([name]))
        except (OSError, ValueError) as error:  # a folder without images
            self.failures.append(Failure(name, console.explain(error)))
            return []
