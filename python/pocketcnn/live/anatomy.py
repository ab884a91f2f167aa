"""What a network is made of, as the page draws it: layers, what each takes, shapes, windows."""

from __future__ import annotations

import math
from typing import Any

from pocketcnn._arguments import pair
from pocketcnn.layers import Dropout, Flatten, Layer, Shape
from pocketcnn.network.graph import INPUT
from pocketcnn.network.net import ConvNet


def describe(net: ConvNet) -> list[dict[str, Any]]:
    """Describe the layers in order.

    Returns
    -------
    list of dict
        `name`, `kind` (its class), `settings` (as Python writes it), `inputs` (names), `shape`,
        `parameters` (how many numbers), `weights` (whether it mixes numbers by weights), and
        `window`: the size of its kernel, or None.
    """
    found = []
    for place, (name, layer, _) in enumerate(net.graph.nodes):
        shapes = layer.param_shapes.values()
        size = getattr(layer, "kernel_size", None)
        found.append(
            {
                "name": name,
                "kind": type(layer).__name__,
                "settings": repr(layer),
                "inputs": net.graph.inputs[name],
                "shape": net.graph.shapes[place + 1],
                "parameters": sum(map(math.prod, shapes)),
                "weights": any(len(shape) > 1 for shape in shapes),
                "window": None if size is None else pair("kernel_size", size),
            }
        )
    return found


def find_layer(net: ConvNet, name: str) -> Layer:
    """Return a layer by its name.

    Raises
    ------
    LookupError
        There is none.
    """
    if name not in net.layers:
        raise LookupError(f"layer is {name!r:.80}, which the network does not have")
    return net.layers[name]


def shape_of(net: ConvNet, name: str) -> Shape:
    """Return the shape of what a layer gives, or of the network's input."""
    return net.graph.shapes[0 if name == INPUT else list(net.layers).index(name) + 1]


def shape_before_flattening(net: ConvNet, name: str) -> Shape:
    """Return the shape that a layer's numbers had before layers that only rearrange them."""
    while name != INPUT and isinstance(net.layers[name], (Flatten, Dropout)):
        name = net.graph.inputs[name][0]
    return shape_of(net, name)
