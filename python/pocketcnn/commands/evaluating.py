"""`pocketcnn evaluate`: how well a model knows the classes of a data set, and where it is wrong."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketcnn import functional as F
from pocketcnn import inspection, plot
from pocketcnn._text import columns, fit, printable
from pocketcnn.commands import console
from pocketcnn.commands.measured import TestSet, load_test_set
from pocketcnn.commands.models import Model, load_model
from pocketcnn.commands.pictures import picture_path, save_picture
from pocketcnn.commands.predicting import LONGEST_NAME, images_together
from pocketcnn.losses import count_correct, cross_entropy

# A matrix of more classes has no room in a terminal.
_LARGEST_MATRIX = 20
# How many misclassified images are drawn.
_DRAWN = 24


@dataclass(frozen=True)
class Doubt:
    """An image whose label the model finds improbable.

    Attributes
    ----------
    image : str
    truth, guess : str
        Classes.
    probability, of_truth : float
        Of the guess, and of the truth.
    """

    image: str
    truth: str
    guess: str
    probability: float
    of_truth: float


def evaluate(arguments: argparse.Namespace) -> None:
    """Print accuracy and loss on a data set, and where the model is wrong; optionally draw it."""
    model = load_model(arguments.model)
    test = load_test_set(model, arguments.data)
    logits = _score(model, test)
    loss, _ = cross_entropy(logits, test.t)
    hits = count_correct(logits, test.t)
    doubts = _doubts(logits, test, arguments.doubtful)
    if arguments.json:
        console.say(_as_json(model, test, logits, loss, doubts))
    else:
        console.say(f"{model.path} on {test.title}")
        count = len(test.t)
        console.say(f"accuracy {hits / count:.2%} ({hits:,} of {count:,}), loss {loss:.4f}\n")
        console.say(_class_table(logits.argmax(axis=1), test))
        absent = len(test.classes) - len(test.present)
        if absent:
            console.say(f"\n{absent} of the {len(test.classes)} classes have no images here")
        if arguments.confusion:
            console.say(f"\n{_matrix(inspection.confusion_matrix(logits, test.t), test.classes)}")
        if doubts:
            console.say(f"\n{_doubt_table(doubts)}")
    if arguments.pictures:
        console.flush_output()
        _draw(model, test, logits, quiet=arguments.json)


def _score(model: Model, test: TestSet) -> NDArray[np.floating]:
    """Return the scores (N, K) of all images, which are read some at a time."""
    together = images_together(model.net.input_shape)
    parts = []
    with console.counter(len(test.t), "image") as counted:
        for start in range(0, len(test.t), together):
            stop = min(start + together, len(test.t))
            parts.append(model.net.predict(test.scaled(range(start, stop))))
            counted(stop)
    logits: NDArray[np.floating] = np.concatenate(parts)
    if not np.isfinite(logits).all():
        raise FloatingPointError(f"{model.path} gives scores that are not finite")
    return logits


def _doubts(logits: NDArray[np.floating], test: TestSet, count: int) -> list[Doubt]:
    """Return the images whose labels are the least probable, and these first."""
    rows = F.softmax(logits.astype(np.float64))
    of_truth = rows[np.arange(len(rows)), test.t]
    return [
        Doubt(
            test.name(index),
            test.classes[test.t[index]],
            test.classes[guess := int(rows[index].argmax())],
            float(rows[index, guess]),
            float(of_truth[index]),
        )
        for index in np.argsort(of_truth, kind="stable")[:count].tolist()
    ]


def _as_json(
    model: Model, test: TestSet, logits: NDArray[np.floating], loss: float, doubts: list[Doubt]
) -> str:
    matrix = inspection.confusion_matrix(logits, test.t)
    values = {
        "model": str(model.path),
        "data": test.title,
        "images": len(test.t),
        "accuracy": count_correct(logits, test.t) / len(test.t),
        "loss": loss,
        "classes": test.classes,
        "confusion": matrix.tolist(),
        "doubtful": [
            {
                "image": doubt.image,
                "truth": doubt.truth,
                "guess": doubt.guess,
                "probability": doubt.probability,
                "probability_of_truth": doubt.of_truth,
            }
            for doubt in doubts
        ],
    }
    return json.dumps(values, allow_nan=False)


def _draw(model: Model, test: TestSet, logits: NDArray[np.floating], *, quiet: bool) -> None:
    names = [printable(name) for name in test.classes]
    matrix = plot.confusion_matrix(logits, test.t, class_names=names)
    save_picture(matrix, picture_path(None, model, "confusion.png"), quiet=quiet)
    # Only the images that are drawn are read again.
    wrong = inspection.misclassified(logits, test.t)
    shown = wrong[:_DRAWN]
    errors = plot.misclassified(
        test.scaled(shown), logits[shown], test.t[shown], count=_DRAWN, class_names=names
    )
    errors.suptitle(f"{len(wrong):,} of {len(test.t):,} misclassified", fontsize=12)
    save_picture(errors, picture_path(None, model, "misclassified.png"), quiet=quiet)


def _class_table(guesses: NDArray[np.int64], test: TestSet) -> str:
    """Tabulate, for each class, how often it was recognised and its most frequent mistake."""
    names = [printable(name) for name in test.classes]
    width = min(LONGEST_NAME, max(5, *map(columns, names)))
    lines = [f"{'class':<{width}}  {'images':>7}  {'right':>7}  mostly taken for"]
    for label in test.present:
        name, mine = fit(names[label], width), guesses[test.t == label]
        if len(mine) == 0:
            lines.append(f"{name}  {0:>7}  {'-':>7}")
            continue
        counts = np.bincount(mine, minlength=len(names))
        right = counts[label] / len(mine)
        counts[label] = 0
        wrong = ", ".join(
            f"{_cut(names[k])} ({counts[k]})"
            for k in np.argsort(-counts, kind="stable")[:3]
            if counts[k]
        )
        lines.append(f"{name}  {len(mine):>7,}  {right:>7.1%}  {wrong}".rstrip())
    return "\n".join(lines)


def _matrix(counts: NDArray[np.int64], classes: list[str]) -> str:
    """Write a confusion matrix: rows are the truth, columns the guess; a dot is zero."""
    if len(classes) > _LARGEST_MATRIX:
        return (
            f"the confusion matrix of {len(classes)} classes is too large for text: "
            "--json has its numbers, --pictures draws it"
        )
    names = [printable(name) for name in classes]
    cell = max(3, len(str(counts.max())))
    marks = names
    if max(map(columns, names)) > cell:  # the columns are numbered
        marks = [str(number) for number in range(1, len(names) + 1)]
        names = [f"{mark:>2} {name}" for mark, name in zip(marks, names, strict=True)]
    width = min(LONGEST_NAME, max(5, *map(columns, names)))
    lines = [f"{'truth':<{width}}{_cells(marks, cell)}  guess"]
    for name, row in zip(names, counts.tolist(), strict=True):
        lines.append(fit(name, width) + _cells([str(number or ".") for number in row], cell))
    return "\n".join(lines)


def _cells(texts: list[str], width: int) -> str:
    return "".join(" " * (1 + width - columns(text)) + text for text in texts)


def _doubt_table(doubts: list[Doubt]) -> str:
    """Tabulate images whose labels are improbable."""
    cells = [
        (printable(doubt.truth), printable(doubt.guess), printable(doubt.image)) for doubt in doubts
    ]
    widths = [
        min(LONGEST_NAME, max(5, *(columns(row[column]) for row in cells))) for column in (0, 1)
    ]
    lines = [f"{'truth':<{widths[0]}}  {'':>7}  {'guess':<{widths[1]}}  {'':>7}  image"]
    for (truth, guess, image), doubt in zip(cells, doubts, strict=True):
        lines.append(
            f"{fit(truth, widths[0])}  {doubt.of_truth:>7.2%}  "
            f"{fit(guess, widths[1])}  {doubt.probability:>7.2%}  {image}"
        )
    return "\n".join(lines)


def _cut(name: str) -> str:
    return fit(name, min(LONGEST_NAME, columns(name)))
