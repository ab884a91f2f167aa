"""CompiledNet: a network as it is at one moment, which the core runs in one call."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn._arguments import contiguous, integer, real_numbers, require_batch
from pocketcnn.functional._session import make_session
from pocketcnn.layers import Array
from pocketcnn.network.serialization import describe
from pocketcnn.network.structure import Structure


class CompiledNet:
    """A network for inference alone, made by `ConvNet.compile`: call it with images.

    It has copies of the weights, with every batch normalisation behind a convolution folded into
    that one's, and in the form in which the kernels take them. Nothing changes it. Any number of
    threads may use it at once; each call has memory of its own.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        Without the batch axis.
    dtype : numpy.dtype
    classes : list of str or None
    preprocessing : Preprocessing or None
        As the network had them.
    """

    def __init__(self, net: Structure, batch_size: int | None, storage: str | None) -> None:
        self.input_shape, self.output_shape = net.input_shape, net.output_shape
        self.dtype = net.dtype
        self.classes = None if net.classes is None else list(net.classes)
        self.preprocessing = net.preprocessing
        if storage not in (None, "bfloat16"):
            raise ValueError(f"storage is {storage!r}, but must be None or 'bfloat16'")
        if storage is not None and net.dtype != np.float32:
            raise ValueError(f"storage is {storage!r}, but the network is of {net.dtype.name}")
        self._batch_size = 0 if batch_size is None else integer("batch_size", batch_size, 1)
        tensors = {
            f"{name}.{key}": array
            for name, layer in net.layers.items()
            for key, array in layer.state().items()
        }
        self._session = make_session(
            describe(net.graph, net.dtype), tensors, narrow=storage is not None
        )
        # Weights are made ready by the first images.
        blank = np.zeros((max(1, self._batch_size), *self.input_shape), self.dtype)
        self._session.predict(blank, self._batch_size)

    def __call__(self, x: ArrayLike) -> Array:
        """Compute the scores of each class, as `predict` does."""
        return self.predict(x)

    def predict(self, x: ArrayLike, batch_size: int | None = None) -> Array:
        """Compute the scores of each class.

        They differ from those of `ConvNet.predict` by rounding only, and are the same bits for any
        number of threads.

        Parameters
        ----------
        x : array_like, (N, *input_shape)
        batch_size : int or None
            How many samples pass through the network at a time; None is that of `compile`.

        Returns
        -------
        logits : ndarray, (N, *output_shape), of the network's dtype

        Raises
        ------
        ValueError, TypeError
            x has another shape, or is not made of numbers.
        """
        batch = real_numbers("x", x)
        require_batch("x", batch, self.input_shape)
        at_once = self._batch_size
        if batch_size is not None:
            at_once = integer("batch_size", batch_size, 1)
        return self._session.predict(contiguous(batch, self.dtype), at_once)

    def __repr__(self) -> str:
        """Shapes and type."""
        return (
            f"CompiledNet(input_shape={self.input_shape}, output_shape={self.output_shape}, "
            f"dtype={self.dtype.name})"
        )

    def __reduce__(self) -> NoReturn:
        """Refuse: weights are in a form that only this machine's kernels take."""
        raise TypeError("a CompiledNet cannot be pickled or copied: compile the network again")
