"""The convolutional networks of chapters 7 and 8."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from pocketcnn._arguments import Array, integer
from pocketcnn.layers.init import he_std
from pocketcnn.scratch.holders import Layer
from pocketcnn.scratch.layers import Affine, Convolution, Dropout, Pooling, Relu
from pocketcnn.scratch.network import Network

# The settings of a convolution, and the smallest value of each.
_SETTINGS = {"filter_num": 1, "filter_size": 1, "pad": 0, "stride": 1}


def _conv_param(filter_num: int, filter_size: int, pad: int) -> Mapping[str, int]:
    """Settings of a convolution with stride 1, for an immutable default."""
    return MappingProxyType(dict(zip(_SETTINGS, (filter_num, filter_size, pad, 1), strict=True)))


class SimpleConvNet(Network):
    """Convolution - Relu - Pooling - Affine - Relu - Affine: chapter 7's network.

    Parameters
    ----------
    input_dim : (C, H, W)
    conv_param : mapping
        ``filter_num``, ``filter_size``, ``pad`` and ``stride`` of the convolution.
    hidden_size, output_size : int
    weight_init_std : float
        Weights are this times ``np.random.randn``, in the order W1, W2, W3; biases are 0.

    Attributes
    ----------
    params : dict
        W1, b1 (convolution), W2, b2, W3, b3 (the two Affine).
    layers : dict
        Conv1, Relu1, Pool1, Affine1, Relu2, Affine2.

    Examples
    --------
    >>> SimpleConvNet().params["W2"].shape
    (4320, 100)
    """

    layers: dict[str, Layer]

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param: Mapping[str, int] = _conv_param(30, 5, 0),
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float = 0.01,
    ) -> None:
        channels = _image(input_dim)[0]
        maps = _feature_maps(input_dim, conv_param)
        filters = maps[0]
        size = conv_param["filter_size"]
        params = {
            "W1": weight_init_std * np.random.randn(filters, channels, size, size),
            "b1": np.zeros(filters),
            "W2": weight_init_std
            * np.random.randn(math.prod(_pooled(maps, input_dim)), hidden_size),
            "b2": np.zeros(hidden_size),
            "W3": weight_init_std * np.random.randn(hidden_size, output_size),
            "b3": np.zeros(output_size),
        }
        layers = {
            "Conv1": _convolution(params, 1, conv_param),
            "Relu1": Relu(),
            "Pool1": Pooling(pool_h=2, pool_w=2, stride=2),
            "Affine1": Affine(params["W2"], params["b2"]),
            "Relu2": Relu(),
            "Affine2": Affine(params["W3"], params["b3"]),
        }
        super().__init__(params, layers)


class DeepConvNet(Network):
    """Six convolutions 3x3 in three stages, two Affine with Dropout: chapter 8's network.

    Parameters
    ----------
    input_dim : (C, H, W)
    conv_param_1, ..., conv_param_6 : mapping
        ``filter_num``, ``filter_size``, ``pad`` and ``stride`` of each convolution.
    hidden_size, output_size : int

    Attributes
    ----------
    params : dict
        W1, b1 to W6, b6 (convolutions), W7, b7, W8, b8 (Affine). Weights are drawn by
        ``np.random.randn`` in this order and scaled by sqrt(2 / inputs of a unit), He's
        initialisation; biases are 0.
    layers : list
        [Convolution, Relu] * 2 + [Pooling] three times, then Affine, Relu, Dropout, Affine,
        Dropout.

    Examples
    --------
    >>> DeepConvNet().params["W7"].shape
    (1024, 50)
    """

    layers: list[Layer]

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        conv_param_1: Mapping[str, int] = _conv_param(16, 3, 1),
        conv_param_2: Mapping[str, int] = _conv_param(16, 3, 1),
        conv_param_3: Mapping[str, int] = _conv_param(32, 3, 1),
        conv_param_4: Mapping[str, int] = _conv_param(32, 3, 2),
        conv_param_5: Mapping[str, int] = _conv_param(64, 3, 1),
        conv_param_6: Mapping[str, int] = _conv_param(64, 3, 1),
        hidden_size: int = 50,
        output_size: int = 10,
    ) -> None:
        conv_params = (
            *(conv_param_1, conv_param_2, conv_param_3),
            *(conv_param_4, conv_param_5, conv_param_6),
        )
        params: dict[str, Array] = {}
        layers: list[Layer] = []
        shape = _image(input_dim)
        for number, conv_param in enumerate(conv_params, start=1):
            maps, size = _feature_maps(shape, conv_param), conv_param["filter_size"]
            _add_weights(params, number, (maps[0], shape[0], size, size))
            layers += [_convolution(params, number, conv_param), Relu()]
            shape = maps
            if number % 2 == 0:
                layers.append(Pooling(pool_h=2, pool_w=2, stride=2))
                shape = _pooled(maps, input_dim)
        _add_weights(params, 7, (math.prod(shape), hidden_size))
        _add_weights(params, 8, (hidden_size, output_size))
        layers += [Affine(params["W7"], params["b7"]), Relu(), Dropout(0.5)]
        layers += [Affine(params["W8"], params["b8"]), Dropout(0.5)]
        super().__init__(params, layers)


def _image(input_dim: Sequence[int]) -> tuple[int, int, int]:
    if len(input_dim) != 3:
        raise ValueError(f"input_dim is {input_dim!r}, but must be (channels, height, width)")
    channels, height, width = (integer("input_dim", size, 1) for size in input_dim)
    return channels, height, width


def _feature_maps(input_dim: Sequence[int], conv_param: Mapping[str, int]) -> tuple[int, int, int]:
    """Shape of a convolution's output, for input_dim (C, H, W)."""
    if set(conv_param) != set(_SETTINGS):
        raise ValueError(f"conv_param has {sorted(conv_param)}, but must have {list(_SETTINGS)}")
    filters, size, pad, stride = (
        integer(key, conv_param[key], least) for key, least in _SETTINGS.items()
    )
    height, width = ((n + 2 * pad - size) // stride + 1 for n in input_dim[1:])
    if min(height, width) < 1:
        raise ValueError(f"input_dim is {input_dim!r}, too small for filter_size {size}")
    return filters, height, width


def _pooled(maps: tuple[int, int, int], input_dim: Sequence[int]) -> tuple[int, int, int]:
    """Shape of the maps after the pooling that follows a convolution."""
    filters, height, width = maps[0], maps[1] // 2, maps[2] // 2
    if min(height, width) < 1:
        raise ValueError(
            f"input_dim is {input_dim!r}, too small: maps of {maps[1]} x {maps[2]} are left to pool"
        )
    return filters, height, width


def _convolution(
    params: Mapping[str, Array], number: int, conv_param: Mapping[str, int]
) -> Convolution:
    """Make the convolution with the parameters number `number`."""
    stride, pad = conv_param["stride"], conv_param["pad"]
    return Convolution(params[f"W{number}"], params[f"b{number}"], stride, pad)


def _add_weights(params: dict[str, Array], number: int, shape: tuple[int, ...]) -> None:
    """Draw W by He's rule, for filters (FN, C, FH, FW) or a matrix (in, out); b is zero."""
    is_matrix = len(shape) == 2
    fan_in, outputs = shape if is_matrix else (math.prod(shape[1:]), shape[0])
    params[f"W{number}"] = he_std(fan_in) * np.random.randn(*shape)
    params[f"b{number}"] = np.zeros(outputs)
