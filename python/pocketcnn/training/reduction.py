"""Gradients of all ranks, summed while the backward pass still runs.

The gradients of the last layers are there first. They are copied into a few long arrays, and a sum
over all ranks begins when one of these is full, while the layers before are still computed.

The gradient of a large linear layer is the product of two matrices with a row for each sample. For
few samples these are much smaller than it is: then they are what is exchanged, and the gradient of
all samples is computed from them when the optimiser uses it (Xie et al., "Lighter-Communication
Distributed Machine Learning via Sufficient Factor Broadcasting", UAI 2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.functional._linear import LinearWeightGrad
from pocketcnn.layers import Layer
from pocketcnn.layers.chain import every_layer
from pocketcnn.network.net import ConvNet
from pocketcnn.optim.base import Grads
from pocketcnn.training.ranks import Pending, Ranks

BUCKET_BYTES = 2**23
"""Long enough that a message's latency counts little, short enough that several are under way."""

_FACTORS_PAY = 8
"""Factors are exchanged where they are smaller than a gradient by this: they grow with the ranks,
and so does the product that each rank then computes. A sum sends the gradient twice."""

_ALIGNED = 16  # numbers: arrays of the optimiser begin on a cache line


class Bucket:
    """Gradients that are summed together.

    Attributes
    ----------
    names : list of str
    """

    def __init__(self, params: Mapping[str, Array], names: Sequence[str]) -> None:
        self.names = list(names)
        ends = np.cumsum([0, *(-(-params[name].size // _ALIGNED) * _ALIGNED for name in names)])
        dtype = params[names[0]].dtype
        # Zeroed pages that are never written cost nothing: a bucket may not be needed.
        self._piece, self._sum = (np.zeros(int(ends[-1]), dtype) for _ in range(2))
        self._pieces, self._sums = (
            {
                name: flat[start : start + params[name].size].reshape(params[name].shape)
                for name, start in zip(names, ends, strict=False)
            }
            for flat in (self._piece, self._sum)
        )
        self._missing = set(names)
        self._pending: Pending | None = None

    def begin(self, onto: Mapping[str, Array] | None) -> None:
        """Wait for the gradients again; `onto` are sums that they will be added to."""
        self._missing = set(self.names)
        for name in self.names if onto is not None else ():
            assert onto is not None
            if onto[name] is not self._sums[name]:
                self._sums[name][...] = onto[name]

    def put(self, name: str, gradient: Array | LinearWeightGrad) -> bool:
        """Copy a gradient; return whether all are there now."""
        self._pieces[name][...] = np.asarray(gradient)
        self._missing.discard(name)
        return not self._missing

    def start(self, ranks: Ranks, *, onto: bool, ordered: bool) -> None:
        """Begin to sum."""
        self._pending = ranks.start_sum(self._piece, self._sum, onto=onto, ordered=ordered)

    def finish(self) -> dict[str, Array]:
        """Return the sums by name, none if it was not started: arrays that the next sum changes."""
        if self._pending is None:
            return {}
        self._pending.wait()
        self._pending = None
        return self._sums


class Reduction:
    """Sums the gradients of a network over ranks.

    Parameters
    ----------
    net : ConvNet
    ranks : Ranks
    ordered : bool, default False
        Whether gradients are added in the order of the ranks.
    """

    def __init__(self, net: ConvNet, ranks: Ranks, ordered: bool = False) -> None:
        self._net, self._ranks, self._ordered = net, ranks, ordered
        self._buckets: list[Bucket] = []
        self._planned: list[str] = []
        self._factors: dict[str, tuple[Pending, Pending]] = {}

    def backward(
        self,
        grad: Array,
        samples: int,
        *,
        parts: bool = False,
        onto: Mapping[str, Array] | None = None,
    ) -> dict[str, Array | LinearWeightGrad]:
        """Carry a gradient back and return the sums of the gradients of all ranks.

        Parameters
        ----------
        grad : ndarray
            For the output of this rank's samples, of which there may be none.
        samples : int
            Of all ranks.
        parts : bool
            Whether gradients that need not exist as a whole may be returned as `LinearWeightGrad`.
        onto : mapping of str to ndarray, optional
            Sums of earlier batches, to which these are added.
        """
        waiting = self._begin(onto)

        def put(name: str, gradient: Array | LinearWeightGrad) -> None:
            bucket = waiting.pop(name, None)
            if bucket is not None and bucket.put(name, gradient):
                bucket.start(self._ranks, onto=onto is not None, ordered=self._ordered)

        def take(_params: Mapping[str, Array], grads: Grads) -> None:
            for name, gradient in grads.items():
                if isinstance(gradient, LinearWeightGrad) and _factors_pay(gradient, samples):
                    self._factors[name] = self._exchange(gradient)
                    waiting.pop(name)
                else:
                    put(name, gradient)

        places = {id(layer): name for name, layer in every_layer(self._net.layers)}

        def made(layers: Sequence[Layer]) -> None:
            for layer in reversed(layers):
                for key, gradient in layer.grads.items():
                    put(f"{places[id(layer)]}.{key}", gradient)

        self._net.backward(grad, take if parts else None, made=made)
        for name in list(waiting):  # of layers that the gradient did not reach
            put(name, self._net.grads[name])
        return self._finish()

    def sum(self, grads: Mapping[str, Array]) -> dict[str, Array | LinearWeightGrad]:
        """Return the sums of gradients that are there already."""
        for name, bucket in self._begin(None).items():
            if bucket.put(name, grads[name]):
                bucket.start(self._ranks, onto=False, ordered=self._ordered)
        return self._finish()

    def _begin(self, onto: Mapping[str, Array] | None) -> dict[str, Bucket]:
        """Return where each gradient goes."""
        params = self._net.trainable
        if self._planned != list(params):
            self._planned, self._buckets = list(params), _plan(params)
        for bucket in self._buckets:
            bucket.begin(onto)
        return {name: bucket for bucket in self._buckets for name in bucket.names}

    def _exchange(self, gradient: LinearWeightGrad) -> tuple[Pending, Pending]:
        grad, x = map(self._ranks.start_gather, gradient.factors)
        return grad, x

    def _finish(self) -> dict[str, Array | LinearWeightGrad]:
        found: dict[str, Array | LinearWeightGrad] = {}
        for name, (grad, x) in self._factors.items():
            found[name] = LinearWeightGrad(grad.wait(), x.wait())
        self._factors.clear()
        for bucket in self._buckets:
            found.update(bucket.finish())
        return {name: found[name] for name in self._planned}


def _plan(params: Mapping[str, Array]) -> list[Bucket]:
    """Put parameters into buckets, the last first."""
    buckets: list[list[str]] = []
    room = 0
    for name in reversed(list(params)):
        if params[name].nbytes > room:
            buckets.append([])
            room = BUCKET_BYTES
        buckets[-1].append(name)
        room -= params[name].nbytes
    return [Bucket(params, names) for names in buckets]


def _factors_pay(gradient: LinearWeightGrad, samples: int) -> bool:
    grad, x = gradient.factors
    rows, columns = grad.shape[1], x.shape[1]
    return bool(samples * (rows + columns) * _FACTORS_PAY <= rows * columns)


def divide(grads: Mapping[str, Array | LinearWeightGrad], weight: float) -> None:
    """Divide sums by the weight of their mean, in place."""
    for gradient in grads.values():
        array = gradient.factors[0] if isinstance(gradient, LinearWeightGrad) else gradient
        array *= 1 / (weight or 1.0)
