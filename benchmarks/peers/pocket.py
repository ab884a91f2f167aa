"""pocketcnn itself."""

from __future__ import annotations

from typing import Any

import pocketcnn as pc
from benchmarks.description import LEARNING_RATE, Network, Subject


def _build(network: Network) -> pc.ConvNet:
    pc.set_num_threads(network.threads)
    net: pc.ConvNet = getattr(pc.models, network.model)()
    return net if network.dtype == "float32" else net.astype(network.dtype)


def training(network: Network) -> Subject:
    """Build a training step of `pocketcnn.Trainer`."""
    net, x, t = _build(network), network.images(), network.labels()
    trainer = pc.Trainer(net, pc.optim.SGD(LEARNING_RATE), batch_size=network.batch)
    return Subject(lambda: trainer.step(x, t), lambda: net.predict(x))


def inference(network: Network) -> Subject:
    """Build a prediction."""
    net, x = _build(network), network.images()
    return Subject(lambda: net.predict(x), lambda: net.predict(x))


def compiled(network: Network) -> Subject:
    """Build a prediction of a network compiled for this batch."""
    net: Any = _build(network)
    ready, x = net.compile(network.batch), network.images()
    return Subject(lambda: ready(x), lambda: ready(x))
