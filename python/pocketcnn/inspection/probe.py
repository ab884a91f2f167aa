"""Probe: a copy of a network's layers, for any forward and backward passes.

A network runs its layers fused, and leaves out the gradient of its input. The copy does neither,
and what its layers remember does not affect the network.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import _arguments
from pocketcnn._arguments import Array, as_array
from pocketcnn.layers import Softmax
from pocketcnn.network.flow import Flow, one_by_one
from pocketcnn.network.graph import Graph
from pocketcnn.network.net import ConvNet


class Probe:
    """The layers of a network in inference mode, each run by itself.

    A Softmax at the end is left out: a class's score is the number before it.

    Parameters
    ----------
    net : ConvNet
        Its parameters are copied.
    until : str, optional
        The last layer that is needed; by default all are.

    Raises
    ------
    TypeError, ValueError
        `net` is no network, or `until` not a layer of it.
    """

    def __init__(self, net: ConvNet, until: str | None = None) -> None:
        check_net(net)
        if until is not None:
            check_layer(net, until)
        self._input_shape, self._dtype = net.input_shape, net.dtype
        graph = net.graph if until is None else Graph(net.graph.up_to(until), net.input_shape)
        copies = {name: layer.astype(net.dtype) for name, layer in graph.layers.items()}
        self._graph = Graph(graph.entries(copies), net.input_shape)
        self._runs = one_by_one(self._graph)
        if until is None and isinstance(self._graph.nodes[-1].layer, Softmax):
            del self._runs[-1]

    def input(self, x: ArrayLike) -> Array:
        """Check images (N, *input_shape), and return them in the network's dtype."""
        batch = _arguments.array("x", x)
        if batch.ndim == 0 or batch.shape[1:] != self._input_shape or len(batch) == 0:
            wanted = ", ".join(map(str, ("N", *self._input_shape)))
            raise ValueError(
                f"x has shape {batch.shape}, but the network takes ({wanted}), at least one image"
            )
        return batch.astype(self._dtype, copy=False)

    def outputs(self, x: Array) -> dict[str, Array]:
        """Every layer's output, by its name; the layers remember what `gradient` needs."""
        outputs = self._graph.outputs(x, remember=True)
        return dict(islice(outputs, len(self._runs)))

    def output(self, x: Array) -> Array:
        """The last layer's output; nothing is remembered."""
        return Flow(self._runs).infer(x)

    def gradient(self, grad: Array, layer: str | None = None) -> Array:
        """Propagate a gradient from the scores back to the output of `layer`, or to the input."""
        value = 0 if layer is None else list(self._graph.layers).index(layer) + 1
        gradient = Flow(self._runs[value:]).backward(grad, value=value)
        assert gradient is not None  # the layers are copies, which all compute it
        return gradient


def check_net(net: ConvNet) -> None:
    """Raise TypeError unless `net` is a network."""
    if not isinstance(net, ConvNet):
        raise TypeError(f"net is {net!r:.80}, but must be a ConvNet")


def check_layer(net: ConvNet, name: str) -> None:
    """Raise TypeError or ValueError if `name` is not the name of a layer."""
    if not isinstance(name, str):
        raise TypeError(f"layer is {name!r}, but must be the name of a layer")
    if name not in net.layers:
        raise ValueError(f"layer is {name!r}: wanted one of {', '.join(net.layers)}")


def check_image_net(net: ConvNet) -> None:
    """Raise TypeError or ValueError unless `net` is a network that takes images."""
    check_net(net)
    if len(net.input_shape) != 3:
        raise ValueError(f"net takes {net.input_shape}: wanted images (C, H, W)")


def checked_classes(classes: ArrayLike | None, scores: Array) -> Array:
    """One class per row of scores (N, K): those given, or the ones with the largest score."""
    if scores.ndim != 2:
        raise ValueError(f"the network gives {scores.shape[1:]} an image: wanted a score a class")
    if classes is None:
        winners: Array = scores.argmax(axis=1)
        undecided = np.flatnonzero(np.isnan(scores).any(axis=1))
        if len(undecided):
            raise ValueError(
                f"scores of image {undecided[0]} of x are NaN: no class wins, give classes"
            )
        return winners
    chosen = as_array("classes", classes)
    count = scores.shape[1]
    if chosen.dtype.kind not in "ui":
        raise TypeError(f"classes has dtype {chosen.dtype}: wanted integers")
    if chosen.ndim > 1 or chosen.size not in (1, len(scores)):
        raise ValueError(
            f"classes has shape {chosen.shape}: wanted one class, or one for each of the "
            f"{len(scores)} images"
        )
    if chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(f"classes go from {chosen.min()} to {chosen.max()}: there are {count}")
    return np.broadcast_to(chosen, len(scores))
