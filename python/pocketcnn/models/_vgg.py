"""The networks of the Visual Geometry Group: 3x3 convolutions only."""

from __future__ import annotations

from pocketcnn.layers import Dropout, Flatten, Linear, ReLU, Shape
from pocketcnn.models._parts import NamedLayers, checked_sizes, features, stages
from pocketcnn.network.net import ConvNet


def vgg16(
    num_classes: int = 1000, *, input_shape: Shape = (3, 224, 224), seed: int | None = 0
) -> ConvNet:
    """VGG-16: thirteen convolutions 3x3 in five stages, three linear layers with dropout.

    Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    ICLR 2015, table 1, column D.
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    widths = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
    body = stages(input_shape[0], widths)
    body.append(("flatten", Flatten()))
    head: NamedLayers = [
        ("fc1", Linear(features(body, input_shape), 4096)),
        ("relu6", ReLU()),
        ("dropout1", Dropout(0.5)),
        ("fc2", Linear(4096, 4096)),
        ("relu7", ReLU()),
        ("dropout2", Dropout(0.5)),
        ("fc3", Linear(4096, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)
