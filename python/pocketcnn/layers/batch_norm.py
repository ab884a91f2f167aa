"""BatchNorm2d: feature maps of mean zero and variance one, scaled and shifted."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import DTypeLike

from pocketcnn._arguments import Array, integer, non_negative, number
from pocketcnn.functional import batch_norm, batch_norm_backward
from pocketcnn.functional._batch_norm import (
    Total,
    batch_norm_again,
    batch_norm_backward_over,
    move_running,
)
from pocketcnn.functional._batch_norm_add import batch_norm_add, batch_norm_add_backward
from pocketcnn.functional._conv_block import KnownNorm
from pocketcnn.layers.base import Layer, Shape, check_image_shape
from pocketcnn.layers.init import Scheme


class BatchNorm2d(Layer):
    """``(x - mean) / sqrt(var + eps) * weight + bias``, channel by channel.

    Training uses the batch's mean and variance, and updates their running means; inference uses the
    running means, and so does a frozen layer. Ioffe, Szegedy, "Batch Normalization: Accelerating
    Deep Network Training by Reducing Internal Covariate Shift", ICML 2015.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance, at least 0.
    momentum : float
        Weight of a batch in the running means, 0 to 1.

    Attributes
    ----------
    weight, bias : ndarray, (num_features,)
        Initially ones and zeros.
    running_mean, running_var : ndarray, (num_features,)
        Initially zeros and ones; in `buffers`. A forward pass in training changes them in place.
    total : callable or None
        Adds up an array over the processes whose batches are normalised as one, while they train
        together; see `pocketcnn.functional.batch_norm`.

    Examples
    --------
    >>> x = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    >>> y = BatchNorm2d(1).forward(x, training=True)
    >>> bool(abs(y.mean()) < 1e-6 and abs(y.std() - 1) < 1e-5)
    True
    """

    total: Total | None = None

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.num_features = integer("num_features", num_features, 1)
        self.eps = non_negative("eps", eps)
        self.momentum = number("momentum", momentum, 0, 1)
        channels = (self.num_features,)
        self.param_shapes = {"weight": channels, "bias": channels}
        self.buffer_shapes = {"running_mean": channels, "running_var": channels}

    @property
    def weight(self) -> Array:
        """The array ``params["weight"]``."""
        return self.params["weight"]

    @property
    def bias(self) -> Array:
        """The array ``params["bias"]``."""
        return self.params["bias"]

    @property
    def running_mean(self) -> Array:
        """The array ``buffers["running_mean"]``."""
        return self.buffers["running_mean"]

    @property
    def running_var(self) -> Array:
        """The array ``buffers["running_var"]``."""
        return self.buffers["running_var"]

    def draw_params(self, rng: np.random.Generator, auto: Scheme) -> dict[str, Array]:
        """Ones and zeros: nothing is drawn."""
        return {
            "weight": np.ones(self.num_features, self.dtype),
            "bias": np.zeros(self.num_features, self.dtype),
        }

    def draw_buffers(self) -> dict[str, Array]:
        """Mean zero, variance one."""
        return {
            "running_mean": np.zeros(self.num_features, self.dtype),
            "running_var": np.ones(self.num_features, self.dtype),
        }

    def initialize(
        self, rng: np.random.Generator, *, auto: Scheme = "he", dtype: DTypeLike = np.float32
    ) -> None:
        """Start again, including the running means."""
        super().initialize(rng, auto=auto, dtype=dtype)
        self.buffers = self.draw_buffers()

    def forward(self, x: Array, training: bool = False) -> Array:
        """Normalise x (N, num_features, H, W)."""
        return self.normalize(x, training, rectify=False)

    def normalize(self, x: Array, training: bool, *, rectify: bool, ceiling: float = inf) -> Array:
        """Do as `forward`, with a ReLU after it if `rectify`; `backward` then allows for that.

        The ReLU's results are at most `ceiling`.
        """
        out, self._saved = batch_norm(
            x,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            training and not self.frozen,
            self.momentum,
            self.eps,
            rectify=rectify,
            ceiling=ceiling,
            total=self.total,
        )
        return out

    def again(self) -> Array:
        """Return the output of the last `normalize`, computed once more: the same bits."""
        return batch_norm_again(self._recall())

    def backward_over(self, grad: Array) -> Array:
        """Do as `backward`, with the gradient in the place of what `forward` took.

        For one who has made that array, and needs it no more.
        """
        gradients = batch_norm_backward_over(grad, self._recall())
        dx, self.grads["weight"], self.grads["bias"] = gradients
        return dx

    def normalize_sum(self, x: Array, added: Array, *, rectify: bool) -> Array:
        """Normalise in training and add, with a ReLU after that if `rectify`."""
        params = self.params
        out, cache = batch_norm_add(
            x, added, params["weight"], params["bias"], self.eps, rectify=rectify
        )
        self.follow(cache.mean, cache.variance, x.size // x.shape[1])
        self._saved = cache
        return out

    def backward_sum(self, grad: Array, more: Array | None = None) -> tuple[Array, Array]:
        """Return the gradients of what `normalize_sum` added and of what it normalised.

        The latter takes the place of what was normalised, the former that of `more`, if it is
        given: the gradient is then ``grad + more``.
        """
        gradients = batch_norm_add_backward(grad, self._recall(), more)
        dadded, dx, self.grads["weight"], self.grads["bias"] = gradients
        return dadded, dx

    def follow(self, mean: Array, variance: Array, count: int) -> None:
        """Move the running means towards a batch's, of `count` values a channel."""
        running = self.buffers["running_mean"], self.buffers["running_var"]
        move_running(*running, mean, variance, count, self.momentum)

    def known(self) -> KnownNorm:
        """The numbers that normalise in inference, for fusing with the convolution before."""
        params, buffers = self.params, self.buffers
        mean, variance = buffers["running_mean"], buffers["running_var"]
        return KnownNorm(params["weight"], params["bias"], mean, variance, self.eps)

    def backward(self, grad: Array) -> Array:
        """Remove from the gradient the parts that would change the batch's mean and variance."""
        dx, self.grads["weight"], self.grads["bias"] = batch_norm_backward(grad, self._recall())
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        check_image_shape(self, input_shape)
        if input_shape[0] != self.num_features:
            raise ValueError(
                f"{self!r} takes {self.num_features} channels, but gets {input_shape[0]}"
            )
        return input_shape
