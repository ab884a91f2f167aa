"""LeNet-5, the first convolutional network in wide use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

from pocketcnn.layers import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Shape,
    Sigmoid,
    Tanh,
)
from pocketcnn.models._parts import NamedLayers, checked_sizes, features
from pocketcnn.network.net import ConvNet

_T = TypeVar("_T")


def lenet5(
    num_classes: int = 10,
    *,
    input_shape: Shape = (1, 28, 28),
    activation: Literal["sigmoid", "tanh", "relu"] = "sigmoid",
    pooling: Literal["average", "max"] = "average",
    seed: int | None = 0,
) -> ConvNet:
    """LeNet-5: two convolutions 5x5, each with a subsampling by two, and three linear layers.

    LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition",
    Proceedings of the IEEE 86 (1998), section II. As is usual today, every filter of the second
    convolution sees every map, and the last layer gives scores.

    Parameters
    ----------
    input_shape : (C, H, W)
        Images of 32x32, the paper's size, are used as they are; others get a border of 2 pixels,
        which turns MNIST's 28x28 into that size.
    activation : {"sigmoid", "tanh", "relu"}
        The activation after each layer but the last. The paper uses a scaled tanh.
    pooling : {"average", "max"}
        How to subsample. ``activation="relu", pooling="max"`` is the network as one would
        build it now.
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    activations: dict[str, Callable[[], Layer]] = {"sigmoid": Sigmoid, "tanh": Tanh, "relu": ReLU}
    pools: dict[str, Callable[[int], Layer]] = {"average": AvgPool2d, "max": MaxPool2d}
    act = _choice("activation", activation, activations)
    pool = _choice("pooling", pooling, pools)
    border = 0 if tuple(input_shape[1:]) == (32, 32) else 2
    body: NamedLayers = [
        ("conv1", Conv2d(input_shape[0], 6, kernel_size=5, padding=border)),
        (f"{activation}1", act()),
        ("pool1", pool(2)),
        ("conv2", Conv2d(6, 16, kernel_size=5)),
        (f"{activation}2", act()),
        ("pool2", pool(2)),
        ("flatten", Flatten()),
    ]
    head: NamedLayers = [
        ("fc1", Linear(features(body, input_shape), 120)),
        (f"{activation}3", act()),
        ("fc2", Linear(120, 84)),
        (f"{activation}4", act()),
        ("fc3", Linear(84, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)


def _choice(name: str, value: str, choices: Mapping[str, _T]) -> _T:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
    return choices[value]
