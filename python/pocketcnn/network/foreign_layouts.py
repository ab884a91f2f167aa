"""Weights of libraries with images (N, H, W, C), transposed to the layouts of this library.

Keras and MLX order the axes differently:

===========================  ===================  ==================  ===================
weight                       here                 Keras               MLX
===========================  ===================  ==================  ===================
convolution                  (out, in, KH, KW)    (KH, KW, in, out)   (out, KH, KW, in)
depthwise, m outputs each    (in * m, 1, KH, KW)  (KH, KW, in, m)     (in * m, KH, KW, 1)
transposed convolution       (in, out, KH, KW)    (KH, KW, out, in)   (out, KH, KW, in)
linear                       (out, in)            (in, out)           (out, in)
===========================  ===================  ==================  ===================

The first linear layer after a `Flatten` has its inputs in the order (H, W, C).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from pocketcnn._arguments import Array
from pocketcnn._text import excerpt
from pocketcnn.layers import Conv2d, ConvTranspose2d, Flatten, Layer, Linear, Shape
from pocketcnn.layers.chain import every_input_of
from pocketcnn.network.foreign_names import is_kernel
from pocketcnn.network.graph import Graph


class Place(NamedTuple):
    """Layer, key and shape of an array, and the shape that a `Flatten` before it flattens."""

    layer: Layer
    key: str
    shape: Shape
    flattened: Shape | None


def places(graph: Graph) -> dict[str, Place]:
    """Return the place of each parameter and buffer of a network by its name."""
    found: dict[str, Place] = {}
    # For every value, the shape that was flattened on the way to it.
    flattened: list[Shape | None] = [None]
    for node in graph.nodes:
        before = flattened[node.sources[0]]
        # A layer comes before the layers within it, which replace its entries.
        for name, layer, shape in every_input_of(node.name, node.layer, graph.input_shape_of(node)):
            if isinstance(layer, Flatten):
                before = shape
            for key, size in layer.state_shapes().items():
                found[f"{name}.{key}"] = Place(layer, key, size, before)
            if isinstance(layer, Linear):
                before = None
        flattened.append(before)
    return found


def turn(
    arrays: Mapping[str, Array], names: Mapping[str, str], where: Mapping[str, Place]
) -> dict[str, Array]:
    """Transpose arrays of Keras or MLX to this library's layouts, as views if possible.

    If a shape fits both, the name decides if it is Keras' "kernel", otherwise the other weights.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        By the network's names.
    names : mapping of str to str
        The name that each had.
    where : mapping of str to Place

    Returns
    -------
    dict of str to ndarray
        Without the weights that fit neither library.

    Raises
    ------
    ValueError
        A weight could be from either library.
    """
    turned = {name: array for name, array in arrays.items() if not _is_turned(where[name])}
    forms = {
        name: _forms(array, where[name]) for name, array in arrays.items() if name not in turned
    }
    for name, form in forms.items():
        if is_kernel(names[name]):
            form.pop("MLX", None)
    makers = {maker for form in forms.values() if len(form) == 1 for maker in form}
    for name, form in forms.items():
        if len(form) == 2 and len(makers) != 1:
            raise ValueError(
                f"weight {excerpt(names[name], 80)} of shape {arrays[name].shape} could be Keras' "
                "or MLX's, whose axes differ: name Keras' weights 'kernel', or transpose the "
                'weights and leave out layout="NHWC"'
            )
        if form:
            (maker,) = makers if len(form) == 2 else form
            turned[name] = form[maker]
    return turned


def keras_shape(place: Place) -> Shape:
    """The shape of an array in Keras."""
    if not _is_turned(place):
        return place.shape
    out, *rest = place.shape
    return (*rest[1:], rest[0], out)


def _is_turned(place: Place) -> bool:
    return place.key == "weight" and isinstance(place.layer, (Conv2d, ConvTranspose2d, Linear))


def _forms(array: Array, place: Place) -> dict[str, Array]:
    """The array in our layout, by the library that it may be from."""
    if isinstance(place.layer, Conv2d):
        turned = _convolution_forms(array, place.shape, place.layer.groups)
    elif isinstance(place.layer, ConvTranspose2d):
        turned = _transposed_forms(array)
    else:
        turned = _linear_forms(array, place)
    return {maker: form for maker, form in turned.items() if form.shape == place.shape}


def _convolution_forms(array: Array, shape: Shape, groups: int) -> dict[str, Array]:
    if array.ndim != 4:
        return {}
    keras = array.transpose(3, 2, 0, 1)
    if shape[1] == 1 and array.shape == (*shape[2:], groups, shape[0] // groups):  # depthwise
        keras = array.transpose(2, 3, 0, 1).reshape(shape)
    return {"Keras": keras, "MLX": array.transpose(0, 3, 1, 2)}


def _transposed_forms(array: Array) -> dict[str, Array]:
    if array.ndim != 4:
        return {}
    return {"Keras": array.transpose(3, 2, 0, 1), "MLX": array.transpose(3, 0, 1, 2)}


def _linear_forms(array: Array, place: Place) -> dict[str, Array]:
    if array.ndim != 2:
        return {}
    maps = place.flattened
    return {
        maker: form if maps is None or len(maps) != 3 else _by_channels(form, maps)
        for maker, form in (("Keras", array.T), ("MLX", array))
        if form.shape == place.shape
    }


def _by_channels(weight: Array, maps: Shape) -> Array:
    """Reorder columns from (H, W, C) to (C, H, W)."""
    channels, height, width = maps
    if weight.shape[1] != math.prod(maps):
        return weight
    by_pixels = weight.reshape(len(weight), height, width, channels)
    return by_pixels.transpose(0, 3, 1, 2).reshape(weight.shape)
