"""The two networks of the book "Deep Learning from Scratch"."""

from __future__ import annotations

from pocketcnn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Shape
from pocketcnn.models._parts import NamedLayers, checked_sizes, features, stages
from pocketcnn.network.net import ConvNet


def simple_convnet(
    num_classes: int = 10, *, input_shape: Shape = (1, 28, 28), seed: int | None = 0
) -> ConvNet:
    """Conv - ReLU - pool - linear - ReLU - linear: a minimal convolutional network.

    Saito, "Deep Learning from Scratch", O'Reilly Japan 2016, section 7.5: 30 filters 5x5 and 100
    hidden units.

    Examples
    --------
    >>> simple_convnet().output_shape
    (10,)
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    body: NamedLayers = [
        ("conv1", Conv2d(input_shape[0], 30, kernel_size=5)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(2)),
        ("flatten", Flatten()),
    ]
    head: NamedLayers = [
        ("fc1", Linear(features(body, input_shape), 100)),
        ("relu2", ReLU()),
        ("fc2", Linear(100, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)


def deep_convnet(
    num_classes: int = 10, *, input_shape: Shape = (1, 28, 28), seed: int | None = 0
) -> ConvNet:
    """Six convolutions 3x3 in three stages, two linear layers with dropout, He initialisation.

    Saito, "Deep Learning from Scratch", O'Reilly Japan 2016, section 8.1. As there, the fourth
    convolution has a padding of 2, and dropout follows the last linear layer too.
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    body = stages(input_shape[0], ((16, 16), (32, 32), (64, 64)), wide=("conv2_2",))
    body.append(("flatten", Flatten()))
    head: NamedLayers = [
        ("fc1", Linear(features(body, input_shape), 50, init="he")),
        ("relu4", ReLU()),
        ("dropout1", Dropout(0.5)),
        ("fc2", Linear(50, num_classes, init="he")),
        ("dropout2", Dropout(0.5)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)
