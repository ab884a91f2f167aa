"""`pocketcnn predict`, `evaluate`, `info`: what a trained model is for."""

from __future__ import annotations

import argparse

import numpy as np

from pocketcnn import functional as F
from pocketcnn import plot
from pocketcnn.commands.inputs import Labels, load_model, load_test_set, read_inputs, scale
from pocketcnn.commands.pictures import save_picture
from pocketcnn.config import show_config
from pocketcnn.losses import count_correct, cross_entropy


def predict(arguments: argparse.Namespace) -> None:
    """Print the most probable classes of each image, one line an image."""
    model = load_model(arguments.model)
    x, labels = read_inputs(arguments.images, model.net, invert=arguments.invert)
    probabilities = F.softmax(model.net.predict(x).astype(np.float64))
    top = min(arguments.top, len(model.classes))
    width = max(map(len, labels))
    name_width = max(map(len, model.classes))
    for label, row in zip(labels, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        told = "   ".join(f"{model.classes[k]:<{name_width}} {row[k]:>7.2%}" for k in best)
        print(f"{label:<{width}}  {told}")


def evaluate(arguments: argparse.Namespace) -> None:
    """Print accuracy and loss on a data set, and where the model errs; maybe draw it."""
    model = load_model(arguments.model)
    dataset = load_test_set(model, arguments.data)
    t = dataset.t_test
    x = scale(dataset.x_test)
    logits = model.net.predict(x)
    loss, _ = cross_entropy(logits, t)
    hits = count_correct(logits, t)
    print(f"{model.path} on the {len(t):,} {dataset.test} images of {dataset.name}")
    print(f"accuracy {hits / len(t):.2%} ({hits:,} of {len(t):,}), loss {loss:.4f}\n")
    print(_class_table(logits.argmax(axis=1), t, dataset.classes))
    if arguments.pictures:
        names = dataset.classes
        matrix = plot.confusion_matrix(logits, t, class_names=names)
        save_picture(matrix, model.path.with_name("confusion.png"))
        errors = plot.misclassified(x, logits, t, class_names=names)
        save_picture(errors, model.path.with_name("misclassified.png"))


def _class_table(guesses: Labels, t: Labels, classes: list[str]) -> str:
    """Set out, for each class, how often it was recognised and what it was mostly taken for."""
    width = max(5, *map(len, classes))
    lines = [f"{'class':<{width}}  {'images':>7}  {'right':>7}  mostly taken for"]
    for label, name in enumerate(classes):
        mine = guesses[t == label]
        if len(mine) == 0:
            lines.append(f"{name:<{width}}  {0:>7}  {'-':>7}")
            continue
        counts = np.bincount(mine, minlength=len(classes))
        right = counts[label] / len(mine)
        counts[label] = 0
        wrong = ", ".join(
            f"{classes[k]} ({counts[k]})"
            for k in np.argsort(-counts, kind="stable")[:3]
            if counts[k]
        )
        lines.append(f"{name:<{width}}  {len(mine):>7,}  {right:>7.1%}  {wrong}".rstrip())
    return "\n".join(lines)


def info(arguments: argparse.Namespace) -> None:
    """Print what this installation uses, or what a model is."""
    if arguments.model is None:
        if arguments.picture:
            raise ValueError("a picture needs a model to draw")
        show_config()
        return
    model = load_model(arguments.model)
    print(f"{model.path} ({model.path.stat().st_size:,} bytes)\n")
    print(model.net.summary())
    print(f"\nclasses: {', '.join(model.classes)}")
    if model.run:
        options = {key: value for key, value in model.run["options"].items() if value is not None}
        print("trained with: " + ", ".join(f"{key} {value}" for key, value in options.items()))
    result = model.run.get("result")
    if result:
        print(
            f"result: accuracy {result['accuracy']:.2%}, loss {result['loss']:.4f} "
            f"after {result['epochs']} epochs"
        )
    if arguments.picture:
        save_picture(plot.architecture(model.net), arguments.picture)
