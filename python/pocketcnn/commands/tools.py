"""`pocketcnn predict`, `evaluate`, `filters`, `features`, `info`: what a trained model is for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketcnn import functional as F
from pocketcnn import plot
from pocketcnn.commands.inputs import Labels, Model, load_dataset, load_model, read_inputs, scale
from pocketcnn.commands.train import first_convolution
from pocketcnn.config import show_config
from pocketcnn.losses import count_correct, cross_entropy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """Print accuracy and loss on a data set, and where the model errs."""
    model = load_model(arguments.model)
    options = model.run.get("options", {})
    name = arguments.data or options.get("data", "digits")
    channels, height, width = model.net.input_shape
    size = height if height == width else None
    dataset = load_dataset(
        name,
        size=size,
        channels=channels,
        share=options.get("holdout", 0.1),
        seed=options.get("seed", 0),
    )
    if len(dataset.classes) != len(model.classes):
        raise ValueError(
            f"data {name} has {len(dataset.classes)} classes, but {model.path} tells "
            f"{len(model.classes)} apart"
        )
    t = dataset.t_test
    logits = model.net.predict(scale(dataset.x_test))
    loss, _ = cross_entropy(logits, t)
    hits = count_correct(logits, t)
    print(f"{model.path} on the {len(t):,} {dataset.test} images of {dataset.name}")
    print(f"accuracy {hits / len(t):.2%} ({hits:,} of {len(t):,}), loss {loss:.4f}\n")
    print(_class_table(logits.argmax(axis=1), t, dataset.classes))


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


def filters(arguments: argparse.Namespace) -> None:
    """Draw the filters of a convolution."""
    model = load_model(arguments.model)
    name = f"{arguments.layer}.weight" if arguments.layer else first_convolution(model.net)
    layers = [key.removesuffix(".weight") for key, a in model.net.params.items() if a.ndim == 4]
    if name is None or name.removesuffix(".weight") not in layers:
        found = ", ".join(layers) or "none"
        raise ValueError(f"layer {arguments.layer!r} has no filters; those that do: {found}")
    figure = plot.filters(model.net.params[name], channel=arguments.channel)
    _save(figure, arguments.out or _beside(model, f"filters-{name.removesuffix('.weight')}.png"))


def features(arguments: argparse.Namespace) -> None:
    """Draw what each layer makes of an image."""
    model = load_model(arguments.model)
    x, _ = read_inputs([arguments.image], model.net, invert=arguments.invert)
    if len(x) != 1:
        raise ValueError(f"{arguments.image} holds {len(x)} images: wanted one")
    layers = arguments.layers.split(",") if arguments.layers else None
    figure = plot.feature_maps(
        model.net, x, layers=layers, maps=arguments.maps, class_names=model.classes
    )
    _save(figure, arguments.out or _beside(model, "features.png"))


def info(arguments: argparse.Namespace) -> None:
    """Print what this installation uses, or what a model is."""
    if arguments.model is None:
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


def _beside(model: Model, name: str) -> Path:
    return model.path.with_name(name)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path)
    print(path)
