"""An average of a network's weights over the updates, which takes their place for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.network.net import ConvNet
from pocketcnn.training.checkpoint import network_arrays


class Average:
    """Exponential moving average of parameters and running statistics.

    After the first update it is the network's arrays; after every other one
    ``average += (1 - decay) * (array - average)``, as in PyTorch's
    `swa_utils.get_ema_multi_avg_fn`. Arrays that do not change keep their bits.

    Attributes
    ----------
    arrays : dict of str to ndarray
        By the names of `net.params` and `net.buffers`; empty before the first update.
    """

    def __init__(self, net: ConvNet, decay: float) -> None:
        self._net, self._decay = net, decay
        self.arrays: dict[str, Array] = {}
        self._differs = False  # from the network's own arrays, which may have been changed since

    def add(self) -> None:
        """Count the network's arrays after an update."""
        own = network_arrays(self._net)
        self._differs = True
        if not self.arrays:
            self.arrays = {name: array.copy() for name, array in own.items()}
            return
        for name, array in own.items():
            distance = array - self.arrays[name]
            distance *= 1 - self._decay
            self.arrays[name] += distance

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have the average within a ``with`` block, unless it has it already."""
        if not self._differs:
            yield
            return
        with self._net.sharing.change("a use of averaged weights"):
            self._swap()
            self._differs = False
            try:
                yield
            finally:
                self._swap()
                self._differs = True

    def settle(self) -> None:
        """Put the average into the network for good."""
        if self._differs:
            for name, array in network_arrays(self._net).items():
                array[...] = self.arrays[name]
            self._differs = False

    def _swap(self) -> None:
        for name, array in network_arrays(self._net).items():
            own = array.copy()
            array[...] = self.arrays[name]
            self.arrays[name][...] = own

    def state_dict(self) -> dict[str, object]:
        """Return the arrays."""
        return {f"average/{name}": array for name, array in self.arrays.items()}

    def load_state_dict(self, values: Mapping[str, object]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ValueError
            The arrays are those of another network.
        """
        own = network_arrays(self._net)
        found = {key.removeprefix("average/"): value for key, value in values.items()}
        for name, array in found.items():
            like = own.get(name)
            if not isinstance(array, np.ndarray) or like is None or array.shape != like.shape:
                raise ValueError(f"the average has {name!r}, which the network has not")
        if found and found.keys() != own.keys():
            raise ValueError(f"the average lacks {sorted(own.keys() - found.keys())}")
        self.arrays = {name: np.array(array, own[name].dtype) for name, array in found.items()}
        self._differs = bool(found)
