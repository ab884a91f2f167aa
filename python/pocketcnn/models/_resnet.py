"""Residual networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pocketcnn.layers import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Shape,
)
from pocketcnn.models._parts import NamedLayers, checked_sizes
from pocketcnn.network.net import ConvNet


def resnet18(
    num_classes: int = 1000, *, input_shape: Shape = (3, 224, 224), seed: int | None = 0
) -> ConvNet:
    """ResNet-18: a convolution 7x7, eight residual blocks of two 3x3, average, one linear layer.

    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1, with
    projections where the shapes change (option B) and batch normalisation after every convolution.
    """
    return _resnet(_basic_block, (2, 2, 2, 2), num_classes, input_shape, seed)


def resnet50(
    num_classes: int = 1000, *, input_shape: Shape = (3, 224, 224), seed: int | None = 0
) -> ConvNet:
    """ResNet-50: a convolution 7x7, sixteen residual blocks of 1x1, 3x3, 1x1, one linear layer.

    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1 and
    figure 5. The first block of a stage halves the maps in its 3x3 convolution, not in the 1x1
    before it: so do torchvision and whoever else has weights of it.
    """
    return _resnet(_bottleneck, (3, 4, 6, 3), num_classes, input_shape, seed)


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
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
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


def _resnet(
    block: Callable[[int, int, int], tuple[Residual, int]],
    counts: Sequence[int],
    num_classes: int,
    input_shape: Shape,
    seed: int | None,
) -> ConvNet:
    """The first layers, stages of as many blocks as `counts` says, the last layers."""
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    layers: NamedLayers = [
        ("conv1", Conv2d(input_shape[0], 64, kernel_size=7, stride=2, padding=3, bias=False)),
        ("bn1", BatchNorm2d(64)),
        ("relu", ReLU()),
        ("pool", MaxPool2d(3, stride=2, padding=1)),
    ]
    channels = 64
    for stage, count in enumerate(counts, start=1):
        for place in range(count):
            stride = 2 if stage > 1 and place == 0 else 1
            residual, channels = block(channels, 32 * 2**stage, stride)
            layers.append((f"layer{stage}_{place}", residual))
            layers.append((f"relu{stage}_{place}", ReLU()))
    layers += [
        ("avgpool", GlobalAvgPool2d()),
        ("flatten", Flatten()),
        ("fc", Linear(channels, num_classes)),
    ]
    return ConvNet(layers, input_shape, seed=seed)


def _basic_block(channels: int, width: int, stride: int) -> tuple[Residual, int]:
    """Two convolutions 3x3, and the number of maps after them."""
    body: NamedLayers = [
        ("conv1", Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)),
        ("bn1", BatchNorm2d(width)),
        ("relu", ReLU()),
        ("conv2", Conv2d(width, width, 3, padding=1, bias=False)),
        ("bn2", BatchNorm2d(width)),
    ]
    return Residual(body, _projection(channels, width, stride)), width


def _bottleneck(channels: int, width: int, stride: int) -> tuple[Residual, int]:
    """A convolution 3x3 of few maps between two 1x1, and the number of maps after them."""
    wide = 4 * width
    body: NamedLayers = [
        ("conv1", Conv2d(channels, width, 1, bias=False)),
        ("bn1", BatchNorm2d(width)),
        ("relu1", ReLU()),
        ("conv2", Conv2d(width, width, 3, stride=stride, padding=1, bias=False)),
        ("bn2", BatchNorm2d(width)),
        ("relu2", ReLU()),
        ("conv3", Conv2d(width, wide, 1, bias=False)),
        ("bn3", BatchNorm2d(wide)),
    ]
    return Residual(body, _projection(channels, wide, stride)), wide


def _projection(channels: int, width: int, stride: int) -> NamedLayers | None:
    """A 1x1 convolution in the shortcut if the number or the size of maps changes."""
    if stride == 1 and channels == width:
        return None
    return [
        ("conv", Conv2d(channels, width, 1, stride=stride, bias=False)),
        ("bn", BatchNorm2d(width)),
    ]


def _normalised(place: int, width: int) -> NamedLayers:
    """A 3x3 convolution that keeps the shape, batch normalisation, ReLU."""
    return [
        (f"conv{place}", Conv2d(width, width, kernel_size=3, padding=1, bias=False)),
        (f"bn{place}", BatchNorm2d(width)),
        (f"relu{place}", ReLU()),
    ]
