"""Named networks, and races between processes that each hold one of them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

import pocketcnn as pc
from benchmarks.description import Array, Network
from benchmarks.options import Options
from benchmarks.timing import Timing, alternate
from benchmarks.worker import NotInstalledError, Remote

TITLES = {
    "simple_convnet": "SimpleConvNet",
    "lenet5": "LeNet-5",
    "deep_convnet": "DeepConvNet",
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "mobilenet_v2": "MobileNetV2",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "compact_resnet": "compact ResNet",
    "unet": "U-Net",
}
OURS = "pocket"
# How the reason begins why such a peer has no time; the module follows.
NOT_INSTALLED = "not installed: "
# Above the rounding of a deep network in float32, below a real difference.
_TOLERANCE = 2e-3
# The share of the memory that stays free while processes of a race are started.
_SPARE_MEMORY = 0.3


@dataclass(frozen=True)
class Peer:
    """How to build a network: builder, variant, and a dtype if it differs from the race's."""

    builder: str
    variant: str = ""
    dtype: str | None = None
    environment: tuple[tuple[str, str], ...] = ()


# XLA calls oneDNN where it can, which it does not by default.
JAX_ONEDNN = (("XLA_FLAGS", "--xla_cpu_experimental_onednn_custom_call=true"),)
TRAINING_PEERS = {
    "PyTorch/NCHW": Peer("pytorch.training", "NCHW"),
    "PyTorch/NHWC": Peer("pytorch.training", "NHWC"),
    "torch.compile/NHWC": Peer("inductor.training", "NHWC"),
    "Keras/graph": Peer("keras_tensorflow.training", "graph"),
    "Keras/XLA": Peer("keras_tensorflow.training", "XLA"),
    "JAX/XLA": Peer("jax_xla.training"),
    "JAX/oneDNN": Peer("jax_xla.training", environment=JAX_ONEDNN),
}


@dataclass(frozen=True)
class Result:
    """The times of a race.

    Attributes
    ----------
    ours, peers : dict of str to Timing
    void : dict of str to str
        Why a peer has no time.
    """

    ours: dict[str, Timing] = field(default_factory=dict)
    peers: dict[str, Timing] = field(default_factory=dict)
    void: dict[str, str] = field(default_factory=dict)


@cache
def skeleton(model: str) -> pc.ConvNet:
    """The network without drawn weights."""
    net: pc.ConvNet = getattr(pc.models, model)(seed=None)
    return net


def describe(model: str, batch: int, options: Options, weights: Path | None = None) -> Network:
    """Describe one of `pocketcnn.models`."""
    net = skeleton(model)
    chain = all(len(entry) == 2 for entry in net.entries)
    return Network(
        model=model,
        layers=[(name, type(layer).__name__, layer.config()) for name, layer in net.layers.items()],
        input_shape=list(net.input_shape),
        classes=net.output_shape[0],
        batch=options.batch or batch,
        threads=options.threads,
        dtype=options.dtype,
        weights=None if weights is None else str(weights),
        inputs=None if chain else {name: list(its) for name, its in net.inputs.items()},
    )


@contextmanager
def with_weights(model: str, batch: int, options: Options) -> Iterator[Network]:
    """Describe a network with the weights of this process stored in a folder, and as ONNX."""
    with tempfile.TemporaryDirectory() as name:
        net: pc.ConvNet = getattr(pc.models, model)()
        for key, array in net.params.items():
            np.save(Path(name) / f"{key}.npy", array)
        network = describe(model, batch, options, Path(name))
        pc.onnx.export(net, network.onnx)
        yield network


def flop(network: Network, training: bool) -> float:
    """Operations of the convolutions and linear layers as the textbook counts them.

    A training step has three passes, without the gradient of the images.
    """
    work = [
        2.0 * network.batch * layer.multiply_adds(shape)
        for _, layer, shape in skeleton(network.model).graph.every_input()
        if not layer.children
    ]
    first = next(amount for amount in work if amount)
    return 3 * sum(work) - first if training else sum(work)


def race(
    ours: Mapping[str, Peer], network: Network, peers: Mapping[str, Peer], options: Options
) -> Result:
    """Time our ways and the peers, each in its own process, in turn.

    Where the memory does not hold all at once, the peers come in several heats, each with ours.
    """
    result = Result()
    waiting = {name: peer for name, peer in peers.items() if options.wants_peer(name)}
    while True:
        with ExitStack() as stack:
            mine = {name: stack.enter_context(_start(way, network)) for name, way in ours.items()}
            scores = [remote.logits() for remote in mine.values()]
            for name, other in zip(mine, scores, strict=True):
                if not _difference(other, scores[0]) <= _TOLERANCE:
                    raise AssertionError(f"our own {name} gives other scores")
            theirs = _start_peers(waiting, network, scores[0], stack, result.void)
            times = alternate([*mine.values(), *theirs.values()], options.pace)
        for name, time in zip(mine, times, strict=False):
            known = result.ours.get(name)
            result.ours[name] = known.joined(time) if known else time
        result.peers.update(zip(theirs, times[len(mine) :], strict=True))
        if not waiting:
            return result


def _start(peer: Peer, network: Network) -> Remote:
    own = replace(network, variant=peer.variant, dtype=peer.dtype or network.dtype)
    return Remote(peer.builder, own, dict(peer.environment))


def _start_peers(
    waiting: dict[str, Peer],
    network: Network,
    scores: Array,
    stack: ExitStack,
    void: dict[str, str],
) -> dict[str, Remote]:
    """Start those for which there is memory, and take them from `waiting`."""
    started: dict[str, Remote] = {}
    while waiting and (not started or _free_memory() > _SPARE_MEMORY):
        name = next(iter(waiting))
        try:
            remote = stack.enter_context(_start(waiting.pop(name), network))
            difference = _difference(remote.logits(), scores)
            remote.burst(0.0, False, "wall")  # so that it has all of its memory
        except NotInstalledError as error:
            void[name] = f"{NOT_INSTALLED}{error}"
        except RuntimeError as error:
            print(f"  {name}: {error}", file=sys.stderr, flush=True)
            void[name] = "failed"
        else:
            if difference <= _TOLERANCE:
                started[name] = remote
            else:  # the networks are not the same: its times would mean nothing
                void[name] = f"differs by {difference:.0e}"
                remote.close()
    return started


def _difference(theirs: Array, ours: Array) -> float:
    """As a part of the largest score; infinite if there are not as many."""
    if theirs.shape != ours.shape:
        return float("inf")
    return float(np.abs(theirs - ours).max() / np.abs(ours).max())


def _free_memory() -> float:
    """The share of the machine's memory that programs can still have."""
    sizes = {}
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        sizes[key] = int(value.split()[0])
    return sizes["MemAvailable"] / sizes["MemTotal"]
