"""`pocketcnn predict`, `evaluate`, `info`: the use of a trained model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pocketcnn import functional as F
from pocketcnn import plot
from pocketcnn._text import columns, fit, printable
from pocketcnn.commands import console
from pocketcnn.commands.datasets import Labels
from pocketcnn.commands.inputs import expand, read_input, scale
from pocketcnn.commands.measured import load_test_set
from pocketcnn.commands.models import Model, load_model
from pocketcnn.commands.pictures import picture_path, save_picture
from pocketcnn.config import show_config
from pocketcnn.losses import count_correct, cross_entropy

# Names in a table are cut at this length; one long name would leave no room for the rest.
_LONGEST_NAME = 32
_LONGEST_PATH = 60
# Images that are read and predicted together.
_TOGETHER = 64


def predict(arguments: argparse.Namespace) -> int:
    """Print the most probable classes of each image, one line per image.

    An image that cannot be read is reported on standard error, and the others are predicted.

    Returns
    -------
    int
        1 if there was such an image.
    """
    model = load_model(arguments.model)
    reader = _Reader(model, arguments.images, arguments.invert)
    top = min(arguments.top, len(model.classes))
    names = [printable(name) for name in model.classes]
    name_width = min(_LONGEST_NAME, max(map(columns, names)))
    for x, labels in reader:
        probabilities = F.softmax(model.net.predict(x).astype(np.float64))
        for label, row in zip(labels, probabilities, strict=True):
            best = np.argsort(-row, kind="stable")[:top]
            told = "   ".join(f"{fit(names[k], name_width)} {row[k]:>7.2%}" for k in best)
            shown = printable(label)
            console.say(f"{fit(shown, max(reader.width, columns(shown)))}  {told}")
        console.flush_output()
    return 1 if reader.failed else 0


class _Reader:
    """Yields the images of many names, some at a time, and reports which cannot be read.

    Attributes
    ----------
    width : int
        How many columns most of their labels need.
    failed : bool
        Whether one could not be read so far.
    """

    def __init__(self, model: Model, names: Sequence[str], invert: bool) -> None:
        self.net, self.invert = model.net, invert
        self.failed = False
        self.names = [file for name in names for file in self._files(name)]
        widths = [columns(printable(name)) for name in self.names]
        self.width = min(_LONGEST_PATH, max(widths, default=0))

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], list[str]]]:
        parts: list[NDArray[np.float32]] = []
        labels: list[str] = []
        for name in self.names:
            try:
                x, its_labels = read_input(name, self.net, invert=self.invert)
            except Exception as error:
                self._tell(name, error)
                continue
            parts.append(x)
            labels += its_labels
            if len(labels) >= _TOGETHER:
                yield np.concatenate(parts), labels
                parts, labels = [], []
        if parts:
            yield np.concatenate(parts), labels

    def _files(self, name: str) -> list[str]:
        try:
            return list(expand([name]))
        except (OSError, ValueError) as error:
            self._tell(name, error)
            return []

    def _tell(self, name: str, error: Exception) -> None:
        if isinstance(error, ImportError):
            raise error  # Pillow is missing: the files are not at fault
        self.failed = True
        message = console.explain(error)
        console.warn(message if name in message else f"{name}: {message}")


def evaluate(arguments: argparse.Namespace) -> None:
    """Print accuracy and loss on a data set, and where the model is wrong; optionally draw it."""
    model = load_model(arguments.model)
    test = load_test_set(model, arguments.data)
    x, t = scale(test.x), test.t
    logits = model.net.predict(x)
    if not np.isfinite(logits).all():
        raise FloatingPointError(f"{model.path} gives scores that are not finite")
    loss, _ = cross_entropy(logits, t)
    hits = count_correct(logits, t)
    console.say(f"{model.path} on {test.title}")
    console.say(f"accuracy {hits / len(t):.2%} ({hits:,} of {len(t):,}), loss {loss:.4f}\n")
    console.say(_class_table(logits.argmax(axis=1), t, test.classes, test.present))
    absent = len(test.classes) - len(test.present)
    if absent:
        console.say(f"\n{absent} of the {len(test.classes)} classes have no images here")
    if arguments.pictures:
        console.flush_output()
        names = [printable(name) for name in test.classes]
        matrix = plot.confusion_matrix(logits, t, class_names=names)
        save_picture(matrix, picture_path(None, model, "confusion.png"))
        errors = plot.misclassified(x, logits, t, class_names=names)
        save_picture(errors, picture_path(None, model, "misclassified.png"))


def _class_table(guesses: Labels, t: Labels, classes: list[str], present: Sequence[int]) -> str:
    """Tabulate, for each class, how often it was recognised and its most frequent mistake."""
    names = [printable(name) for name in classes]
    width = min(_LONGEST_NAME, max(5, *map(columns, names)))
    lines = [f"{'class':<{width}}  {'images':>7}  {'right':>7}  mostly taken for"]
    for label in present:
        name, mine = fit(names[label], width), guesses[t == label]
        if len(mine) == 0:
            lines.append(f"{name}  {0:>7}  {'-':>7}")
            continue
        counts = np.bincount(mine, minlength=len(classes))
        right = counts[label] / len(mine)
        counts[label] = 0
        wrong = ", ".join(
            f"{_cut(names[k])} ({counts[k]})"
            for k in np.argsort(-counts, kind="stable")[:3]
            if counts[k]
        )
        lines.append(f"{name}  {len(mine):>7,}  {right:>7.1%}  {wrong}".rstrip())
    return "\n".join(lines)


def _cut(name: str) -> str:
    return fit(name, min(_LONGEST_NAME, columns(name)))


def info(arguments: argparse.Namespace) -> None:
    """Print what this installation uses, or describe a model."""
    if arguments.model is None:
        show_config()
        return
    model = load_model(arguments.model, classifier=False)
    picture = None
    if arguments.picture is not None:
        picture = picture_path(arguments.picture, model, "")
    console.say(f"{model.path} ({model.path.stat().st_size:,} bytes)\n")
    console.say(model.net.summary(console.line_length()))
    console.say(f"\nclasses: {', '.join(map(printable, model.classes))}")
    if model.run is not None:
        chosen = {k: v for k, v in model.run.options.items() if v is not None and v is not False}
        told = [name if value is True else f"{name} {value}" for name, value in chosen.items()]
        console.say(f"trained with: {printable(', '.join(told))}")
        result = model.run.result
        if result is not None:
            console.say(
                f"result: accuracy {result['accuracy']:.2%}, loss {result['loss']:.4f} "
                f"after {result['epochs']} epoch{'s' * (result['epochs'] != 1)}"
            )
    if picture is not None:
        save_picture(plot.architecture(model.net), picture)
