"""Inference: what a network computes from images when it is not trained."""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from pocketcnn import losses
from pocketcnn._arguments import as_array, integer, real_numbers, require_batch
from pocketcnn._text import excerpt
from pocketcnn.functional._cross_entropy import checked_target
from pocketcnn.layers import Array
from pocketcnn.network import measuring
from pocketcnn.network.head import end_of_frozen_part
from pocketcnn.network.structure import Structure

if TYPE_CHECKING:
    from pocketcnn.data import Dataset
    from pocketcnn.network.compiled import CompiledNet


class Inference(Structure):
    """A `Structure` that computes scores, and what layers on the way give."""

    def predict(self, x: ArrayLike, batch_size: int | None = None) -> Array:
        """Compute the scores of each class, in inference mode.

        Parameters
        ----------
        x : array_like, (N, *input_shape)
        batch_size : int or None
            How many samples pass through the network at a time; None chooses as many as keep
            the largest activation below 32 MiB. Sums may be added in another order in batches
            of another size: scores can differ in their last bits.

        Returns
        -------
        logits : ndarray, (N, K), of the network's dtype
            Scores before softmax.
        """
        x = self._checked_input(x)
        parts = self._batches(len(x), batch_size)
        if len(parts) == 1:
            out = self._infer(x)
            # Dropout and Flatten, alone, hand on their input itself.
            return out.copy() if np.may_share_memory(out, x) else out
        out = np.empty((len(x), *self.output_shape), self.dtype)
        for part in parts:
            out[part] = self._infer(x[part])
        return out

    def compile(self, batch_size: int | None = None, *, storage: str | None = None) -> CompiledNet:
        """Freeze a copy of the network for inference, which the core runs in one call.

        It is faster than `predict`, most of all for few and small images: batch normalisation is
        folded into the convolutions before it, weights are brought into the form that the kernels
        take once and not at every call, and Python is not asked between layers. Later changes of
        the network do not reach it.

        Parameters
        ----------
        batch_size : int or None
            How many samples pass through the network at a time, for which weights are made ready.
            None is one for this, and as many as in `predict` for a larger batch.
        storage : "bfloat16", optional
            The weights of fully connected layers with 2**20 weights or more are rounded to 16 bits,
            to nearest even, which is a relative change of up to 2**-9 each. Sums and all else stay
            float32. A few images then pass such layers in a little more than half of the time, and
            in half of the memory; by default nothing is rounded.

        Returns
        -------
        compiled : CompiledNet
            ``compiled(x)`` are the scores.

        Raises
        ------
        ValueError
            A layer is of a class that the core does not know, such as a class of your own; or
            `storage` is another, or the network not of float32.

        Examples
        --------
        >>> import pocketcnn as pc
        >>> net = pc.models.lenet5()
        >>> compiled = net.compile()
        >>> x = np.random.default_rng(0).random((5, 1, 28, 28), dtype=np.float32)
        >>> bool(np.abs(compiled(x) - net.predict(x)).max() < 1e-5)
        True
        """
        from pocketcnn.network.compiled import CompiledNet

        with self.sharing.read("compiling"):
            return CompiledNet(self, batch_size, storage)

    def accuracy(
        self, x: ArrayLike | Dataset, t: ArrayLike | None = None, batch_size: int | None = None
    ) -> float:
        """Part of the samples, 0 to 1, whose largest score is at the target's class.

        Of a network that makes maps it is the part of all places.

        Parameters
        ----------
        x : array_like, (N, *input_shape), or Dataset
        t : array_like, int (N,) or float (N, K); with maps int (N, H, W) or float (N, K, H, W)
            Labels, or a probability for each class. A data set has its own.
        batch_size : int or None
            As in `predict`.
        """
        if t is not None:
            hits, samples = self._count_hits(x, t, batch_size)
        else:
            batches = measuring.batches_of("x", x, batch_size or self._inference_batch)
            with closing(batches):
                counts = [self._count_hits(*batch, batch_size) for batch in batches]
            hits, samples = map(sum, zip(*counts, strict=True))
        return hits / (samples * math.prod(self.output_shape[1:]))

    def activations(self, x: ArrayLike) -> dict[str, Array]:
        """Compute every layer's output, by the layer's name, in inference mode."""
        x = self._cast(self._checked_input(x))
        with self.sharing.read("a look at activations"):
            self._remembers = None
            return dict(self.graph.outputs(x))

    @overload
    def features(
        self, data: Dataset, upto: str | None = None, batch_size: int | None = None
    ) -> tuple[Array, Array]: ...

    @overload
    def features(
        self, data: ArrayLike, upto: str | None = None, batch_size: int | None = None
    ) -> Array: ...

    def features(
        self, data: Any, upto: str | None = None, batch_size: int | None = None
    ) -> Array | tuple[Array, Array]:
        """Compute what a layer gives, in inference mode: once, to train what is behind it.

        Parameters
        ----------
        data : array_like, (N, *input_shape), or Dataset
            Of a data set, a batch of images is in memory at a time.
        upto : str, optional
            The layer's name. None is the last up to which nothing changes in training, because
            layers are frozen or have nothing to train, and on which alone the rest depends.
        batch_size : int or None
            As in `predict`.

        Returns
        -------
        features : ndarray, (N, *shape of the layer's output), of the network's dtype
        t : ndarray, (N, ...)
            The targets, only of a data set.

        Raises
        ------
        ValueError
            The name is no layer's, or is left out and the first layers are not frozen.

        Examples
        --------
        >>> import pocketcnn as pc
        >>> net = pc.models.simple_convnet()
        >>> net.freeze("*")
        >>> net.unfreeze("fc2")
        >>> net.features(np.zeros((5, 1, 28, 28))).shape
        (5, 100)
        """
        name = self._checked_layer("upto", upto)
        with self.sharing.read("a look at features"):
            self._remembers = None
            entries = self.graph.up_to(name)
            body = Inference(entries, self.input_shape, seed=None, dtype=self.dtype)
            if not hasattr(data, "batch"):
                return body.predict(data, batch_size)
            batches = measuring.batches_of("data", data, batch_size or body._inference_batch)
            with closing(batches):
                parts = [(body.predict(x, len(x)), t) for x, t in batches]
            features, targets = zip(*parts, strict=True)
            return np.concatenate(features), np.concatenate(targets)

    def _checked_layer(self, argument: str, name: str | None) -> str:
        """A layer's name; by default where what is frozen ends."""
        if name is None:
            return end_of_frozen_part(self.graph)
        if not isinstance(name, str):
            raise TypeError(f"{argument} is {name!r}, but must be the name of a layer")
        if name not in self.layers:
            names = excerpt(", ".join(self.layers), 400)
            raise ValueError(f"{argument} is {name!r}, but the layers are {names}")
        return name

    def _infer(self, x: Array) -> Array:
        x = self._cast(x)
        self.sharing.begin_reading("a prediction")
        try:
            self._remembers = None
            return self._flow.infer(x)
        finally:
            self.sharing.end_reading()

    def _count_hits(self, x: Any, t: Any, batch_size: int | None) -> tuple[int, int]:
        """Return how many outputs are right, and how many samples there are."""
        x, t = self._checked_input(x), as_array("t", t)
        if len(x) == 0 or t.ndim == 0 or len(x) != len(t):
            raise ValueError(
                f"x has {len(x)} samples and t has {len(t) if t.ndim else 'none'}: "
                "need as many, at least 1"
            )
        t = checked_target("target", t, (len(x), *self.output_shape))
        parts = self._batches(len(x), batch_size)
        return sum(losses.count_hits(self._infer(x[part]), t[part]) for part in parts), len(x)

    def _batches(self, samples: int, batch_size: int | None) -> list[slice]:
        size = self._inference_batch
        if batch_size is not None:
            size = integer("batch_size", batch_size, 1)
        return [slice(start, start + size) for start in range(0, samples, size)]

    def _checked_input(self, x: ArrayLike) -> Array:
        batch = real_numbers("x", x)
        require_batch("x", batch, self.input_shape)
        return batch

    def _cast(self, x: Array) -> Array:
        return x.astype(self.dtype, copy=False)
