"""The fully connected networks of chapters 5 and 6."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn._arguments import Array
from pocketcnn.layers.init import he_std
from pocketcnn.scratch.blocks import pass_on
from pocketcnn.scratch.holders import Layer, Place, every_layer
from pocketcnn.scratch.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
)
from pocketcnn.scratch.network import Network

_ACTIVATIONS = {"relu": Relu, "sigmoid": Sigmoid}


class TwoLayerNet(Network):
    """Affine - Relu - Affine: chapter 5's network.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
    weight_init_std : float
        Weights are this times ``np.random.randn``; biases are 0.

    Attributes
    ----------
    params : dict
        W1, b1, W2, b2.
    layers : dict
        Affine1, Relu1, Affine2.
    """

    layers: dict[str, Layer]

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float = 0.01
    ) -> None:
        params = _draw_params([input_size, hidden_size, output_size], weight_init_std)
        layers = {
            "Affine1": Affine(params["W1"], params["b1"]),
            "Relu1": Relu(),
            "Affine2": Affine(params["W2"], params["b2"]),
        }
        super().__init__(params, layers)

    @property
    def lastLayer(self) -> SoftmaxWithLoss:
        """The same as `last_layer`."""
        return self.last_layer

    @lastLayer.setter
    def lastLayer(self, layer: SoftmaxWithLoss) -> None:
        self.last_layer = layer


class MultiLayerNet(Network):
    """Affine layers, with an activation between each two, and weight decay.

    Parameters
    ----------
    input_size : int
    hidden_size_list : sequence of int
    output_size : int
    activation : {"relu", "sigmoid"}
    weight_init_std : float or {"relu", "he", "sigmoid", "xavier"}
        The factor of ``np.random.randn``: a number, sqrt(2 / inputs) for the first two names,
        sqrt(1 / inputs) for the last two.
    weight_decay_lambda : float
        Half of it times the squares of all weights is added to the loss.

    Attributes
    ----------
    params : dict
        W1, b1, ...
    layers : dict
        Affine1, Activation_function1, ...
    """

    layers: dict[str, Layer]

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"activation is {activation!r}, but must be one of {list(_ACTIVATIONS)}"
            )
        self.input_size = input_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.output_size = output_size
        self.weight_decay_lambda = weight_decay_lambda
        params = _draw_params([input_size, *hidden_size_list, output_size], weight_init_std)
        super().__init__(params, {})
        for number in range(1, self.hidden_layer_num + 1):
            self._add_affine(number)
            self._add_after_affine(number)
            self.layers[f"Activation_function{number}"] = _ACTIVATIONS[activation]()
            self._add_after_activation(number)
        self._add_affine(self.hidden_layer_num + 1)
        self._held = self._places()

    def _add_affine(self, number: int) -> None:
        W, b = self.params[f"W{number}"], self.params[f"b{number}"]
        self.layers[f"Affine{number}"] = Affine(W, b)

    def _add_after_affine(self, number: int) -> None:
        """Place for a layer of `MultiLayerNetExtend`."""

    def _add_after_activation(self, number: int) -> None:
        """Place for a layer of `MultiLayerNetExtend`."""

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Mean cross-entropy, and the weight decay's share."""
        return super().loss(x, t) + self._decay()

    def _decay(self) -> Any:
        """Half of lambda times the squares of all weights."""
        if not self.weight_decay_lambda:
            return 0
        layers = filter(_decays, every_layer(self._chain()))
        squares = sum(np.sum(layer.W**2) for layer in layers)
        return 0.5 * self.weight_decay_lambda * squares

    def _gradient(self, name: str, held: list[Place]) -> Array:
        grad = super()._gradient(name, held)
        for layer, attribute in held:
            if attribute == "W" and _decays(layer) and self.weight_decay_lambda:
                grad = grad + self.weight_decay_lambda * layer.W
        return grad


def _decays(layer: Layer) -> bool:
    """Whether the layer's W is part of the weight decay."""
    return isinstance(layer, (Affine, Convolution))


class MultiLayerNetExtend(MultiLayerNet):
    """`MultiLayerNet` with batch normalisation and dropout.

    Parameters
    ----------
    input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda
        As in `MultiLayerNet`.
    use_dropout : bool
        Whether a Dropout follows each activation.
    dropout_ration : float
        Probability of dropping an element. The name is the book's.
    use_batchnorm : bool
        Whether a BatchNormalization comes before each activation, with gamma1, beta1, ... in
        `params`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
    ) -> None:
        self.use_dropout = use_dropout
        self.use_batchnorm = use_batchnorm
        self._dropout_ratio = dropout_ration
        super().__init__(
            *(input_size, hidden_size_list, output_size),
            *(activation, weight_init_std, weight_decay_lambda),
        )

    def _add_after_affine(self, number: int) -> None:
        if self.use_batchnorm:
            size = self.hidden_size_list[number - 1]
            gamma, beta = np.ones(size), np.zeros(size)
            self.params[f"gamma{number}"], self.params[f"beta{number}"] = gamma, beta
            self.layers[f"BatchNorm{number}"] = BatchNormalization(gamma, beta)

    def _add_after_activation(self, number: int) -> None:
        if self.use_dropout:
            self.layers[f"Dropout{number}"] = Dropout(self._dropout_ratio)

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike, train_flg: bool = False) -> Any:
        """Mean cross-entropy, with the weight decay's share; see `predict` for train_flg."""
        scores = pass_on(self.predict, x, train_flg)
        return self.last_layer.forward(scores, t) + self._decay()

    def _training_loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        return self.loss(x, t, train_flg=True)


def _draw_params(sizes: Sequence[int], weight_init_std: float | str) -> dict[str, Array]:
    """Draw W1, b1, ... for layers between these sizes."""
    params: dict[str, Array] = {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        std = _std(weight_init_std, inputs)
        params[f"W{number}"] = std * np.random.randn(inputs, outputs)
        params[f"b{number}"] = np.zeros(outputs)
    return params


def _std(weight_init_std: float | str, inputs: int) -> float:
    """Standard deviation of the weights of a unit with `inputs` inputs."""
    if not isinstance(weight_init_std, str):
        return weight_init_std
    name = weight_init_std.lower()
    if name in ("relu", "he"):
        return he_std(inputs)
    if name in ("sigmoid", "xavier"):
        return math.sqrt(1 / inputs)
    raise ValueError(
        f"weight_init_std is {weight_init_std!r}, but must be a number, 'relu', 'he', 'sigmoid' "
        "or 'xavier'"
    )
