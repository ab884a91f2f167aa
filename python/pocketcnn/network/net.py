"""ConvNet: an ordered list of layers, its loss and its parameters.

How to train one is not in this file; see :mod:`pocketcnn.training.trainer`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from threading import get_ident

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pocketcnn import losses
from pocketcnn._arguments import as_array, class_names, integer, real_numbers, require_batch, sizes
from pocketcnn._sharing import Sharing, changes
from pocketcnn.functional._cross_entropy import checked_target
from pocketcnn.layers import Array, Shape
from pocketcnn.layers.chain import checked_dtype, draw_weights, every_layer, require_scores
from pocketcnn.network import gradient_check, serialization, summary
from pocketcnn.network.fusion import fuse_graph
from pocketcnn.network.graph import Entry, Graph, skip_input_grad
from pocketcnn.network.stages import Update

# Blocks of up to 32 MiB are recycled by the C library's allocator; larger ones come as fresh
# pages each time, and touching those costs more than small layers do.
_INFERENCE_BYTES = 32 * 2**20


class ConvNet:
    """Named layers that turn images into class scores.

    Parameters
    ----------
    layers : sequence of (str, Layer) or (str, Layer, str or list of str)
        Names and layers, in order. A name has no dot: "conv1" makes "conv1.weight". A layer takes
        what the one before it gives, unless a third part names others before it, as many as it
        takes; "input" is the network's own input. The last layer's output is the network's.
    input_shape : tuple of int
        Shape of one sample: (C, H, W).
    seed : int or None
        Seed of ``numpy.random.default_rng``, from which all weights are drawn in the order of the
        layers, and which gives each Dropout a generator of its own. None keeps the weights
        that the layers have, such as those of a trained network's layers under a new head; layers
        that are new then have weights drawn each for itself. Layers are shared, not copied: two
        networks that have one train the same weights, and give it the `dtype` of the later.
    dtype : float32 or float64
        Of parameters, activations and gradients. Input of another dtype is converted (and not
        scaled: the pixels of uint8 images remain 0 to 255).

    Attributes
    ----------
    layers : dict of str to Layer
    graph : Graph
        The layers in order, and what each takes.
    input_shape, output_shape : tuple of int
        Without the batch axis.
    dtype : numpy.dtype
    classes : list of str or None
        Names of the classes, one for each score or, in a network that makes maps, each map; saved
        with the network.
    sharing : Sharing
        Which thread trains the network now.

    Raises
    ------
    ValueError
        If a layer cannot take what it is given, or nobody takes what it gives, or it has weights,
        from another network or a file or set by hand, that `seed` would draw anew; the message
        names the layer.

    Notes
    -----
    Any number of threads may call `predict`, `accuracy` and `activations` at once. Training
    (`loss`, `gradient`, `forward` and `backward`, a trainer's step) is for one thread at a time:
    another that trains or predicts meanwhile gets a RuntimeError, and so does a `backward` whose
    thread did not call the last `forward`. Networks that have layers in common, and layers used by
    themselves, are not guarded: they belong to one thread.

    Examples
    --------
    >>> from pocketcnn.layers import Flatten, Linear
    >>> net = ConvNet([("flat", Flatten()), ("fc", Linear(4, 2))], input_shape=(1, 2, 2))
    >>> net.predict(np.zeros((3, 1, 2, 2))).shape
    (3, 2)
    >>> sorted(net.params)
    ['fc.bias', 'fc.weight']

    Squeeze-and-excitation, where two layers take what "features" gives:

    >>> from pocketcnn.layers import Conv2d, GlobalAvgPool2d, Multiply, Sigmoid
    >>> layers = [
    ...     ("features", Conv2d(1, 8, 3)),
    ...     ("pool", GlobalAvgPool2d()),
    ...     ("squeeze", Conv2d(8, 8, 1)),
    ...     ("gate", Sigmoid()),
    ...     ("scale", Multiply(), ["features", "gate"]),
    ... ]
    >>> ConvNet(layers, input_shape=(1, 6, 6)).output_shape
    (8, 4, 4)
    """

    def __init__(
        self,
        layers: Sequence[Entry],
        input_shape: Sequence[int],
        *,
        seed: int | None = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.sharing = Sharing(
            "the network",
            "one thread at a time trains it, and others predict before or after, or use a copy "
            "that net.astype(net.dtype) made",
        )
        self._classes: list[str] | None = None
        self._remembers: int | None = None  # the thread whose `forward` was the last use
        self.input_shape = sizes("input_shape", input_shape)
        self.dtype = checked_dtype(dtype)
        self.graph = Graph(layers, self.input_shape)
        self.layers = self.graph.layers
        if seed is None:
            for layer in self.layers.values():
                layer.convert(self.dtype)
        else:
            schemes = self.graph.init_schemes()
            draw_weights(self.layers, schemes, integer("seed", seed, 0), self.dtype)
        skip_input_grad(self.graph)
        # Last: which weights are large depends on the dtype that the layers have now.
        self._flow, self._fusion_notes = fuse_graph(self.graph)
        largest = max(map(math.prod, self.graph.shapes)) * self.dtype.itemsize
        self._inference_batch = max(1, _INFERENCE_BYTES // largest)

    @property
    def output_shape(self) -> Shape:
        """Shape of the scores of one sample, (K,) in a classifier."""
        return self.graph.shapes[-1]

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes, if they are known."""
        return self._classes

    @classes.setter
    def classes(self, names: Sequence[str] | None) -> None:
        count = self.output_shape[0] if self.output_shape else 0
        self._classes = None if names is None else class_names("classes", names, count)

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Names of what each layer takes, by its name; "input" is the network's own input."""
        return self.graph.inputs

    @property
    def entries(self) -> list[Entry]:
        """The layers as the constructor takes them."""
        return self.graph.entries()

    @property
    def params(self) -> dict[str, Array]:
        """The parameters, ``{"conv1.weight": array}``: the arrays themselves, in a new dict.

        Change them in place: ``net.params["conv1.bias"][...] = 0``.
        """
        return self._by_name("params")

    @property
    def grads(self) -> dict[str, Array]:
        """The derivatives that the last gradient left, with the keys of `params`."""
        return self._by_name("grads")

    @property
    def buffers(self) -> dict[str, Array]:
        """What layers keep besides parameters, such as running means, named like `params`."""
        return self._by_name("buffers")

    @property
    def generators(self) -> dict[str, np.random.Generator]:
        """The random generators that layers draw from in training, by the layer's name."""
        layers = every_layer(self.layers)
        return {name: layer.rng for name, layer in layers if layer.rng is not None}

    def _by_name(self, kind: str) -> dict[str, Array]:
        return {
            f"{name}.{key}": array
            for name, layer in self.layers.items()
            for key, array in getattr(layer, kind).items()
        }

    # Inference

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

    def accuracy(self, x: ArrayLike, t: ArrayLike, batch_size: int | None = None) -> float:
        """Part of the samples, 0 to 1, whose largest score is at the target's class.

        Of a network that makes maps it is the part of all places.

        Parameters
        ----------
        x : array_like, (N, *input_shape)
        t : array_like, int (N,) or float (N, K); with maps int (N, H, W) or float (N, K, H, W)
            Labels, or a probability for each class.
        batch_size : int or None
            As in `predict`.
        """
        x, t = self._checked_input(x), as_array("t", t)
        if len(x) == 0 or t.ndim == 0 or len(x) != len(t):
            raise ValueError(
                f"x has {len(x)} samples and t has {len(t) if t.ndim else 'none'}: "
                "need as many, at least 1"
            )
        t = checked_target("target", t, (len(x), *self.output_shape))
        correct = 0
        for part in self._batches(len(x), batch_size):
            correct += losses.count_hits(self._infer(x[part]), t[part])
        return correct / (len(x) * math.prod(self.output_shape[1:]))

    def activations(self, x: ArrayLike) -> dict[str, Array]:
        """Compute every layer's output, by the layer's name, in inference mode."""
        x = self._cast(self._checked_input(x))
        with self.sharing.read("a look at activations"):
            self._remembers = None
            return dict(self.graph.outputs(x))

    def _infer(self, x: Array) -> Array:
        x = self._cast(x)
        self.sharing.begin_reading("a prediction")
        try:
            self._remembers = None
            return self._flow.infer(x)
        finally:
            self.sharing.end_reading()

    def _batches(self, samples: int, batch_size: int | None) -> list[slice]:
        size = self._inference_batch
        if batch_size is not None:
            size = integer("batch_size", batch_size, 1)
        return [slice(start, start + size) for start in range(0, samples, size)]

    # Training

    @changes("a loss")
    def loss(self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float = 0.0) -> float:
        """Mean cross-entropy of the batch, in training mode.

        Parameters
        ----------
        x, t, label_smoothing
            As in `value_and_gradient`.
        """
        loss, _ = self._forward_loss(x, t, label_smoothing)
        self._remembers = None
        self._flow.clear()
        return loss

    def gradient(
        self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float = 0.0
    ) -> dict[str, Array]:
        """Differentiate `loss` by every parameter, by backpropagation.

        Parameters
        ----------
        x, t, label_smoothing
            As in `value_and_gradient`.
        """
        return self.value_and_gradient(x, t, label_smoothing=label_smoothing)[1]

    @changes("a gradient")
    def value_and_gradient(
        self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float = 0.0
    ) -> tuple[float, dict[str, Array]]:
        """Loss and gradient of a batch from one pass forward and one backward.

        Parameters
        ----------
        x : array_like, (N, *input_shape)
        t : array_like, int (N,) or float (N, K)
            Labels, or a probability for each class.
        label_smoothing : float
            See `pocketcnn.losses.cross_entropy`.

        Returns
        -------
        loss : float
            Mean cross-entropy.
        grads : dict of str to ndarray
            With the keys, shapes and dtype of `params`.
        """
        loss, grad = self._forward_loss(x, t, label_smoothing)
        self.backward(grad)
        return loss, self.grads

    def numerical_gradient(
        self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float = 0.0, step: float = 1e-4
    ) -> dict[str, Array]:
        """Differentiate `loss` by central differences: slow, to check `gradient` with.

        Two losses are computed for each parameter, in float64 whatever the network's dtype.
        Every loss sees the same Dropout masks, those which the next `gradient` will draw.

        Parameters
        ----------
        x, t, label_smoothing
            As in `value_and_gradient`.
        step : float
            Distance to each side. The error is of order ``step ** 2``, plus rounding of order
            ``1e-16 / step``.
        """
        twin = self.astype(np.float64)
        loss = gradient_check.repeatable_loss(twin, x, t, label_smoothing)
        return gradient_check.central_differences(loss, twin.params, step=step)

    def check_gradients(
        self,
        x: ArrayLike,
        t: ArrayLike,
        *,
        label_smoothing: float = 0.0,
        entries: int = 10,
        seed: int = 0,
        step: float = 1e-6,
        verbose: bool = True,
    ) -> gradient_check.GradientCheck:
        """Compare `gradient` with central differences, and print a table, a row a parameter.

        Both in float64 on a copy, with the same Dropout masks: right ones agree to about 1e-5.

        Parameters
        ----------
        x, t, label_smoothing, step
            As in `numerical_gradient`; a few samples are enough.
        entries, seed : int
            How many elements of a parameter are compared, and the seed they are drawn with.
        verbose : bool
            Whether the table is printed.
        """
        check = gradient_check.check_gradients(self, x, t, label_smoothing, entries, seed, step)
        if verbose:
            print(check)
        return check

    @changes("a forward pass")
    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        """Pass a batch through all layers, which remember what `backward` needs.

        Parameters
        ----------
        x : array_like, (N, *input_shape)
        training : bool
            Whether layers such as Dropout act as in training.

        Returns
        -------
        logits : ndarray, (N, K), of the network's dtype
        """
        out = self._cast(self._checked_input(x))
        self._remembers = None
        out = self._flow.forward(out, training)
        self._remembers = get_ident()
        return out

    @changes("a backward pass")
    def backward(self, grad: Array, update: Update | None = None) -> None:
        """Carry a gradient from the scores down to the first parameters, filling `grads`.

        Parameters
        ----------
        grad : ndarray, (N, K)
            d loss / d logits for the last `forward`, which is forgotten on the way and must have
            been this thread's.
        update : callable (params, grads), optional
            Such as `Optimizer.apply`: uses up the gradients of layers that `summary` calls
            "updated in backward".
        """
        if self._remembers != get_ident():
            raise RuntimeError(
                "backward needs a forward before it: of the same thread, and with no other use of "
                "the network since"
            )
        self._remembers = None
        self._flow.backward(grad, update)

    def _forward_loss(
        self, x: ArrayLike, t: ArrayLike, label_smoothing: float
    ) -> tuple[float, Array]:
        require_scores(self.layers)
        logits = self.forward(x, training=True)
        return losses.cross_entropy(logits, as_array("t", t), label_smoothing=label_smoothing)

    # The network as a whole

    def astype(self, dtype: DTypeLike) -> ConvNet:
        """Return an independent copy, its parameters converted to `dtype`."""
        twins = {name: layer.astype(dtype) for name, layer in self.layers.items()}
        twin = ConvNet(self.graph.entries(twins), self.input_shape, seed=None, dtype=dtype)
        twin.classes = self.classes
        return twin

    def summary(self, width: int | None = None) -> str:
        """Describe each layer in a line: settings, output shape, parameters, multiply-adds.

        Parameters
        ----------
        width : int, optional
            Columns of a terminal: a table that is wider goes without its notes, and with settings
            that are cut.
        """
        notes = self._fusion_notes
        return summary.describe(self.graph, self.dtype, notes, width)

    def save(self, path: str | PathLike[str]) -> None:
        """Write architecture and weights to one .safetensors file, which `load` reads.

        The file is complete or not there: it is written beside `path` and then renamed. The
        same network gives the same bytes, and a checksum of them is among them.

        Raises
        ------
        OSError
            The file cannot be written; it is left as it was.
        """
        serialization.save(path, self.graph, self.dtype, self.classes)

    def __repr__(self) -> str:
        return f"ConvNet({self.entries}, input_shape={self.input_shape})"

    # Checks and preparation

    def _checked_input(self, x: ArrayLike) -> Array:
        batch = real_numbers("x", x)
        require_batch("x", batch, self.input_shape)
        return batch

    def _cast(self, x: Array) -> Array:
        return x.astype(self.dtype, copy=False)
