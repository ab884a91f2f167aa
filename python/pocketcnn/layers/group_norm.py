"""GroupNorm: groups of feature maps of mean zero and variance one, scaled and shifted."""

from __future__ import annotations

import numpy as np

from pocketcnn._arguments import Array, integer, non_negative
from pocketcnn.functional import group_norm, group_norm_backward
from pocketcnn.functional._channel_shuffle import require_groups
from pocketcnn.layers.base import Layer, Shape, check_image_shape
from pocketcnn.layers.init import Scheme
from pocketcnn.layers.sight import Sight


class GroupNorm(Layer):
    """``(x - mean) / sqrt(var + eps) * weight + bias``, with the statistics of groups of channels.

    Each image is normalised by itself, in training and in inference alike. As many groups as
    channels are instance normalisation. Wu, He, "Group Normalization", ECCV 2018.

    Parameters
    ----------
    groups : int
        Of as many consecutive channels each; must divide `channels`.
    channels : int
    eps : float
        Added to the variance, at least 0.

    Attributes
    ----------
    weight, bias : ndarray, (channels,)
        Initially ones and zeros.

    Examples
    --------
    >>> GroupNorm(8, 32).output_shape((32, 14, 14))
    (32, 14, 14)
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels = integer("channels", channels, 1)
        self.groups = require_groups(self.channels, groups)
        self.eps = non_negative("eps", eps)
        self.param_shapes = {"weight": (self.channels,), "bias": (self.channels,)}

    @property
    def weight(self) -> Array:
        """The array ``params["weight"]``."""
        return self.params["weight"]

    @property
    def bias(self) -> Array:
        """The array ``params["bias"]``."""
        return self.params["bias"]

    def draw_params(self, rng: np.random.Generator, auto: Scheme) -> dict[str, Array]:
        """Ones and zeros: nothing is drawn."""
        return {
            "weight": np.ones(self.channels, self.dtype),
            "bias": np.zeros(self.channels, self.dtype),
        }

    def forward(self, x: Array, training: bool = False) -> Array:
        """Normalise x (N, channels, H, W)."""
        out, self._saved = group_norm(x, self.groups, self.weight, self.bias, self.eps)
        return out

    def backward(self, grad: Array) -> Array:
        """Remove from the gradient the parts that would change a group's mean and variance."""
        dx, self.grads["weight"], self.grads["bias"] = group_norm_backward(grad, self._recall())
        return dx

    def output_shape(self, input_shape: Shape) -> Shape:
        """As the input's."""
        check_image_shape(self, input_shape)
        if input_shape[0] != self.channels:
            raise ValueError(f"{self!r} takes {self.channels} channels, but gets {input_shape[0]}")
        return input_shape

    def sight(self, input_shape: Shape) -> tuple[Sight, Sight]:
        """The whole map, of which the statistics are."""
        _, height, width = input_shape
        return Sight(0, height - 1, 0), Sight(0, width - 1, 0)
