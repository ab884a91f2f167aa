"""Linear: every output is a weighted sum of every input."""

from __future__ import annotations

import numpy as np

from pocketcnn._arguments import Array, integer
from pocketcnn.functional import LinearWeightGrad, linear, linear_backward
from pocketcnn.functional._matmul import matmul
from pocketcnn.layers.base import Shape
from pocketcnn.layers.init import Init, fans
from pocketcnn.layers.weight_layer import WeightLayer


def _column_sums(a: Array) -> Array:
    """Add up the rows; in float64 if there are many, because errors grow with their number."""
    many = 256
    sums: Array = a.sum(axis=0, dtype=np.float64 if len(a) > many else None)
    return sums.astype(a.dtype, copy=False)


class Linear(WeightLayer):
    """Fully connected layer, ``y = x @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Numbers per sample before and after.
    bias : bool
        Whether a number is added to each output.
    init : {"auto", "he", "xavier"} or float
        How the weight is drawn; see `pocketcnn.layers.init`.

    Attributes
    ----------
    weight : ndarray, (out_features, in_features)
    bias : ndarray, (out_features,), or None

    Examples
    --------
    >>> Linear(4320, 100).output_shape((4320,))
    (100,)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, init: Init = "auto"
    ) -> None:
        self.in_features = integer("in_features", in_features, 1)
        self.out_features = integer("out_features", out_features, 1)
        weight_shape = (self.out_features, self.in_features)
        super().__init__(weight_shape, use_bias=bias, init=init, fans=fans(weight_shape))

    def forward(self, x: Array, training: bool = False) -> Array:
        """Multiply x (N, in_features) into (N, out_features)."""
        self._saved = x
        params = self.params
        return linear(x, params["weight"], params.get("bias"))

    def backward(self, grad: Array) -> Array | None:
        """``dx = grad @ weight``, ``dweight = grad.T @ x``, ``dbias = sum of grad's rows``."""
        x = self._recall()
        if self.frozen:
            return matmul(grad, self.params["weight"]) if self.needs_input_grad else None
        self.forget_grads()
        dx, dweight, dbias = linear_backward(
            grad, x, self.params["weight"], input_grad=self.needs_input_grad
        )
        self.store_grads(dweight, dbias)
        return dx

    def backward_unfinished(self, grad: Array) -> tuple[Array | None, LinearWeightGrad, Array]:
        """Return dx, dweight not computed yet, and dbias; store nothing."""
        x = self._recall()
        for key, array in self.params.items():
            self.grads[key] = np.zeros(array.shape, array.dtype)  # pages not written: no memory
        dx = matmul(grad, self.params["weight"]) if self.needs_input_grad else None
        return dx, LinearWeightGrad(grad, x), _column_sums(grad)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_features,) to (out_features,)."""
        if input_shape != (self.in_features,):
            hint = "" if len(input_shape) == 1 else "; a Flatten before it makes one axis of them"
            raise ValueError(
                f"{self!r} takes inputs ({self.in_features},), but gets {input_shape}{hint}"
            )
        return (self.out_features,)

    def multiply_adds(self, input_shape: Shape) -> int:
        """One for each weight."""
        return self.in_features * self.out_features
