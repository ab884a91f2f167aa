"""Running statistics of a batch that is computed in several parts: the mean of theirs."""

from __future__ import annotations

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.network.net import ConvNet
from pocketcnn.training.ranks import Ranks


class RunningStatistics:
    """Those of a network, as they were before a batch; frozen layers keep theirs.

    Each micro-batch of each rank begins with them, and the mean of what they become is what all
    ranks have afterwards: the same bits, however many ranks share the micro-batches.

    Parameters
    ----------
    net : ConvNet
    ranks : Ranks
    micro : int
        In how many micro-batches each rank computes its part.
    """

    def __init__(self, net: ConvNet, ranks: Ranks, micro: int) -> None:
        self._ranks = ranks
        self._parts = ranks.size * micro
        self._arrays: list[Array] = []
        if self._parts > 1:
            still = tuple(f"{name}." for name in net.frozen)
            self._arrays = [a for name, a in net.buffers.items() if not name.startswith(still)]
        if self._arrays:
            self._before = self._flat()
            self._sum = np.zeros(self._before.shape)

    def add(self) -> None:
        """Take those that a micro-batch has made; the next one begins as this did."""
        if self._arrays:
            for row in self._ranks.table(self._flat()):
                self._sum += row
            self._put(self._before)

    def finish(self) -> None:
        """Let all ranks have the mean."""
        if self._arrays:
            self._put(self._sum / self._parts)

    def _flat(self) -> Array:
        return np.concatenate([array.ravel() for array in self._arrays])

    def _put(self, flat: Array) -> None:
        start = 0
        for array in self._arrays:
            array[...] = flat[start : start + array.size].reshape(array.shape)
            start += array.size
