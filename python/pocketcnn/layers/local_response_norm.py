"""LocalResponseNorm: each activation is damped by its neighbours in other channels."""

from __future__ import annotations

from pocketcnn._arguments import Array, extent, non_negative
from pocketcnn.functional import local_response_norm, local_response_norm_backward
from pocketcnn.layers.base import Layer, Shape, check_image_shape


class LocalResponseNorm(Layer):
    """``y = x / (k + alpha / size * (sum of x**2 over nearby channels)) ** beta``.

    Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 3.3; as in PyTorch, alpha is divided by the size.

    Parameters
    ----------
    size : int
        How many channels the sum goes over: from ``size // 2`` before to ``(size - 1) // 2`` after.
    alpha, beta, k : float
        Finite and at least 0.

    Examples
    --------
    >>> LocalResponseNorm(5, k=2.0).output_shape((96, 55, 55))
    (96, 55, 55)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = extent("size", size)
        self.alpha = non_negative("alpha", alpha)
        self.beta = non_negative("beta", beta)
        self.k = non_negative("k", k)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Damp x (N, C, H, W)."""
        out, self._saved = local_response_norm(x, self.size, self.alpha, self.beta, self.k)
        return out

    def backward(self, grad: Array) -> Array:
        """Each activation's gradient has a part from every neighbour that it damps."""
        return local_response_norm_backward(grad, self._recall())

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        check_image_shape(self, input_shape)
        return input_shape
