"""MobileNetV2, whose blocks have few maps outside and many inside."""

from __future__ import annotations

from pocketcnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    ReLU6,
    Shape,
)
from pocketcnn.models._parts import NamedLayers, block, checked_sizes
from pocketcnn.network.net import ConvNet

# Table 2 of the paper: how much wider a block is inside, maps after it, blocks, first stride.
_STAGES = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def mobilenet_v2(
    num_classes: int = 1000, *, input_shape: Shape = (3, 224, 224), seed: int | None = 0
) -> ConvNet:
    """MobileNetV2: a convolution 3x3, seventeen inverted residual blocks, 1x1, one linear layer.

    Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    CVPR 2018, table 2, with batch normalisation after every convolution. Layers have the names of
    torchvision's modules, with underscores for dots.
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    layers = _numbered("features_0", _normalised(input_shape[0], 32, 3, stride=2))
    channels, place = 32, 1
    for expansion, width, count, first_stride in _STAGES:
        for repeat in range(count):
            stride = first_stride if repeat == 0 else 1
            body = _inverted(channels, width, expansion, stride)
            same = stride == 1 and channels == width
            layers += block(f"features_{place}", body, residual=same)
            channels, place = width, place + 1
    layers += [
        *_numbered(f"features_{place}", _normalised(channels, 1280, 1)),
        ("avgpool", GlobalAvgPool2d()),
        ("flatten", Flatten()),
        ("classifier_0", Dropout(0.2)),
        ("classifier_1", Linear(1280, num_classes)),
    ]
    return ConvNet(layers, input_shape, seed=seed)


def _inverted(channels: int, width: int, expansion: int, stride: int) -> NamedLayers:
    """A 1x1 to more maps, a depthwise 3x3, and a 1x1 to `width` maps, without ReLU6."""
    wide = channels * expansion
    steps = [_normalised(channels, wide, 1)] if expansion > 1 else []
    steps.append(_normalised(wide, wide, 3, stride=stride, groups=wide))
    end = len(steps)
    return [
        *(it for place, step in enumerate(steps) for it in _numbered(f"conv_{place}", step)),
        (f"conv_{end}", Conv2d(wide, width, 1, bias=False)),
        (f"conv_{end + 1}", BatchNorm2d(width)),
    ]


def _normalised(
    channels: int, width: int, kernel_size: int, *, stride: int = 1, groups: int = 1
) -> list[Layer]:
    """Convolution, batch normalisation, ReLU6."""
    padding = kernel_size // 2
    return [
        Conv2d(channels, width, kernel_size, stride, padding, groups=groups, bias=False),
        BatchNorm2d(width),
        ReLU6(),
    ]


def _numbered(name: str, layers: list[Layer]) -> NamedLayers:
    return [(f"{name}_{place}", layer) for place, layer in enumerate(layers)]
