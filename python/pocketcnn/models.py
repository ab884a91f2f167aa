"""The named networks, each as its paper or book describes it.

Every function takes the number of classes, the shape of one image and a seed; see `ConvNet` for
what a seed does. ``seed=None`` draws the weights only when they are first used, so that a large
network can be looked at without the memory that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence

from pocketcnn.chain import named_layers, output_shapes
from pocketcnn.layers import (
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Shape,
    Sigmoid,
)
from pocketcnn.net import ConvNet

NamedLayers = list[tuple[str, Layer]]


def simple_convnet(
    num_classes: int = 10, *, input_shape: Shape = (1, 28, 28), seed: int | None = 0
) -> ConvNet:
    """Conv - ReLU - pool - linear - ReLU - linear: the smallest network that deserves the name.

    Saito, "Deep Learning from Scratch", O'Reilly Japan 2016, section 7.5: 30 filters 5x5 and 100
    hidden units.

    Examples
    --------
    >>> simple_convnet().output_shape
    (10,)
    """
    body: NamedLayers = [
        ("conv1", Conv2d(input_shape[0], 30, kernel_size=5)),
        ("relu1", ReLU()),
        ("pool1", MaxPool2d(2)),
        ("flatten", Flatten()),
    ]
    head: NamedLayers = [
        ("fc1", Linear(_features(body, input_shape), 100)),
        ("relu2", ReLU()),
        ("fc2", Linear(100, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)


def lenet5(
    num_classes: int = 10, *, input_shape: Shape = (1, 28, 28), seed: int | None = 0
) -> ConvNet:
    """LeNet-5 in its present-day form: average pooling, sigmoid, every filter sees every map.

    LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition",
    Proceedings of the IEEE 86 (1998), section II. The padding of 2 makes the paper's 32x32 input
    of MNIST's 28x28.
    """
    body: NamedLayers = [
        ("conv1", Conv2d(input_shape[0], 6, kernel_size=5, padding=2)),
        ("sigmoid1", Sigmoid()),
        ("pool1", AvgPool2d(2)),
        ("conv2", Conv2d(6, 16, kernel_size=5)),
        ("sigmoid2", Sigmoid()),
        ("pool2", AvgPool2d(2)),
        ("flatten", Flatten()),
    ]
    head: NamedLayers = [
        ("fc1", Linear(_features(body, input_shape), 120)),
        ("sigmoid3", Sigmoid()),
        ("fc2", Linear(120, 84)),
        ("sigmoid4", Sigmoid()),
        ("fc3", Linear(84, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)


def deep_convnet(
    num_classes: int = 10, *, input_shape: Shape = (1, 28, 28), seed: int | None = 0
) -> ConvNet:
    """Six convolutions 3x3 in three stages, two linear layers with dropout, He initialisation.

    Saito, "Deep Learning from Scratch", O'Reilly Japan 2016, section 8.1. As there, the fourth
    convolution has a padding of 2, and dropout follows the last linear layer too.
    """
    body = _stages(input_shape[0], ((16, 16), (32, 32), (64, 64)), wide=("conv2_2",))
    body.append(("flatten", Flatten()))
    head: NamedLayers = [
        ("fc1", Linear(_features(body, input_shape), 50, init="he")),
        ("relu4", ReLU()),
        ("dropout1", Dropout(0.5)),
        ("fc2", Linear(50, num_classes, init="he")),
        ("dropout2", Dropout(0.5)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)


def vgg16(
    num_classes: int = 1000, *, input_shape: Shape = (3, 224, 224), seed: int | None = 0
) -> ConvNet:
    """VGG-16: thirteen convolutions 3x3 in five stages, three linear layers with dropout.

    Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    ICLR 2015, table 1, column D.
    """
    widths = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    body = _stages(input_shape[0], widths)
    body.append(("flatten", Flatten()))
    head: NamedLayers = [
        ("fc1", Linear(_features(body, input_shape), 4096)),
        ("relu6", ReLU()),
        ("dropout1", Dropout(0.5)),
        ("fc2", Linear(4096, 4096)),
        ("relu7", ReLU()),
        ("dropout2", Dropout(0.5)),
        ("fc3", Linear(4096, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)


def _stages(
    channels: int, widths: Sequence[Sequence[int]], wide: Sequence[str] = ()
) -> NamedLayers:
    """Stages of 3x3 convolutions, each with its ReLU, each stage ending in a 2x2 max pooling.

    Layers are named by stage and place, "conv2_1". Those named in `wide` have padding 2, others 1.
    """
    layers: NamedLayers = []
    for stage, filters in enumerate(widths, start=1):
        for place, width in enumerate(filters, start=1):
            name = f"conv{stage}_{place}"
            padding = 2 if name in wide else 1
            layers.append((name, Conv2d(channels, width, kernel_size=3, padding=padding)))
            layers.append((f"relu{stage}_{place}", ReLU()))
            channels = width
        layers.append((f"pool{stage}", MaxPool2d(2)))
    return layers


def _features(body: NamedLayers, input_shape: Shape) -> int:
    """How many numbers the flattened output of `body` has."""
    shapes = output_shapes(named_layers(body), input_shape)
    return next(reversed(shapes.values()))[0]
