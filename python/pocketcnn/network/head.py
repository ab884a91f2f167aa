"""The end of a network: exchanged for a new one, or cut off where the part that is frozen ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from pocketcnn._arguments import integer
from pocketcnn.layers import Conv2d, Layer, Linear
from pocketcnn.layers.chain import every_layer
from pocketcnn.network.graph import Graph


def with_new_head(graph: Graph, num_classes: int, seed: int, dtype: DTypeLike) -> Graph:
    """The graph with another last layer that has weights; see `ConvNet.replace_head`."""
    count, seed = integer("num_classes", num_classes, 1), integer("seed", seed, 0)
    place = _place_of_head(graph)
    name, old, _ = graph.nodes[place]
    outputs = "out_features" if isinstance(old, Linear) else "out_channels"
    head = type(old)(**{**old.config(), outputs: count})
    scheme = graph.init_schemes()[place]
    head.initialize(np.random.default_rng(seed), auto=scheme, dtype=dtype)
    replaced = Graph(graph.entries({**graph.layers, name: head}), graph.shapes[0])
    if replaced.shapes[-1][:1] != (count,):
        raise ValueError(
            f"with {count} outputs of layer {name!r} the network gives {replaced.shapes[-1]}: the "
            "layers behind it do not keep the number of classes"
        )
    return replaced


def _place_of_head(graph: Graph) -> int:
    weighted = [place for place, node in enumerate(graph.nodes) if node.layer.param_shapes]
    if not weighted:
        raise ValueError("no layer has weights: there is no head to replace")
    name, layer, _ = graph.nodes[weighted[-1]]
    pointwise = isinstance(layer, Conv2d) and layer.param_shapes["weight"][1:] == (
        layer.in_channels, 1, 1,
    )  # fmt: skip
    if not isinstance(layer, Linear) and not pointwise:
        raise ValueError(
            f"the last layer with weights, {name!r}, is {layer!r}: wanted a Linear or a Conv2d of "
            "kernel size 1 without groups"
        )
    for place in range(weighted[-1] + 1, len(graph.nodes)):
        if graph.nodes[place].sources != (place,):
            raise ValueError(
                f"layer {graph.nodes[place].name!r} joins what {name!r} gives with something else: "
                "no one layer gives the scores"
            )
    return weighted[-1]


def end_of_frozen_part(graph: Graph) -> str:
    """The last layer up to which nothing changes in training, and on which alone the rest depends.

    Raises
    ------
    ValueError
        There is none, or nothing is left behind it.
    """
    if all(_is_still(node.name, node.layer) for node in graph.nodes):
        raise ValueError(
            "no layer is trained: leave out what is to be from net.freeze, or name a layer"
        )
    found, last_reader = None, 0
    for place, (name, layer, _) in enumerate(graph.nodes):
        if not _is_still(name, layer):
            break
        last_reader = max([last_reader, *graph.readers[place]])
        if last_reader == place:
            found = name
    if found is None:
        raise ValueError(
            "the first layers are not frozen: freeze them with net.freeze, or name a layer"
        )
    return found


def _is_still(name: str, layer: Layer) -> bool:
    """Whether a layer computes the same in every step of a training."""
    return all(
        not inner.trains and (inner.rng is None or inner.frozen)
        for _, inner in every_layer({name: layer})
    )
