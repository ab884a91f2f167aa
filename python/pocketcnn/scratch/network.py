"""What the book's networks have in common: a chain of layers, its loss and its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn._arguments import Array, integer
from pocketcnn.scratch.blocks import backward, forward, pass_on, stages
from pocketcnn.scratch.gradient import numerical_gradient
from pocketcnn.scratch.holders import Layer, Place, gradient, places
from pocketcnn.scratch.layers import SoftmaxWithLoss
from pocketcnn.scratch.parameters import load_params, save_params


class Network:
    """Base of the book's networks, which may be modified as in the book.

    Layers may be inserted, removed or replaced, also by a reader's own. A parameter belongs to the
    layers that hold the same array object.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1``, ``b1``, ...: the layers' own arrays.
    layers : dict of str to layer, or list of layers
    last_layer : SoftmaxWithLoss
    """

    # Whether loss() passes through Dropout and BatchNormalization as in training.
    _trains_in_loss = True

    # What the last predict passed through, and where each parameter was last found. A reader's
    # network may have an __init__ that does not call this one, or a predict of its own.
    _passed: list[Layer] | None = None
    _held: Mapping[str, list[Place]] = MappingProxyType({})

    def __init__(self, params: dict[str, Array], layers: dict[str, Layer] | list[Layer]) -> None:
        self.params = params
        self.layers = layers
        self.last_layer = SoftmaxWithLoss()
        self._held = self._places()

    def __repr__(self) -> str:
        """The layers, one per line."""
        named = self.layers.items() if isinstance(self.layers, dict) else enumerate(self.layers)
        lines = [f"  {name}: {layer!r}" for name, layer in named]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def predict(self, x: npt.ArrayLike, train_flg: bool = False) -> Array:
        """Compute the scores (N, K) of x, before softmax.

        Parameters
        ----------
        x : array_like (N, ...)
        train_flg : bool
            Whether Dropout and BatchNormalization act as in training.
        """
        passed = stages(self._chain())
        out = np.asarray(x)
        for stage in passed:
            out = forward(stage, out, train_flg)
        self._passed = passed
        return out

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Mean cross-entropy of x for the labels (N,) or one-hot rows (N, K) in t.

        Dropout and BatchNormalization act as in training, as in the book's networks.
        """
        return self.last_layer.forward(pass_on(self.predict, x, self._trains_in_loss), t)

    def accuracy(self, x: Array, t: npt.ArrayLike, batch_size: int = 100) -> float:
        """Share of x, 0 to 1, whose largest score is at the right class; every example counts.

        Parameters
        ----------
        x : ndarray (N, ...)
        t : array_like of integers (N,), or one-hot (N, K)
        batch_size : int
            How many examples pass through the network at a time.
        """
        t = np.asarray(t)
        labels = t.reshape(-1) if t.size == len(t) else t.argmax(axis=1)
        size = integer("batch_size", batch_size, 1)
        if len(x) != len(labels) or not len(x):
            raise ValueError(f"x has {len(x)} examples and t {len(labels)}: need as many, not 0")
        right = 0
        for start in range(0, len(x), size):
            scores = self.predict(x[start : start + size])
            right += int((scores.argmax(axis=1) == labels[start : start + size]).sum())
        return right / len(x)

    def gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, Array]:
        """Differentiate `loss` by every parameter, by backpropagation.

        Returns
        -------
        dict of str to ndarray
            With the keys, shapes and dtypes of `params`; for a parameter that several layers share,
            the sum.

        Raises
        ------
        ValueError
            If `params` has an array that no layer holds.
        """
        held = self._places()
        for name in [name for name, its_places in held.items() if not its_places]:
            gradient(name, [])
        self._passed = None
        self._training_loss(x, t)
        dout = self.last_layer.backward(1)
        backward(self._chain() if self._passed is None else self._passed, dout)
        self._held = held
        return {name: self._gradient(name, its_places) for name, its_places in held.items()}

    def numerical_gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, Array]:
        """Differentiate `loss` by central differences: slow, for checking `gradient`.

        Every loss uses the same Dropout masks: those that the next `gradient` draws, because the
        state of ``np.random`` is restored at the end.
        """
        state = np.random.get_state()

        def loss(_: Array) -> Any:
            np.random.set_state(state)
            return self._training_loss(x, t)

        return {name: numerical_gradient(loss, value) for name, value in self.params.items()}

    def save_params(self, file_name: str | PathLike[str] = "params.pkl") -> None:
        """Write `params` to a pickle, as the book does."""
        save_params(self.params, file_name)

    def load_params(self, file_name: str | PathLike[str] = "params.pkl") -> None:
        """Load the parameters from a file of the book, or of `save_params`.

        Raises
        ------
        ValueError
            If the file holds anything but arrays (see `pocketcnn.scratch.load_params`), or not the
            arrays of this network.
        """
        found = load_params(file_name)
        if found.keys() != self.params.keys():
            raise ValueError(
                f"{file_name} has {sorted(found)}, but must have {sorted(self.params)}"
            )
        first: dict[int, str] = {}
        for name, value in self.params.items():
            if found[name].shape != np.shape(value):
                raise ValueError(
                    f"{file_name} has {name} of shape {found[name].shape}, but the network's has "
                    f"{np.shape(value)}"
                )
            twin = first.setdefault(id(value), name)
            if not np.array_equal(found[name], found[twin], equal_nan=True):
                raise ValueError(
                    f"{file_name} has different {twin} and {name}, which share one array here"
                )
            found[name] = found[twin]
        self._held = self._places()
        self.params.update(found)
        for name, its_places in self._held.items():
            for layer, attribute in its_places:
                setattr(layer, attribute, found[name])

    def _training_loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        return self.loss(x, t)

    def _places(self) -> dict[str, list[Place]]:
        return places(self.params, self._chain(), self._held)

    def _gradient(self, name: str, held: list[Place]) -> Array:
        """Gradient of a parameter after the layers' backward."""
        return gradient(name, held)

    def _chain(self) -> list[Layer]:
        return list(self.layers.values() if isinstance(self.layers, dict) else self.layers)
