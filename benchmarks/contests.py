"""Named networks, and races between processes that each hold one of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

import pocketcnn as pc
from benchmarks.description import Network
from benchmarks.options import Options
from benchmarks.timing import Timing, alternate
from benchmarks.worker import Remote

TITLES = {
    "simple_convnet": "SimpleConvNet",
    "lenet5": "LeNet-5",
    "deep_convnet": "DeepConvNet",
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "resnet18": "ResNet-18",
    "compact_resnet": "compact ResNet",
}
OURS = "pocket"
# Above the rounding of a deep network in float32, below a real difference.
_TOLERANCE = 2e-3


@dataclass(frozen=True)
class Peer:
    """How to build a network: builder, variant, and a dtype if it differs from the race's."""

    builder: str
    variant: str = ""
    dtype: str | None = None


TRAINING_PEERS = {
    "PyTorch/NCHW": Peer("pytorch.training", "NCHW"),
    "PyTorch/NHWC": Peer("pytorch.training", "NHWC"),
    "Keras/graph": Peer("keras_tensorflow.training", "graph"),
    "Keras/XLA": Peer("keras_tensorflow.training", "XLA"),
}


@cache
def skeleton(model: str) -> pc.ConvNet:
    """The network without drawn weights."""
    net: pc.ConvNet = getattr(pc.models, model)(seed=None)
    return net


def describe(model: str, batch: int, options: Options, weights: Path | None = None) -> Network:
    """Describe one of `pocketcnn.models`."""
    net = skeleton(model)
    return Network(
        model=model,
        layers=[(name, type(layer).__name__, layer.config()) for name, layer in net.layers.items()],
        input_shape=list(net.input_shape),
        classes=net.output_shape[0],
        batch=options.batch or batch,
        threads=options.threads,
        dtype=options.dtype,
        weights=None if weights is None else str(weights),
    )


@contextmanager
def with_weights(model: str, batch: int, options: Options) -> Iterator[Network]:
    """Describe a network with the weights of this process stored in a folder."""
    with tempfile.TemporaryDirectory() as name:
        for key, array in getattr(pc.models, model)().params.items():
            np.save(Path(name) / f"{key}.npy", array)
        yield describe(model, batch, options, Path(name))


def flop(network: Network, training: bool) -> float:
    """Operations of the convolutions and linear layers as the textbook counts them.

    A training step has three passes, without the gradient of the images.
    """
    shape = tuple(network.input_shape)
    work = []
    for layer in skeleton(network.model).layers.values():
        work.append(2.0 * network.batch * layer.multiply_adds(shape))
        shape = layer.output_shape(shape)
    first = next(amount for amount in work if amount)
    return 3 * sum(work) - first if training else sum(work)


def race(
    builder: str, network: Network, peers: Mapping[str, Peer], options: Options
) -> tuple[Timing, dict[str, Timing]]:
    """Time ours, as `builder` makes it, and the peers, each in its own process, in turn."""
    with ExitStack() as stack:
        ours = stack.enter_context(Remote(builder, network))
        remotes: dict[str, Remote] = {}
        for name, peer in peers.items():
            own = replace(network, variant=peer.variant, dtype=peer.dtype or network.dtype)
            remotes[name] = stack.enter_context(Remote(peer.builder, own))
        _require_equal(ours, remotes)
        contestants: Sequence[Remote] = [ours, *remotes.values()]
        mine, *theirs = alternate(contestants, options.pace)
    return mine, dict(zip(remotes, theirs, strict=True))


def _require_equal(ours: Remote, others: Mapping[str, Remote]) -> None:
    """Stop if the networks are not the same: their times would mean nothing."""
    mine = np.array(ours.ask("logits"))
    for name, other in others.items():
        error = np.abs(np.array(other.ask("logits")) - mine).max() / np.abs(mine).max()
        if not error <= _TOLERANCE:
            raise AssertionError(f"{name}: scores differ by {error:.1e} of the largest")
