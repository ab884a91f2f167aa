"""What the census measures: the convolutions of a table, and other layers of random sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.case import Case
from benchmarks.census_shapes import distinct, of_batch
from benchmarks.layer_cases import (
    ACTIVATIONS,
    activation,
    avg_pool,
    convolution,
    linear_backward,
    linear_forward,
    max_pool,
)
from benchmarks.normalisation_cases import batch_norm

_BATCHES = (1, 8)
# Layers of random sizes, each with its steps, if no number is given.
_DRAWS = 200
_MOST_ELEMENTS = 2**24


@dataclass(frozen=True)
class Item:
    """A layer of certain sizes, with the networks that have it, and its batch."""

    case: Case
    batch: int
    networks: tuple[str, ...] = ()


def items(kind: str, count: int | None, seed: int, batch: int | None) -> list[Item]:
    """So many layers of a kind in a random order; all, if there is a last one."""
    rng = np.random.default_rng(seed)
    if kind != "convolutions":
        drawn = _DRAWN[kind]
        return [item for _ in range(count or _DRAWS) for item in drawn(rng, batch)]
    everything = [
        Item(convolution(of_batch(conv, size)), size, tuple(networks))
        for conv, networks in distinct().items()
        for size in ((batch,) if batch else _BATCHES)
    ]
    return [everything[place] for place in rng.permutation(len(everything))[:count]]


def _size(rng: np.random.Generator, least: int, most: int) -> int:
    """Draw an integer whose logarithm is uniform, so that small ones are as common as large."""
    return int(math.exp(rng.uniform(math.log(least), math.log(most + 1))))


def _images(rng: np.random.Generator, batch: int | None, smallest: int) -> tuple[int, ...]:
    """Batch, channels, height and width, of no more than fits."""
    while True:
        height = _size(rng, smallest, 224)
        width = height if rng.random() < 0.5 else _size(rng, smallest, 224)
        shape = (batch or _size(rng, 1, 64), _size(rng, 1, 1024), height, width)
        if math.prod(shape) <= _MOST_ELEMENTS:
            return shape


def _by(shape: tuple[int, ...]) -> str:
    return f"{'x'.join(map(str, shape[1:]))} ({shape[0]})"


def _pooling(rng: np.random.Generator, batch: int | None) -> Iterator[Item]:
    kernel = int(rng.integers(2, 6))
    window = (kernel, int(rng.integers(1, kernel + 1)), int(rng.integers(kernel // 2 + 1)))
    shape = _images(rng, batch, kernel)
    kind, make = (("max", max_pool), ("average", avg_pool))[int(rng.integers(2))]
    name = f"{kind} {kernel}x{kernel}/{window[1]} p{window[2]}, {_by(shape)}"
    yield Item(Case("poolings", name, ("fwd", "bwd"), make(shape, window)), shape[0])


def _batch_norm(rng: np.random.Generator, batch: int | None) -> Iterator[Item]:
    shape = _images(rng, batch, 4)
    yield Item(Case("batch norms", _by(shape), ("fwd", "fwd+bwd"), batch_norm(shape)), shape[0])


def _activation(rng: np.random.Generator, batch: int | None) -> Iterator[Item]:
    kind = str(rng.choice(list(ACTIVATIONS)))
    flat = kind.endswith("softmax") or rng.random() < 0.25
    shape: tuple[int, ...] = (batch or _size(rng, 1, 512), _size(rng, 2, 4096))
    shape = shape if flat else _images(rng, batch, 1)
    case = Case("activations", f"{kind} {_by(shape)}", ("fwd", "bwd"), activation(kind, shape))
    yield Item(case, shape[0])


def _linear(rng: np.random.Generator, batch: int | None) -> Iterator[Item]:
    sizes = (_size(rng, 8, 4096), _size(rng, 2, 4096), batch or _size(rng, 1, 256))
    name = f"{sizes[0]} to {sizes[1]} ({sizes[2]})"
    yield Item(Case("linears", name, ("fwd",), linear_forward(*sizes)), sizes[2])
    yield Item(Case("linears", name, ("bwd",), linear_backward(*sizes)), sizes[2])


_DRAWN: dict[str, Callable[[np.random.Generator, int | None], Iterator[Item]]] = {
    "poolings": _pooling,
    "batch-norms": _batch_norm,
    "activations": _activation,
    "linears": _linear,
}
