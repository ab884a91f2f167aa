"""The base of the layers with a weight: how it is drawn, and where its gradient goes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.init import Init, Scheme, checked_init, normal, weight_std

_LARGE = 2**20  # bytes of a gradient whose memory is worth releasing early


class WeightLayer(Layer):
    """A layer with a weight and an optional bias.

    Parameters
    ----------
    weight_shape : tuple of int
    use_bias : bool
    init, fans
        How the weight is drawn; see `pocketcnn.layers.init`.
    outputs : int or None
        Length of the bias; None is that of the weight's first axis.
    """

    def __init__(
        self,
        weight_shape: Shape,
        *,
        use_bias: bool,
        init: Init,
        fans: tuple[int, int],
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        self.init = checked_init(init)
        self.use_bias = bool(use_bias)
        self.param_shapes = {"weight": weight_shape}
        if use_bias:
            self.param_shapes["bias"] = (weight_shape[0] if outputs is None else outputs,)
        self._fans = fans

    @property
    def weight(self) -> Array:
        """The array ``params["weight"]``."""
        return self.params["weight"]

    @property
    def bias(self) -> Array | None:
        """The array ``params["bias"]``, or None in a layer without bias."""
        return self.params.get("bias")

    def draw_params(self, rng: np.random.Generator, auto: Scheme) -> dict[str, Array]:
        """Draw the weight as :mod:`pocketcnn.layers.init` says; the bias is zero."""
        std = weight_std(self.init, auto, *self._fans)
        params = {"weight": normal(rng, self.param_shapes["weight"], std, self.dtype)}
        if self.use_bias:
            params["bias"] = np.zeros(self.param_shapes["bias"], self.dtype)
        return params

    def has_large_grads(self) -> bool:
        """Whether there is something for `forget_grads` to release."""
        return math.prod(self.param_shapes["weight"]) * self.dtype.itemsize >= _LARGE

    def forget_grads(self) -> None:
        """Release large gradients before memory for new ones is needed; until then, zeros."""
        params = self.params
        if params["weight"].nbytes < _LARGE:  # a bias is smaller
            return
        for key, array in params.items():
            if array.nbytes >= _LARGE:
                self.grads[key] = np.broadcast_to(np.zeros((), array.dtype), array.shape)

    def store_grads(self, weight: Array, bias: Array | None) -> None:
        """Store the gradients that a backward pass computed; that of a bias if there is one."""
        grads = self.grads
        grads["weight"] = weight
        if self.use_bias and bias is not None:
            grads["bias"] = bias

    def _argument(self, name: str) -> Any:
        # `bias` is the array; the constructor's argument of that name says whether there is one.
        return self.use_bias if name == "bias" else super()._argument(name)
