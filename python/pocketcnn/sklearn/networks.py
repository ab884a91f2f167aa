"""The network of an estimator: made by name, given known units, kept as text and arrays."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from pocketcnn import models
from pocketcnn._arguments import Array
from pocketcnn.layers import Conv2d, Flatten, Linear, MaxPool2d, Normalize, ReLU, Reshape, Shape
from pocketcnn.network.graph import INPUT, Entry
from pocketcnn.network.load import assemble
from pocketcnn.network.net import ConvNet
from pocketcnn.network.serialization import build, describe, give_weights, require_fit

Factory: TypeAlias = Callable[..., ConvNet]

SMALL = "small"
_LONGEST = 7  # pixels on the last maps of the small network
_UNITS = "standardize"


def small_network(outputs: int, *, input_shape: Shape, seed: int) -> ConvNet:
    """Convolutions 3x3, as many as halve the image to maps of up to 7x7, and two linear layers.

    The estimators' own default: it takes images of any size, a single pixel too.

    Examples
    --------
    >>> list(small_network(10, input_shape=(1, 8, 8), seed=0).layers)
    ['conv1', 'relu1', 'pool1', 'flatten', 'fc1', 'relu', 'fc2']
    """
    layers: list[Entry] = []
    channels, height, width = input_shape
    for stage in count(1):
        filters = min(16 * 2**stage, 128)
        layers.append((f"conv{stage}", Conv2d(channels, filters, 3, padding="same")))
        layers.append((f"relu{stage}", ReLU()))
        channels = filters
        if max(height, width) > _LONGEST:
            window = min(2, height), min(2, width)
            layers.append((f"pool{stage}", MaxPool2d(window)))
            height, width = height // window[0], width // window[1]
        if max(height, width) <= _LONGEST:
            break
    layers += [
        ("flatten", Flatten()),
        ("fc1", Linear(channels * height * width, 100)),
        ("relu", ReLU()),
        ("fc2", Linear(100, outputs)),
    ]
    return ConvNet(layers, input_shape, seed=seed)


def make_network(network: str | Factory, outputs: int, input_shape: Shape, seed: int) -> ConvNet:
    """Make the network that an estimator's parameter `network` stands for.

    Raises
    ------
    TypeError, ValueError
        It is no name of a network and not callable, or makes something else than a network with
        `outputs` outputs for images of that shape.
    """
    factory = network
    if isinstance(network, str):
        known = {SMALL: small_network} | {name: getattr(models, name) for name in models.__all__}
        if network not in known:
            raise ValueError(f"network is {network!r}: wanted one of {', '.join(known)}")
        factory = known[network]
    if not callable(factory):
        raise TypeError(
            f"network is {network!r}: wanted a name or a callable "
            "(outputs, input_shape=..., seed=...) -> ConvNet"
        )
    net = factory(outputs, input_shape=input_shape, seed=seed)
    if not isinstance(net, ConvNet):
        raise TypeError(f"network made {net!r:.80}, but must make a ConvNet")
    if (net.input_shape, net.output_shape) != (input_shape, (outputs,)):
        raise ValueError(
            f"network made one that takes {net.input_shape} and gives {net.output_shape}, but "
            f"X has images {input_shape}, and wanted are outputs {(outputs,)}"
        )
    return net


def with_input_units(net: ConvNet, mean: Array, std: Array) -> ConvNet:
    """Put a `Normalize` in front of the layers, which are shared with `net`."""
    layers: list[Entry] = [(_UNITS, Normalize(mean.tolist(), std.tolist()))]
    for name, layer, *sources in net.entries:
        renamed = [_UNITS if source == INPUT else source for source in _listed(sources)]
        layers.append((name, layer, renamed) if renamed else (name, layer))
    return ConvNet(layers, net.input_shape, seed=None, dtype=net.dtype)


def with_output_units(net: ConvNet, mean: Array, std: Array) -> ConvNet:
    """Let the outputs be ``mean + std * output``; the layers are shared with `net`."""
    layers = [
        *net.entries,
        ("as_channels", Reshape((len(mean), 1, 1))),
        ("units", Normalize((-mean / std).tolist(), (1 / std).tolist())),
        ("outputs", Flatten()),
    ]
    return ConvNet(layers, net.input_shape, seed=None, dtype=net.dtype)


def to_state(net: ConvNet) -> dict[str, Any]:
    """Return a network as the contents of a model file: a text, and arrays by name."""
    arrays = {**net.params, **net.buffers}
    architecture = describe(net.graph, net.dtype, net.classes)
    return {"architecture": architecture, "arrays": arrays}


def from_state(state: dict[str, Any]) -> ConvNet:
    """Make the network of `to_state`, with arrays of its own.

    Raises
    ------
    ValueError
        The arrays are not those of the network.
    """
    model = build(state["architecture"])
    arrays = {name: np.array(array) for name, array in state["arrays"].items()}
    require_fit(model, arrays)
    give_weights(model, arrays)
    return assemble(model)


def _listed(sources: list[Any]) -> list[str]:
    """The names in the third part of an entry, if there is one."""
    if not sources:
        return []
    return [sources[0]] if isinstance(sources[0], str) else list(sources[0])
