"""One update of the weights: the backward pass and the optimiser's step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np

from pocketcnn import _arguments
from pocketcnn._arguments import Array
from pocketcnn.functional._linear import Grad
from pocketcnn.network.net import ConvNet
from pocketcnn.optim.base import Grads, Optimizer
from pocketcnn.training.average import Average
from pocketcnn.training.ranks import Alone, Ranks, Whole
from pocketcnn.training.reduction import Reduction, divide

_CHUNK = 2**16  # numbers, as float64 in the second cache


class Update:
    """Turns the gradients of batches into updates of the weights.

    Parameters
    ----------
    net : ConvNet
    clip_norm : float or None
        The gradient of all parameters together is scaled down to this norm if it is larger.
    accumulate : int
        How many batches make an update.
    ema : float or None
        Decay of an average of the weights.
    ranks : Ranks, optional
        The processes whose gradients are summed: all then make the same update.
    ordered : bool, default False
        Whether gradients are added in the order of the ranks, micro-batch by micro-batch: to the
        same bits for any number of ranks that compute the same micro-batches.

    Attributes
    ----------
    average : Average or None
    """

    def __init__(
        self,
        net: ConvNet,
        clip_norm: float | None = None,
        accumulate: int = 1,
        ema: float | None = None,
        ranks: Ranks | None = None,
        ordered: bool = False,
    ) -> None:
        self._net, self._ordered = net, ordered
        self._ranks = Alone() if ranks is None else ranks
        several = self._ranks.size > 1
        self._reduction = Reduction(net, self._ranks, ordered) if several else None
        self.clip_norm = self.ema = None
        if clip_norm is not None:
            self.clip_norm = _arguments.finite("clip_norm", clip_norm)
            if self.clip_norm <= 0:
                raise ValueError(f"clip_norm is {clip_norm!r}, but must be above 0")
        self.accumulate = _arguments.integer("accumulate", accumulate, 1)
        if ema is not None:
            self.ema = _arguments.share("ema", ema)
        self.average = None if self.ema is None else Average(net, self.ema)
        self._sums: dict[str, Array] = {}
        self._weight, self._batches = 0.0, 0

    @property
    def has_state(self) -> bool:
        """Whether a resumed run needs `state_dict`."""
        return self.accumulate > 1 or self.average is not None

    def add(
        self,
        optimizer: Optimizer,
        grad: Array,
        weight: float,
        whole: Whole,
        *,
        last: bool = True,
    ) -> None:
        """Use the gradient of the loss by the last `forward`'s output.

        Parameters
        ----------
        optimizer : Optimizer
        grad : ndarray
        weight : float
            What the mean of the batch was divided by.
        whole : Whole
            The batch of all ranks.
        last : bool
            Whether it is a whole batch or, in order, the last micro-batch of one.
        """
        net = self._net
        if self.accumulate > 1 or self._ordered:
            self._accumulate(grad, weight, whole)
            self._batches += last
            if self._batches == self.accumulate:
                self.finish(optimizer)
            return
        if self._reduction is not None:
            self._add_shared(self._reduction, optimizer, grad, weight, whole)
        elif self.clip_norm is not None:
            net.backward(grad)
            self._apply(optimizer, net.grads)
        elif _is_our_own(optimizer):
            _update_in_backward(net, optimizer, grad)
        else:
            net.backward(grad)
            optimizer.update(net.trainable, net.grads)
        self._updated()

    def finish(self, optimizer: Optimizer) -> None:
        """Make an update of the batches that wait for one, such as an epoch's last."""
        if not self._batches:
            return
        sums, weight = self._summed()
        self.drop()
        divide(sums, weight)
        self._apply(optimizer, sums)
        self._updated()

    def drop(self) -> None:
        """Forget the batches that wait."""
        self._sums, self._weight, self._batches = {}, 0.0, 0

    def _add_shared(
        self,
        reduction: Reduction,
        optimizer: Optimizer,
        grad: Array,
        weight: float,
        whole: Whole,
    ) -> None:
        """Make an update with the gradients of all ranks."""
        parts = self.clip_norm is None and _is_our_own(optimizer)
        sums = reduction.backward(_times(grad, weight), whole.samples, parts=parts)
        divide(sums, whole.weight)
        self._apply(optimizer, sums)

    def _accumulate(self, grad: Array, weight: float, whole: Whole) -> None:
        """Add the gradient of a batch, weighted as it would be in one large batch."""
        weights: Sequence[float] = [weight]
        if self._reduction is not None and self._ordered:
            onto = self._sums or None
            summed = self._reduction.backward(_times(grad, weight), whole.samples, onto=onto)
            self._sums = {name: np.asarray(gradient) for name, gradient in summed.items()}
            weights = whole.weights
        else:
            self._net.backward(_times(grad, weight))
            for name, array in self._net.grads.items():
                if name in self._sums:
                    self._sums[name] += array
                else:
                    self._sums[name] = array.copy()
        for other in weights:
            self._weight += other

    def _summed(self) -> tuple[dict[str, Grad], float]:
        """Return the sums that wait, of all ranks, and their weight."""
        if self._reduction is None or self._ordered:
            return dict(self._sums), self._weight
        return self._reduction.sum(self._sums), float(self._ranks.total([self._weight])[0])

    def _updated(self) -> None:
        """Count the weights in the average."""
        if self.average is not None:
            self.average.add()

    def _apply(self, optimizer: Optimizer, grads: Grads) -> None:
        if self.clip_norm is not None:
            clip(cast("Mapping[str, Array]", grads), self.clip_norm)
        if _is_our_own(optimizer):
            optimizer.begin(self._net.params)
            optimizer.apply(self._net.trainable, grads)
        else:
            optimizer.update(self._net.trainable, cast("Mapping[str, Array]", grads))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the network have the average of its weights, if there is one."""
        if self.average is None:
            yield
        else:
            with self.average.in_place():
                yield

    def settle(self) -> None:
        """Put the average into the network for good, if there is one."""
        if self.average is not None:
            self.average.settle()

    def state_dict(self) -> dict[str, object]:
        """Return the average and the batches that wait for an update, of all ranks."""
        sums, weight = self._summed() if self._batches else ({}, 0.0)
        values: dict[str, object] = {"weight": weight, "batches": self._batches}
        values |= {f"sum/{name}": array for name, array in sums.items()}
        return values if self.average is None else values | self.average.state_dict()

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ValueError
            It belongs to another network.
        """
        weight, batches = values.get("weight"), values.get("batches")
        sums = {key[4:]: array for key, array in values.items() if key.startswith("sum/")}
        params = self._net.params
        fits = all(
            isinstance(array, np.ndarray) and name in params and array.shape == params[name].shape
            for name, array in sums.items()
        )
        if type(weight) not in (int, float) or type(batches) is not int or not fits:
            raise ValueError(f"the update waits for {batches!r} batches of weight {weight!r}")
        if self.average is not None:
            self.average.load_state_dict(
                {key: array for key, array in values.items() if key.startswith("average/")}
            )
        self._weight, self._batches = float(cast(float, weight)), batches
        self._sums = {name: np.array(array) for name, array in sums.items()}
        if self._ranks.rank > 0 and not self._ordered:  # rank 0 has those of all
            self._weight = 0.0
            for array in self._sums.values():
                array[...] = 0


def clip(grads: Mapping[str, Array], norm: float) -> float:
    """Scale gradients down together to a norm, in place, and return the norm that they had.

    As PyTorch's `clip_grad_norm_`, without its 1e-6 in the denominator. The squares are summed in
    float64, in an order that does not depend on threads.
    """
    total = math.sqrt(math.fsum(map(_sum_of_squares, grads.values())))
    if total > norm:
        for array in grads.values():
            array *= norm / total
    return total


def _times(grad: Array, weight: float) -> Array:
    return (grad * weight).astype(grad.dtype, copy=False)


def _sum_of_squares(array: Array) -> float:
    flat = array.reshape(-1)
    parts = (flat[start : start + _CHUNK] for start in range(0, flat.size, _CHUNK))
    return math.fsum(float(np.square(part, dtype=np.float64).sum()) for part in parts)


def _is_our_own(optimizer: Optimizer) -> bool:
    """Whether it takes parameters in parts: a user's own `update` gets everything at once."""
    return getattr(type(optimizer), "update", None) is Optimizer.update


def _update_in_backward(net: ConvNet, optimizer: Optimizer, grad: Array) -> None:
    """Use the gradients of large layers while they are made, and then all others."""
    updated: set[str] = set()

    def apply(params: Mapping[str, Array], grads: Grads) -> None:
        updated.update(params)
        optimizer.apply(params, grads)

    optimizer.begin(net.params if optimizer.rates else ())
    net.backward(grad, apply)
    params, grads = net.trainable, net.grads
    for name in updated:
        del params[name], grads[name]
    optimizer.apply(params, grads)
