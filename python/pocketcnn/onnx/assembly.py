"""The network of the entries that are left."""

from __future__ import annotations

import math

import numpy as np

from pocketcnn import layers
from pocketcnn.network.net import ConvNet
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.folding import MOST_BYTES
from pocketcnn.onnx.fusing import needed
from pocketcnn.onnx.naming import Names
from pocketcnn.onnx.tensors import Entry


def assemble(output: Entry, net: Builder, stored_bytes: int) -> ConvNet:
    """Make the network, and give its layers their weights.

    Parameters
    ----------
    output : Entry
    net : Builder
    stored_bytes : int
        How much the file's tensors take; layers that share one have a copy each.

    Raises
    ------
    ValueError
        The weights take much more memory than the file, or do not fit.
    """
    if output is net.source:  # nothing to compute: a network has a layer all the same
        output = net.add(layers.Reshape(output.shape), output)
    entries = [entry for entry in needed(output) if entry is not net.source]
    numbers = sum(
        math.prod(shape) for entry in entries for shape in entry.layer.state_shapes().values()
    )
    if numbers * net.dtype.itemsize > 2 * stored_bytes + MOST_BYTES:
        raise ValueError(f"its layers need {numbers} weights, of a file of {stored_bytes} bytes")
    names, named = Names(), {id(net.source): "input"}
    rng = np.random.default_rng(0)
    described = []
    for entry in entries:
        name = named[id(entry)] = names.take(entry.hint or type(entry.step).__name__.lower())
        inputs = [named[id(one)] for one in entry.inputs]
        described.append((name, entry.layer, inputs[0] if len(inputs) == 1 else inputs))
        if entry.is_a(layers.Dropout):
            entry.layer.initialize(rng)  # a generator of its own
    result = ConvNet(described, net.source.shape, seed=None, dtype=net.dtype)
    for entry in entries:
        if entry.state:
            entry.layer.set_state({key: read() for key, read in entry.state.items()})
    return result
