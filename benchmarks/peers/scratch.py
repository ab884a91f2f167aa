"""pocketcnn with the book's interface, `pocketcnn.scratch`."""

from __future__ import annotations

from typing import Any

import pocketcnn as pc
from benchmarks.description import LEARNING_RATE, Array, Network, Subject
from pocketcnn import scratch


def training(network: Network) -> Subject:
    """Build a step of gradient and SGD update, as the book's scripts take them."""
    pc.set_num_threads(network.threads)
    kinds = {"simple_convnet": scratch.SimpleConvNet, "deep_convnet": scratch.DeepConvNet}
    net = kinds[network.model]()
    weighted = [name for name, kind, _ in network.layers if kind in ("Conv2d", "Linear")]
    for number, name in enumerate(weighted, start=1):
        given = network.parameters(name)
        if given is not None:
            weight, bias = given
            net.params[f"W{number}"][...] = weight if weight.ndim == 4 else weight.T
            net.params[f"b{number}"][...] = bias
    x, t = network.images(), network.labels()
    optimizer = scratch.SGD(LEARNING_RATE)

    def logits() -> Array:
        """The scores without Dropout, which in the book scales them."""
        out: Any = x
        for layer in net.layers.values() if isinstance(net.layers, dict) else net.layers:
            if not isinstance(layer, scratch.Dropout):
                out = layer.forward(out)
        scores: Array = out
        return scores

    return Subject(lambda: optimizer.update(net.params, net.gradient(x, t)), logits)
