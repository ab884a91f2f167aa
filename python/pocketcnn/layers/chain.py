"""The rules for a chain of layers, and what follows from their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pocketcnn._text import excerpt
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Scheme
from pocketcnn.layers.softmax import Softmax
from pocketcnn.layers.weight_layer import WeightLayer


def named_layers(layers: Sequence[tuple[str, Layer]]) -> dict[str, Layer]:
    """Make a dict of the layers; names and objects that occur twice are refused."""
    named: dict[str, Layer] = {}
    seen: set[int] = set()
    for name, layer in layers:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"a layer's name is {name!r}, but must be a string without a dot")
        if name in named:
            raise ValueError(f"two layers are named {name!r}")
        if not isinstance(layer, Layer):
            raise TypeError(f"layer {name!r} is a {type(layer).__name__}, but must be a Layer")
        if id(layer) in seen:
            raise ValueError(f"layer {name!r} is in the network twice: make two layers")
        seen.add(id(layer))
        named[name] = layer
    if not named:
        raise ValueError("a network needs at least one layer")
    return named


def checked_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64 as a numpy.dtype, and raise TypeError for any other."""
    checked = np.dtype(dtype)
    if checked not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype is {checked}, but must be float32 or float64")
    return checked


def every_layer(layers: Mapping[str, Layer]) -> Iterator[tuple[str, Layer]]:
    """All layers by name, each followed by those inside it: "block", "block.body.conv1", ..."""
    for name, layer in layers.items():
        yield name, layer
        for inner, child in every_layer(layer.children):
            yield f"{name}.{inner}", child


def matching_layers(layers: Mapping[str, Layer], patterns: Sequence[str]) -> list[Layer]:
    """The layers whose name, as `every_layer` has it, matches a pattern of `fnmatch`.

    Raises
    ------
    ValueError, TypeError
        A pattern matches none, or there is none.
    """
    named = list(every_layer(layers))
    if not patterns:
        raise ValueError("no pattern is given: wanted names of layers, such as 'conv*'")
    found: list[Layer] = []
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"a pattern is {pattern!r}, but must be a string")
        matching = [layer for name, layer in named if fnmatchcase(name, pattern)]
        if not matching:
            names = excerpt(", ".join(name for name, _ in named), 400)
            raise ValueError(f"no layer's name matches {pattern!r}: there are {names}")
        found += matching
    return found


def every_input_of(name: str, layer: Layer, shape: Any) -> Iterator[tuple[str, Layer, Any]]:
    """A layer and those inside it by name, with the shape of the input of each."""
    yield name, layer, shape
    for inner, inner_shape in layer.child_inputs(shape).items():
        yield from every_input_of(f"{name}.{inner}", layer.children[inner], inner_shape)


def output_shapes(layers: Mapping[str, Layer], input_shape: Shape) -> dict[str, Shape]:
    """Shape of each layer's output; an error names the layer that cannot take its input."""
    shapes: dict[str, Shape] = {}
    shape = input_shape
    for name, layer in layers.items():
        try:
            shapes[name] = shape = layer.output_shape(shape)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error
    return shapes


def require_scores(layers: Mapping[str, Layer], contained: type[Layer] = Softmax) -> None:
    """Raise ValueError if a chain ends in the activation that a loss applies to its output."""
    if isinstance([*layers.values()][-1], contained):
        name = contained.__name__
        raise ValueError(f"the last layer is {name}, but the loss contains it: leave it out")


def auto_schemes(chain: Sequence[Layer], last: Scheme = "xavier") -> list[Scheme]:
    """Say for each layer what ``init="auto"`` means, from the activation that follows it.

    The last weights of a network, which make the scores, have no activation after them: Xavier.
    Weights followed by other weights, without a known activation between them, are treated as
    before a ReLU: He.

    Parameters
    ----------
    chain : sequence of Layer
    last : {"he", "xavier"}
        For weights with neither weights nor an activation after them in the chain.
    """
    schemes: list[Scheme] = []
    scheme = last
    for layer in reversed(chain):
        schemes.append(scheme)
        if layer.preferred_init is not None:
            scheme = layer.preferred_init
        elif isinstance(layer, WeightLayer) or layer.children:
            scheme = "he"
    return schemes[::-1]


def draw_weights(
    layers: Mapping[str, Layer], schemes: Sequence[Scheme], seed: int, dtype: DTypeLike
) -> None:
    """Draw all parameters from one generator, in the order of the layers.

    Parameters
    ----------
    layers : dict of str to Layer
    schemes : sequence of {"he", "xavier"}
        What ``init="auto"`` means for each.
    seed : int
    dtype : float32 or float64

    Raises
    ------
    ValueError
        A layer has weights that would be lost.
    """
    for name, layer in every_layer(layers):
        if layer.has_own_weights():
            raise ValueError(
                f"layer {name!r} has weights already, which seed={seed} would draw anew: "
                "seed=None keeps them, a new layer has none, and net.replace_head gives a trained "
                "network a new last layer"
            )
    rng = np.random.default_rng(seed)
    for layer, scheme in zip(layers.values(), schemes, strict=True):
        layer.initialize(rng, auto=scheme, dtype=dtype)
