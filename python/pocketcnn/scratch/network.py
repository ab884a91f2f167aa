"""What the book's networks have in common: a chain of layers, its loss and its gradient."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn.arguments import Array, integer
from pocketcnn.scratch.blocks import ConvBlock, Layer, stages
from pocketcnn.scratch.gradient import numerical_gradient
from pocketcnn.scratch.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    SoftmaxWithLoss,
)
from pocketcnn.scratch.parameters import load_params, save_params

# Outside training these act otherwise.
_TWO_MODES = (Dropout, BatchNormalization)
_WITHOUT_INPUT_GRAD = (Affine, Convolution, ConvBlock)


class Network:
    """Base of the book's networks.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1``, ``b1``, ... in the order of the layers: the layers' own arrays.
    layers : dict of str to layer, or list of layers
    last_layer : SoftmaxWithLoss
    """

    # Whether loss() passes through Dropout and BatchNormalization as in training.
    _trains_in_loss = False

    def __init__(self, params: dict[str, Array], layers: dict[str, Layer] | list[Layer]) -> None:
        self.params = params
        self.layers = layers
        self.last_layer = SoftmaxWithLoss()
        self._passed: list[Layer] = []

    def predict(self, x: npt.ArrayLike, train_flg: bool = False) -> Array:
        """Compute the scores (N, K) of x, before softmax.

        Parameters
        ----------
        x : array_like (N, ...)
        train_flg : bool
            Whether Dropout and BatchNormalization act as in training.
        """
        self._passed = stages(self._chain())
        out = np.asarray(x)
        for stage in self._passed:
            two_modes = isinstance(stage, _TWO_MODES)
            out = stage.forward(out, train_flg) if two_modes else stage.forward(out)
        return out

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Mean cross-entropy of x for the labels (N,) or one-hot rows (N, K) in t."""
        return self.last_layer.forward(self.predict(x, self._trains_in_loss), t)

    def accuracy(self, x: Array, t: npt.ArrayLike, batch_size: int = 100) -> float:
        """Part of x, 0 to 1, whose largest score is at the right class; every example counts.

        Parameters
        ----------
        x : ndarray (N, ...)
        t : array_like of integers (N,), or one-hot (N, K)
        batch_size : int
            How many examples pass through the network at a time.
        """
        t = np.asarray(t)
        labels = t if t.ndim == 1 else t.argmax(axis=1)
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
            With the keys, shapes and dtypes of `params`.
        """
        self._training_loss(x, t)
        dout: Any = self.last_layer.backward()
        first = self._passed[0]
        for stage in reversed(self._passed):
            if stage is first and isinstance(stage, _WITHOUT_INPUT_GRAD):
                stage.backward(dout, input_grad=False)
            else:
                dout = stage.backward(dout)
        return self._grads()

    def numerical_gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, Array]:
        """Differentiate `loss` by central differences: slow, to check `gradient` with.

        Every loss sees the same Dropout masks, those that the next `gradient` would draw after
        ``np.random`` was left as it was.
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
        """Take the parameters from a file of the book's, or of `save_params`.

        Raises
        ------
        ValueError
            If the file holds anything but arrays (see `pocketcnn.scratch.load_params`), or
            others than this network's.
        """
        found = load_params(file_name)
        if found.keys() != self.params.keys():
            raise ValueError(
                f"{file_name} has {sorted(found)}, but must have {sorted(self.params)}"
            )
        self.params.update(found)
        for number, layer in enumerate(self._weighted(), start=1):
            layer.W, layer.b = self.params[f"W{number}"], self.params[f"b{number}"]
        for number, norm in enumerate(self._normalising(), start=1):
            norm.gamma, norm.beta = self.params[f"gamma{number}"], self.params[f"beta{number}"]

    def _training_loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        return self.loss(x, t)

    def _grads(self) -> dict[str, Array]:
        grads: dict[str, Any] = {}
        for number, layer in enumerate(self._weighted(), start=1):
            grads[f"W{number}"], grads[f"b{number}"] = layer.dW, layer.db
        for number, norm in enumerate(self._normalising(), start=1):
            grads[f"gamma{number}"], grads[f"beta{number}"] = norm.dgamma, norm.dbeta
        return grads

    def _chain(self) -> list[Layer]:
        return list(self.layers.values() if isinstance(self.layers, dict) else self.layers)

    def _weighted(self) -> list[Affine | Convolution]:
        return [layer for layer in self._chain() if isinstance(layer, (Affine, Convolution))]

    def _normalising(self) -> list[BatchNormalization]:
        return [layer for layer in self._chain() if isinstance(layer, BatchNormalization)]
