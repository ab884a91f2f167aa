"""Copies of a network: without residual blocks, and with new weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pocketcnn.layers import Add, Layer, Residual
from pocketcnn.layers.registry import build_layer, describe_layer
from pocketcnn.network.graph import INPUT, Entry
from pocketcnn.network.net import ConvNet


def unfold(net: ConvNet) -> ConvNet:
    """Copy a network so that every layer, also one within a residual block, has a place of its own.

    A block becomes its layers, called ``block/body/conv1``, and an addition with the block's name.
    What a class derived from `Residual` does is not known: it stays whole.

    Returns
    -------
    ConvNet
        With the same results, and arrays of its own.
    """
    twin = net.astype(net.dtype)
    entries: list[Entry] = []
    for node in twin.graph.nodes:
        sources = [twin.graph.nodes[s - 1].name if s else INPUT for s in node.sources]
        entries += _unfolded(node.name, node.layer, sources)
    unfolded = ConvNet(entries, net.input_shape, seed=None, dtype=net.dtype)
    unfolded.classes, unfolded.preprocessing = net.classes, net.preprocessing
    return unfolded


def fresh_copy(net: ConvNet, seed: int = 0) -> ConvNet:
    """Make a network of the same layers with new weights."""
    layers = {name: build_layer(describe_layer(name, layer)) for name, layer in net.layers.items()}
    fresh = ConvNet(net.graph.entries(layers), net.input_shape, seed=seed, dtype=net.dtype)
    fresh.preprocessing = net.preprocessing
    return fresh


def _unfolded(name: str, layer: Layer, sources: list[str]) -> Iterator[Entry]:
    if type(layer) is not Residual:
        yield name, layer, sources
        return
    ends = []
    for word, branch in (("body", layer.body), ("shortcut", layer.shortcut)):
        entries = list(_chained(f"{name}/{word}", branch, sources))
        yield from entries
        ends.append(entries[-1][0] if entries else sources[0])
    yield name, Add(), ends


def _chained(prefix: str, branch: Mapping[str, Layer], sources: list[str]) -> Iterator[Entry]:
    for name, layer in branch.items():
        full = f"{prefix}/{name}"
        yield from _unfolded(full, layer, sources)
        sources = [full]
