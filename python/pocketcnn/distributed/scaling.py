"""How fast N ranks would train, from a measured step of one rank and a given network.

A step is the forward pass, the backward pass, and the update. During the backward pass gradients
become ready, bucket by bucket, and one sum after the other goes over the network; the update begins
when the last has come. Sums have the cost of the usual algorithms (Thakur, Rabenseifner, Gropp,
"Optimization of Collective Communication Operations in MPICH", 2005), with a latency for each
message and a bandwidth for each rank. What the model leaves out makes it a bound: ranks that wait
for the slowest, networks that others use, and large linear layers whose factors are exchanged
instead (which few ranks gain from).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pocketcnn._arguments import Array, finite
from pocketcnn.losses import CrossEntropy
from pocketcnn.network.net import ConvNet
from pocketcnn.optim.base import Optimizer
from pocketcnn.training.ranks import Alone, Pending, Whole
from pocketcnn.training.reduction import Reduction
from pocketcnn.training.update import Update

Algorithm = Literal["ring", "tree"]


@dataclass(frozen=True)
class Network:
    """What connects the ranks.

    Attributes
    ----------
    bandwidth : float
        Bytes that a rank can send in a second, while it receives as many.
    latency : float
        Seconds from a rank to another for a message without content.
    algorithm : {"ring", "tree"}
        A ring sends each byte about twice, in 2 (N - 1) messages; a tree in 2 log2(N) messages, in
        each of which it sends all bytes.
    """

    bandwidth: float
    latency: float
    algorithm: Algorithm = "ring"

    def __post_init__(self) -> None:
        if finite("bandwidth", self.bandwidth) <= 0 or finite("latency", self.latency) < 0:
            raise ValueError(
                f"bandwidth is {self.bandwidth} and latency {self.latency}: wanted above 0, at "
                "least 0"
            )
        if self.algorithm not in ("ring", "tree"):
            raise ValueError(f"algorithm is {self.algorithm!r}: wanted 'ring' or 'tree'")

    def sum_seconds(self, size: int, ranks: int) -> float:
        """Return how long a sum of `size` bytes over all ranks takes.

        >>> Network(bandwidth=1e9, latency=1e-5).sum_seconds(1_000_000, 2)
        0.00102
        """
        if ranks == 1:
            return 0.0
        if self.algorithm == "ring":
            messages = 2 * (ranks - 1)
            return messages * (self.latency + size / ranks / self.bandwidth)
        return 2 * math.ceil(math.log2(ranks)) * (self.latency + size / self.bandwidth)


@dataclass(frozen=True)
class MeasuredStep:
    """A training step of one rank.

    Attributes
    ----------
    images : int
    forward, backward, update : float
        Seconds of a rank's step; the backward pass includes the copies into buckets.
    buckets : sequence of (float, int)
        When each was full, in seconds since the backward pass began, and its bytes.
    alone : float
        Seconds of the step of a process by itself, which fills no buckets and uses the gradients of
        large linear layers while it makes them.
    """

    images: int
    forward: float
    backward: float
    update: float
    buckets: Sequence[tuple[float, int]]
    alone: float

    def seconds(self, ranks: int, network: Network) -> float:
        """Return how long the step takes with some ranks."""
        if ranks == 1:
            return self.alone
        free = 0.0
        for ready, size in self.buckets:
            free = max(free, ready) + network.sum_seconds(size, ranks)
        # Loss and weight of the batch are summed before; the latency of three numbers.
        header = network.sum_seconds(24, ranks)
        return self.forward + header + max(self.backward, free) + self.update

    def images_per_second(self, ranks: int, network: Network) -> float:
        """Return the images that all ranks train on in a second."""
        return ranks * self.images / self.seconds(ranks, network)


class _Stopwatch(Alone):
    """Notes when sums would begin."""

    def __init__(self) -> None:
        self.began = 0.0
        self.buckets: list[tuple[float, int]] = []

    def start_sum(self, piece: Array, result: Array, *, onto: bool, ordered: bool) -> Pending:
        self.buckets.append((time.perf_counter() - self.began, piece.nbytes))
        return super().start_sum(piece, result, onto=onto, ordered=ordered)


def measure_step(
    net: ConvNet, optimizer: Optimizer, batch_size: int, repeat: int = 5
) -> MeasuredStep:
    """Time a step on random images; of several, the fastest.

    Parameters
    ----------
    net : ConvNet
        Is trained.
    optimizer : Optimizer
    batch_size, repeat : int
    """
    rng = np.random.default_rng(0)
    x = rng.random((batch_size, *net.input_shape), dtype=np.float32)
    t = rng.integers(0, net.output_shape[0], batch_size)
    update = Update(net)
    alone = min([_alone(net, optimizer, x, t, update) for _ in range(repeat + 1)][1:])
    watch = _Stopwatch()
    reduction = Reduction(net, watch)
    steps = [_step(net, optimizer, x, t, watch, reduction) for _ in range(repeat + 1)]
    fastest = min(steps[1:], key=lambda step: step.forward + step.backward + step.update)
    return replace(fastest, alone=alone)


def _alone(net: ConvNet, optimizer: Optimizer, x: Array, t: Array, update: Update) -> float:
    start = time.perf_counter()
    loss, grad = CrossEntropy()(net.forward(x, training=True), t)
    update.add(optimizer, grad, len(x), Whole([loss], [len(x)], len(x), False))
    return time.perf_counter() - start


def _step(
    net: ConvNet, optimizer: Optimizer, x: Array, t: Array, watch: _Stopwatch, reduction: Reduction
) -> MeasuredStep:
    start = time.perf_counter()
    _, grad = CrossEntropy()(net.forward(x, training=True), t)
    watch.began, watch.buckets = time.perf_counter(), []
    grads = reduction.backward(grad, len(x))
    done = time.perf_counter()
    optimizer.begin(net.params)
    optimizer.apply(net.trainable, grads)
    updated = time.perf_counter()
    forward, backward, update = watch.began - start, done - watch.began, updated - done
    return MeasuredStep(len(x), forward, backward, update, tuple(watch.buckets), updated - start)
