"""ConvNet: an ordered list of layers, its loss and its parameters.

How to train one is not in this file; see :mod:`pocketcnn.training.trainer`.
"""

from __future__ import annotations

from os import PathLike
from threading import get_ident
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from pocketcnn import losses
from pocketcnn._arguments import as_array
from pocketcnn._sharing import changes
from pocketcnn.layers import Array
from pocketcnn.layers.chain import require_scores
from pocketcnn.network.head import with_new_head
from pocketcnn.network.inference import Inference
from pocketcnn.network.stages import Made, Update

if TYPE_CHECKING:
    from pocketcnn.losses.base import Objective
    from pocketcnn.network.gradient_check import GradientCheck


class ConvNet(Inference):
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
    preprocessing : Preprocessing or None
        How pixels become the input; saved with the network. Without it, the command line divides
        them by 255 and stretches pictures to the network's size.
    trainable : dict of str to ndarray
        Those of `params` that training changes; see `freeze`.
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

    # Training

    @changes("a loss")
    def loss(
        self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float = 0.0, loss: Objective = None
    ) -> float:
        """Mean cross-entropy of the batch, in training mode.

        Parameters
        ----------
        x, t, label_smoothing, loss
            As in `value_and_gradient`.
        """
        value, _ = self._forward_loss(x, t, label_smoothing, loss)
        self._remembers = None
        self._flow.clear()
        return value

    def gradient(
        self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float = 0.0, loss: Objective = None
    ) -> dict[str, Array]:
        """Differentiate `loss` by every parameter of `trainable`, by backpropagation.

        Parameters
        ----------
        x, t, label_smoothing, loss
            As in `value_and_gradient`.
        """
        return self.value_and_gradient(x, t, label_smoothing=label_smoothing, loss=loss)[1]

    @changes("a gradient")
    def value_and_gradient(
        self, x: ArrayLike, t: ArrayLike, *, label_smoothing: float = 0.0, loss: Objective = None
    ) -> tuple[float, dict[str, Array]]:
        """Loss and gradient of a batch from one pass forward and one backward.

        Parameters
        ----------
        x : array_like, (N, *input_shape)
        t : array_like, int (N,) or float (N, K)
            Labels, or a probability for each class.
        label_smoothing : float
            See `pocketcnn.losses.cross_entropy`.
        loss : callable (output, t) -> (mean loss, gradient), optional
            Another one, such as `pocketcnn.losses.MeanSquaredError()`, with the targets that it
            takes.

        Returns
        -------
        loss : float
            Mean cross-entropy, or that of `loss`.
        grads : dict of str to ndarray
            With the keys, shapes and dtype of `trainable`.
        """
        value, grad = self._forward_loss(x, t, label_smoothing, loss)
        self.backward(grad)
        return value, self.grads

    def numerical_gradient(
        self,
        x: ArrayLike,
        t: ArrayLike,
        *,
        label_smoothing: float = 0.0,
        loss: Objective = None,
        step: float = 1e-4,
    ) -> dict[str, Array]:
        """Differentiate `loss` by central differences: slow, to check `gradient` with.

        Two losses are computed for each parameter, in float64 whatever the network's dtype.
        Every loss sees the same Dropout masks, those which the next `gradient` will draw.

        Parameters
        ----------
        x, t, label_smoothing, loss
            As in `value_and_gradient`.
        step : float
            Distance to each side. The error is of order ``step ** 2``, plus rounding of order
            ``1e-16 / step``.
        """
        from pocketcnn.network import gradient_check

        twin = self.astype(np.float64)
        repeated = gradient_check.repeatable_loss(twin, x, t, label_smoothing, loss)
        return gradient_check.central_differences(repeated, twin.trainable, step=step)

    def check_gradients(
        self,
        x: ArrayLike,
        t: ArrayLike,
        *,
        label_smoothing: float = 0.0,
        loss: Objective = None,
        entries: int = 10,
        seed: int = 0,
        step: float = 1e-6,
        verbose: bool = True,
    ) -> GradientCheck:
        """Compare `gradient` with central differences, and print a table, a row a parameter.

        Both in float64 on a copy, with the same Dropout masks: right ones agree to about 1e-5.

        Parameters
        ----------
        x, t, label_smoothing, loss, step
            As in `numerical_gradient`; a few samples are enough.
        entries, seed : int
            How many elements of a parameter are compared, and the seed they are drawn with.
        verbose : bool
            Whether the table is printed.
        """
        from pocketcnn.network.gradient_check import check_gradients

        check = check_gradients(self, x, t, label_smoothing, loss, entries, seed, step)
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
        self._follow_layers()
        self._remembers = None
        out = self._flow.forward(out, training)
        self._remembers = get_ident()
        return out

    @changes("a backward pass")
    def backward(
        self, grad: Array, update: Update | None = None, *, made: Made | None = None
    ) -> None:
        """Carry a gradient from the scores down to the first parameters, filling `grads`.

        Parameters
        ----------
        grad : ndarray, (N, K)
            d loss / d logits for the last `forward`, which is forgotten on the way and must have
            been this thread's.
        update : callable (params, grads), optional
            Such as `Optimizer.apply`: uses up the gradients of layers that `summary` calls
            "updated in backward".
        made : callable (layers), optional
            Told of layers whose `grads` are complete, from the last to the first, while the others
            are computed.
        """
        if self._remembers != get_ident():
            raise RuntimeError(
                "backward needs a forward before it: of the same thread, and with no other use of "
                "the network since"
            )
        self._remembers = None
        self._ask_for_gradients()
        self._flow.backward(grad, update, made=made)

    def _forward_loss(
        self, x: ArrayLike, t: ArrayLike, label_smoothing: float, loss: Objective
    ) -> tuple[float, Array]:
        if loss is not None:
            from pocketcnn.losses.base import as_loss

            objective = as_loss(loss)
            if label_smoothing:
                raise ValueError("loss and label_smoothing are given: CrossEntropy has its own")
            if objective.contains is not None:
                require_scores(self.layers, objective.contains)
            return objective(self.forward(x, training=True), as_array("t", t))
        require_scores(self.layers)
        logits = self.forward(x, training=True)
        return losses.cross_entropy(logits, as_array("t", t), label_smoothing=label_smoothing)

    # The network as a whole

    def astype(self, dtype: DTypeLike) -> ConvNet:
        """Return an independent copy, its parameters converted to `dtype`."""
        twins = {name: layer.astype(dtype) for name, layer in self.layers.items()}
        twin = ConvNet(self.graph.entries(twins), self.input_shape, seed=None, dtype=dtype)
        twin.classes, twin.preprocessing = self.classes, self.preprocessing
        twin._take_frozen(self)
        return twin

    def head(self, upto: str | None = None) -> ConvNet:
        """The layers that come behind a layer, as a network: the same layers, not copies.

        To train it on `features` is to train this network's last layers with the others frozen, but
        for the time that the others take in every step.

        Parameters
        ----------
        upto : str, optional
            As `features` takes it. Nothing behind this layer may take what one before it gives.

        Raises
        ------
        ValueError
            The name is no layer's, or not all that is behind depends on this layer alone.
        """
        name = self._checked_layer("upto", upto)
        place = list(self.layers).index(name)
        head = ConvNet(
            self.graph.behind(name), self.graph.shapes[place + 1], seed=None, dtype=self.dtype
        )
        head.classes = self.classes
        return head

    @changes("an exchange of the last layer")
    def replace_head(self, num_classes: int, seed: int = 0) -> ConvNet:
        """Put a new layer in place of the last that has weights, for other classes.

        All other layers stay as they are, also frozen ones frozen. The new layer has the name and
        the settings of the old one, a Linear or a Conv2d of kernel size 1, and is not frozen.
        `classes` are forgotten.

        Parameters
        ----------
        num_classes : int
        seed : int
            Of the new layer's weights.

        Returns
        -------
        ConvNet
            This network itself.

        Raises
        ------
        ValueError
            The last layer with weights is of another kind, or does not alone give the scores. Then
            nothing has changed.
        """
        self.graph = with_new_head(self.graph, num_classes, seed, self.dtype)
        self.classes = None
        self._plan()
        return self

    def summary(self, width: int | None = None) -> str:
        """Describe each layer in a line: settings, output shape, parameters, multiply-adds.

        Parameters
        ----------
        width : int, optional
            Columns of a terminal: a table that is wider goes without its notes, and with settings
            that are cut.
        """
        from pocketcnn.network.summary import describe

        return describe(self.graph, self.dtype, self._fusion_notes, width)

    def save(self, path: str | PathLike[str]) -> None:
        """Write architecture and weights to one .safetensors file, which `load` reads.

        The file is complete or not there: it is written beside `path` and then renamed. The
        same network gives the same bytes, and a checksum of them is among them.

        Raises
        ------
        OSError
            The file cannot be written; it is left as it was.
        """
        from pocketcnn.network import serialization

        serialization.save(path, self.graph, self.dtype, self.classes, self.preprocessing)

    def __repr__(self) -> str:
        return f"ConvNet({self.entries}, input_shape={self.input_shape})"
