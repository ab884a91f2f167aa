"""`pocketcnn filters`, `features`, `patches`, `saliency`: a look inside a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pocketcnn import inspection, plot
from pocketcnn._files.atomic import write_atomically
from pocketcnn.commands import console
from pocketcnn.commands.inputs import Scaled, read_inputs
from pocketcnn.commands.measured import load_test_set
from pocketcnn.commands.models import Model, load_model
from pocketcnn.layers import Conv2d
from pocketcnn.plot.canvas import picture_kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pocketcnn.network.net import ConvNet


def filters(arguments: argparse.Namespace) -> None:
    """Draw the filters of a convolution."""
    model = load_model(arguments.model)
    name = f"{arguments.layer}.weight" if arguments.layer else first_convolution(model.net)
    layers = [key.removesuffix(".weight") for key, a in model.net.params.items() if a.ndim == 4]
    if name is None or name.removesuffix(".weight") not in layers:
        found = ", ".join(layers) or "none"
        raise ValueError(f"layer {arguments.layer!r} has no filters; those that do: {found}")
    path = picture_path(arguments.out, model, f"filters-{name.removesuffix('.weight')}.png")
    save_picture(plot.filters(model.net.params[name], channel=arguments.channel), path)


def features(arguments: argparse.Namespace) -> None:
    """Draw what each layer makes of an image."""
    model = load_model(arguments.model)
    path = picture_path(arguments.out, model, "features.png")
    x, _ = read_inputs([arguments.image], model.net, invert=arguments.invert)
    if len(x) != 1:
        raise ValueError(f"{arguments.image} holds {len(x)} images: wanted one")
    layers = arguments.layers.split(",") if arguments.layers else None
    figure = plot.feature_maps(
        model.net, x, layers=layers, maps=arguments.maps, class_names=model.classes
    )
    save_picture(figure, path)


def patches(arguments: argparse.Namespace) -> None:
    """Draw the patches of the test images that excite a layer's filters most."""
    model = load_model(arguments.model)
    layer = arguments.layer or _first_activation(model.net)
    path = picture_path(arguments.out, model, f"patches-{layer}.png")
    test = load_test_set(model, arguments.data)
    images = Scaled(test.part.dataset, test.preprocessing)
    save_picture(plot.top_patches(model.net, images, layer), path)


def saliency(arguments: argparse.Namespace) -> None:
    """Draw which pixels and which regions of images speak for their classes."""
    model = load_model(arguments.model)
    path = picture_path(arguments.out, model, "saliency.png")
    target = None
    if arguments.target is not None:
        if arguments.target not in model.classes:
            known = ", ".join(model.classes)
            raise ValueError(f"class {arguments.target!r} is not one of the model's: {known}")
        target = model.classes.index(arguments.target)
    x, labels = read_inputs(arguments.images, model.net, invert=arguments.invert)
    figure = plot.explain(
        model.net, x, target=target, layer=arguments.layer, class_names=model.classes
    )
    save_picture(figure, path)
    regions = inspection.grad_cam(model.net, x, target, layer=arguments.layer)
    for label, region in zip(labels, regions, strict=True):
        if not region.any():
            asked = "the most probable class" if target is None else repr(model.classes[target])
            console.warn(f"{label}: no region speaks for {asked}, so its map is blank")


def first_convolution(net: ConvNet) -> str | None:
    """Return the name of the first parameter that is a set of filters, if there is one."""
    return next((name for name, array in net.params.items() if array.ndim == 4), None)


def picture_path(out: Path | None, model: Model, name: str) -> Path:
    """Return where a picture goes: `out`, or `name` beside the model.

    Raises
    ------
    FileNotFoundError, ValueError
        No file can be there, or Matplotlib does not write its kind; raised before any work.
    """
    if out is None:
        return model.path.with_name(name.replace("/", "-"))
    if not out.suffix:
        out = out.with_name(f"{out.name}.png")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(out.parent)!r} for {out.name}")
    kinds = picture_kinds()
    if out.suffix[1:].lower() not in kinds:
        raise ValueError(f"{out} is no picture that can be written: wanted .{', .'.join(kinds)}")
    return out


def save_picture(figure: Figure, path: Path, *, quiet: bool = False) -> None:
    """Write a picture, and print where it is."""
    write_picture(figure, path)
    if not quiet:
        console.say(str(path))


def write_picture(figure: Figure, path: Path) -> None:
    """Write a picture in the format of the file's ending, in one step."""
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower())


def _first_activation(net: ConvNet) -> str:
    """Name the layer after the first convolution, or that itself if it includes no activation."""
    names = list(net.layers)
    for place, name in enumerate(names):
        if isinstance(net.layers[name], Conv2d):
            follower = names[min(place + 1, len(names) - 1)]
            return follower if net.layers[follower].preferred_init else name
    return names[0]
