"""`pocketcnn filters`, `features`, `patches`, `saliency`: a look inside a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pocketcnn import plot
from pocketcnn.commands.inputs import load_model, load_test_set, read_inputs, scale
from pocketcnn.commands.train import first_convolution
from pocketcnn.layers import Conv2d

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pocketcnn.net import ConvNet


def filters(arguments: argparse.Namespace) -> None:
    """Draw the filters of a convolution."""
    model = load_model(arguments.model)
    name = f"{arguments.layer}.weight" if arguments.layer else first_convolution(model.net)
    layers = [key.removesuffix(".weight") for key, a in model.net.params.items() if a.ndim == 4]
    if name is None or name.removesuffix(".weight") not in layers:
        found = ", ".join(layers) or "none"
        raise ValueError(f"layer {arguments.layer!r} has no filters; those that do: {found}")
    figure = plot.filters(model.net.params[name], channel=arguments.channel)
    name = name.removesuffix(".weight")
    save_picture(figure, arguments.out or model.path.with_name(f"filters-{name}.png"))


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
    save_picture(figure, arguments.out or model.path.with_name("features.png"))


def patches(arguments: argparse.Namespace) -> None:
    """Draw the patches of the test images that excite a layer's filters most."""
    model = load_model(arguments.model)
    layer = arguments.layer or _first_activation(model.net)
    dataset = load_test_set(model, arguments.data)
    figure = plot.top_patches(model.net, scale(dataset.x_test), layer)
    save_picture(figure, arguments.out or model.path.with_name(f"patches-{layer}.png"))


def saliency(arguments: argparse.Namespace) -> None:
    """Draw which pixels and which regions of images speak for their classes."""
    model = load_model(arguments.model)
    x, _ = read_inputs(arguments.images, model.net, invert=arguments.invert)
    target = None
    if arguments.target is not None:
        if arguments.target not in model.classes:
            known = ", ".join(model.classes)
            raise ValueError(f"class {arguments.target!r} is not one of the model's: {known}")
        target = model.classes.index(arguments.target)
    figure = plot.explain(
        model.net, x, target=target, layer=arguments.layer, class_names=model.classes
    )
    save_picture(figure, arguments.out or model.path.with_name("saliency.png"))


def save_picture(figure: Figure, path: Path) -> None:
    """Write a picture, and print where it is."""
    figure.savefig(path)
    print(path)


def _first_activation(net: ConvNet) -> str:
    """Name what follows the first convolution, or that itself where it keeps no activation."""
    names = list(net.layers)
    for place, name in enumerate(names):
        if isinstance(net.layers[name], Conv2d):
            follower = names[min(place + 1, len(names) - 1)]
            return follower if net.layers[follower].preferred_init else name
    return names[0]
