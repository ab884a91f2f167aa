"""The named networks, as their papers or books describe them.

Every function takes the number of classes, the shape of one image and a seed; see `ConvNet` for
what a seed does. ``seed=None`` draws the weights only when they are first used, so that a large
network can be inspected without memory for its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

from pocketcnn._arguments import extent, sizes
from pocketcnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Residual,
    Shape,
    Sigmoid,
    Tanh,
)
from pocketcnn.layers.chain import named_layers, output_shapes
from pocketcnn.network.net import ConvNet

__all__ = [
    "alexnet",
    "compact_resnet",
    "deep_convnet",
    "lenet5",
    "resnet18",
    "simple_convnet",
    "vgg16",
]


def __dir__() -> list[str]:
    """List the public names, which completion shows."""
    return sorted(__all__)


_T = TypeVar("_T")
NamedLayers = list[tuple[str, Layer]]


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
    num_classes, input_shape = _sizes(num_classes, input_shape)
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
    num_classes, input_shape = _sizes(num_classes, input_shape)
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
        ("fc1", Linear(_features(body, input_shape), 120)),
        (f"{activation}3", act()),
        ("fc2", Linear(120, 84)),
        (f"{activation}4", act()),
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
    num_classes, input_shape = _sizes(num_classes, input_shape)
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
    num_classes, input_shape = _sizes(num_classes, input_shape)
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
    num_classes, input_shape = _sizes(num_classes, input_shape)
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
        ("fc6", Linear(_features(body, input_shape), 4096)),
        ("relu6", ReLU()),
        ("dropout6", Dropout(0.5)),
        ("fc7", Linear(4096, 4096)),
        ("relu7", ReLU()),
        ("dropout7", Dropout(0.5)),
        ("fc8", Linear(4096, num_classes)),
    ]
    return ConvNet(body + head, input_shape, seed=seed)


def resnet18(
    num_classes: int = 1000, *, input_shape: Shape = (3, 224, 224), seed: int | None = 0
) -> ConvNet:
    """ResNet-18: a convolution 7x7, eight residual blocks of two 3x3, average, one linear layer.

    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1, with
    projections where the shapes change (option B) and batch normalisation after every convolution.
    """
    num_classes, input_shape = _sizes(num_classes, input_shape)
    layers: NamedLayers = [
        ("conv1", Conv2d(input_shape[0], 64, kernel_size=7, stride=2, padding=3, bias=False)),
        ("bn1", BatchNorm2d(64)),
        ("relu", ReLU()),
        ("pool", MaxPool2d(3, stride=2, padding=1)),
    ]
    channels = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for place in range(2):
            stride = 2 if stage > 1 and place == 0 else 1
            layers.append((f"layer{stage}_{place}", _basic_block(channels, width, stride)))
            layers.append((f"relu{stage}_{place}", ReLU()))
            channels = width
    layers += [
        ("avgpool", GlobalAvgPool2d()),
        ("flatten", Flatten()),
        ("fc", Linear(channels, num_classes)),
    ]
    return ConvNet(layers, input_shape, seed=seed)


def compact_resnet(
    num_classes: int = 10, *, input_shape: Shape = (3, 32, 32), seed: int | None = 0
) -> ConvNet:
    """Nine convolutions 3x3 with batch normalisation and three residual blocks, for small images.

    Our own design, for training in minutes on a CPU: 0.8 million parameters and 40 million
    multiply-adds per picture of 32x32. It is shallow and wide, after the networks of Page ("How to
    Train Your ResNet", 2018), because such networks learn most in few epochs. Max pooling halves
    the maps, because a 3x3 convolution is cheap with stride 1 and not with stride 2. It pools
    before it normalises, which cuts the work of everything after to a quarter. The residual block
    is that of He et al. (see `pocketcnn.Residual`) with its last ReLU inside the branch. The images
    need no scaling: the first normalisation undoes any.
    """
    num_classes, input_shape = _sizes(num_classes, input_shape)
    layers: NamedLayers = []
    channels = input_shape[0]
    for stage, width in enumerate((32, 96, 160), start=1):
        layers += [
            (f"conv{stage}", Conv2d(channels, width, kernel_size=3, padding=1, bias=False)),
            (f"pool{stage}", MaxPool2d(2)),
            (f"bn{stage}", BatchNorm2d(width)),
            (f"relu{stage}", ReLU()),
            (f"block{stage}", Residual([*_normalised(1, width), *_normalised(2, width)])),
        ]
        channels = width
    layers += [
        ("pool", GlobalAvgPool2d()),
        ("flatten", Flatten()),
        ("fc", Linear(channels, num_classes)),
    ]
    return ConvNet(layers, input_shape, seed=seed)


def _basic_block(channels: int, width: int, stride: int) -> Residual:
    """Two convolutions 3x3; a 1x1 in the shortcut if the number or the size of maps changes."""
    same = stride == 1 and channels == width
    return Residual(
        body=[
            ("conv1", Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)),
            ("bn1", BatchNorm2d(width)),
            ("relu", ReLU()),
            ("conv2", Conv2d(width, width, 3, padding=1, bias=False)),
            ("bn2", BatchNorm2d(width)),
        ],
        shortcut=None
        if same
        else [
            ("conv", Conv2d(channels, width, 1, stride=stride, bias=False)),
            ("bn", BatchNorm2d(width)),
        ],
    )


def _normalised(place: int, width: int) -> NamedLayers:
    """A 3x3 convolution that keeps the shape, batch normalisation, ReLU."""
    return [
        (f"conv{place}", Conv2d(width, width, kernel_size=3, padding=1, bias=False)),
        (f"bn{place}", BatchNorm2d(width)),
        (f"relu{place}", ReLU()),
    ]


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


def _sizes(num_classes: int, input_shape: Shape) -> tuple[int, Shape]:
    """Return both arguments as plain ints; an error names the wrong one."""
    shape = sizes("input_shape", input_shape, axes="C, H, W")
    return extent("num_classes", num_classes), tuple(extent("input_shape", n) for n in shape)


def _features(body: NamedLayers, input_shape: Shape) -> int:
    """Length of the flattened output of `body`."""
    shapes = output_shapes(named_layers(body), input_shape)
    return next(reversed(shapes.values()))[0]


def _choice(name: str, value: str, choices: Mapping[str, _T]) -> _T:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(choices)}")
    return choices[value]
