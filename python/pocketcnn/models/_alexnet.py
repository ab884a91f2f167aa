"""AlexNet."""

from __future__ import annotations

from pocketcnn.layers import (
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Shape,
)
from pocketcnn.models._parts import NamedLayers, checked_sizes, features
from pocketcnn.network.net import ConvNet


def alexnet(
    num_classes: int = 1000,
    *,
    input_shape: Shape = (3, 224, 224),
    groups: int = 1,
    seed: int | None = 0,
) -> ConvNet:
    """AlexNet: five convolutions, response normalisation, overlapping pooling, dropout.

    Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 3. The border of 2 around 224 pixels gives the 55x55 maps of the
    paper. Its response normalisation has k = 2 and alpha = 1e-4 over 5 channels, which is
    ``LocalResponseNorm(5, alpha=5e-4, k=2)``, because there alpha is divided by the size.

    Parameters
    ----------
    groups : int
        1 is the network in one tower. 2 is the paper's: filters of the second, fourth and fifth
        convolutions see only the half of the maps on their own graphics card.
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    body: NamedLayers = [
        ("conv1", Conv2d(input_shape[0], 96, kernel_size=11, stride=4, padding=2)),
        ("relu1", ReLU()),
        ("norm1", LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)),
        ("pool1", MaxPool2d(3, stride=2)),
        ("conv2", Conv2d(96, 256, kernel_size=5, padding=2, groups=groups)),
        ("relu2", ReLU()),
        ("norm2", LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)),
        ("pool2", MaxPool2d(3, stride=2)),
        ("conv3", Conv2d(256, 384, kernel_size=3, padding=1)),
        ("relu3", ReLU()),
        ("conv4", Conv2d(384, 384, kernel_size=3, padding=1, groups=groups)),
        ("relu4", ReLU()),
        ("conv5", Conv2d(384, 256, kernel_size=3, padding=1, groups=groups)),
        ("relu5", ReLU()),
        ("pool5", MaxPool2d(3, stride=2)),
        ("flatten", Flatten()),
    ]
    head: NamedLayers = [
        ("fc6", Linear(features(body, input_shape), 4096)),
        ("relu6", ReLU()),
        ("dropout6", Dropout(0.5)),
        ("fc7", Linear(4096, 4096)),
        ("relu7", ReLU()),
        ("dropout7", Dropout(0.5)),
        ("fc8", Linear(4096, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)
