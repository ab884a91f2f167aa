"""pocketcnn with the book's interface, `pocketcnn.scratch`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import pocketcnn as pc
from benchmarks.description import BATCHES, LEARNING_RATE, Array, Network, Subject
from pocketcnn import scratch


def training(network: Network) -> Subject:
    """Build a step of the book's Trainer: a batch drawn, gradient, Adam, the loss once more."""
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
    examples = np.tile(x, (BATCHES, 1, 1, 1)), np.tile(t, BATCHES)
    trainer = scratch.Trainer(
        *(net, *examples, x, t),
        epochs=sys.maxsize,
        mini_batch_size=network.batch,
        optimizer="Adam",
        optimizer_param={"lr": LEARNING_RATE},
        evaluate_sample_num_per_epoch=network.batch,
        verbose=False,
    )

    def logits() -> Array:
        """The scores without Dropout, which in the book scales them."""
        out: Any = x
        for layer in net.layers.values() if isinstance(net.layers, dict) else net.layers:
            if not isinstance(layer, scratch.Dropout):
                out = layer.forward(out)
        scores: Array = out
        return scores

    return Subject(trainer.train_step, logits)
