"""The convolutions of published networks, written down from their papers.

Each function passes maps through a network. Where a paper leaves the padding open, it is the one
that keeps the size, or halves it with a stride of 2. Transposed convolutions are not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import product

from benchmarks.shapes import Conv, Pair


class Maps:
    """Maps on their way through a network, which notes every convolution that they pass.

    Parameters
    ----------
    channels, size : int
        Of the images, which are square.
    noted : list, optional
        Of another branch of the same network.
    """

    def __init__(self, channels: int, size: int | Pair, noted: list[Conv] | None = None) -> None:
        self.channels = channels
        self.size: Pair = _pair(size)
        self.noted: list[Conv] = [] if noted is None else noted

    def branch(self) -> Maps:
        """The same maps on another way."""
        return Maps(self.channels, self.size, self.noted)

    def conv(
        self,
        filters: int,
        kernel: int | Pair,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
    ) -> Maps:
        """Pass a convolution; without a padding, one that keeps the size if the stride is 1."""
        kernel = _pair(kernel)
        borders = (kernel[0] // 2, kernel[1] // 2) if padding is None else _pair(padding)
        conv = Conv(
            *("", 1, self.channels, self.size, filters, kernel, _pair(stride), borders),
            dilation=(1, 1),
            groups=groups,
        )
        self.noted.append(conv)
        self.channels, self.size = filters, conv.output_size
        return self

    def depthwise(self, kernel: int, stride: int = 1) -> Maps:
        """Pass a convolution of each map by itself."""
        return self.conv(self.channels, kernel, stride, groups=self.channels)

    def pool(self, kernel: int, stride: int, padding: int = 0, *, ceil: bool = False) -> Maps:
        """Pass a pooling."""
        more = stride - 1 if ceil else 0
        height, width = ((n + 2 * padding - kernel + more) // stride + 1 for n in self.size)
        self.size = (height, width)
        return self

    def gate(self, squeezed: int) -> Maps:
        """Pass a squeeze and excitation: two 1x1 convolutions of the maps' means."""
        Maps(self.channels, 1, self.noted).conv(squeezed, 1).conv(self.channels, 1)
        return self

    def joined(self, channels: int) -> Maps:
        """Go on with the maps of several branches."""
        self.channels = channels
        return self


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


def _lenet5() -> Maps:
    return Maps(1, 28).conv(6, 5).pool(2, 2).conv(16, 5, padding=0)


def _alexnet() -> Maps:
    """Of two towers, which are groups (2012)."""
    maps = Maps(3, 224).conv(96, 11, 4, 2).pool(3, 2).conv(256, 5, groups=2).pool(3, 2)
    return maps.conv(384, 3).conv(384, 3, groups=2).conv(256, 3, groups=2)


def _alexnet_one_tower() -> Maps:
    """Of one tower (2014)."""
    maps = Maps(3, 224).conv(64, 11, 4, 2).pool(3, 2).conv(192, 5).pool(3, 2)
    return maps.conv(384, 3).conv(256, 3).conv(256, 3)


def _vgg16() -> Maps:
    maps = Maps(3, 224)
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            maps.conv(width, 3)
        maps.pool(2, 2)
    return maps


def _basic(maps: Maps, width: int, stride: int) -> None:
    if stride > 1 or maps.channels != width:
        maps.branch().conv(width, 1, stride, 0)
    maps.conv(width, 3, stride).conv(width, 3)


def _bottleneck(maps: Maps, inner: int, outer: int, stride: int, groups: int = 1) -> None:
    if stride > 1 or maps.channels != outer:
        maps.branch().conv(outer, 1, stride, 0)
    maps.conv(inner, 1).conv(inner, 3, stride, groups=groups).conv(outer, 1)


def _resnet18() -> Maps:
    maps = Maps(3, 224).conv(64, 7, 2).pool(3, 2, 1)
    for stage, place in product(range(4), range(2)):
        _basic(maps, 64 << stage, 2 if stage and not place else 1)
    return maps


def _resnet50(wider: int = 1, groups: int = 1) -> Maps:
    maps = Maps(3, 224).conv(64, 7, 2).pool(3, 2, 1)
    for stage, count in enumerate((3, 4, 6, 3)):
        for place in range(count):
            stride = 2 if stage and not place else 1
            _bottleneck(maps, wider * 64 << stage, 256 << stage, stride, groups)
    return maps


def _resnext50() -> Maps:
    """32 groups of 4 maps, and twice as many in every further stage."""
    return _resnet50(wider=2, groups=32)


def _wide_resnet() -> Maps:
    """WRN-28-10, for images of 32x32."""
    maps = Maps(3, 32).conv(16, 3)
    for stage, place in product(range(3), range(4)):
        _basic(maps, 160 << stage, 2 if stage and not place else 1)
    return maps


def _mobilenet_v1() -> Maps:
    maps = Maps(3, 224).conv(32, 3, 2)
    for width, stride in (
        *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
        *(*((512, 1),) * 5, (1024, 2), (1024, 1)),
    ):
        maps.depthwise(3, stride).conv(width, 1)
    return maps


def _inverted(
    maps: Maps, kernel: int, inner: int, outer: int, stride: int, squeezed: int = 0
) -> None:
    if inner != maps.channels:
        maps.conv(inner, 1)
    maps.depthwise(kernel, stride)
    if squeezed:
        maps.gate(squeezed)
    maps.conv(outer, 1)


def _mobilenet_v2() -> Maps:
    maps = Maps(3, 224).conv(32, 3, 2)
    for expansion, width, count, first in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for place in range(count):
            _inverted(maps, 3, maps.channels * expansion, width, 1 if place else first)
    return maps.conv(1280, 1)


def _mobilenet_v3() -> Maps:
    """The large one."""
    maps = Maps(3, 224).conv(16, 3, 2)
    for kernel, inner, outer, gated, stride in (
        *((3, 16, 16, 0, 1), (3, 64, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2)),
        *((5, 120, 40, 1, 1), (5, 120, 40, 1, 1), (3, 240, 80, 0, 2), (3, 200, 80, 0, 1)),
        *((3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1), (3, 672, 112, 1, 1)),
        *((5, 672, 160, 1, 2), (5, 960, 160, 1, 1), (5, 960, 160, 1, 1)),
    ):
        _inverted(maps, kernel, inner, outer, stride, (inner // 4 + 4) // 8 * 8 * gated)
    return maps.conv(960, 1)


def _efficientnet(gated: bool) -> Maps:
    maps = Maps(3, 224).conv(32, 3, 2)
    for expansion, width, count, first, kernel in (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
        *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
    ):
        for place in range(count):
            squeezed = maps.channels // 4 if gated else 0
            inner = maps.channels * expansion
            _inverted(maps, kernel, inner, width, 1 if place else first, squeezed)
    return maps.conv(1280, 1)


def _squeezenet() -> Maps:
    """Version 1.0."""
    maps = Maps(3, 224).conv(96, 7, 2, 0).pool(3, 2, ceil=True)
    for place, width in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if place in (3, 7):
            maps.pool(3, 2, ceil=True)
        maps.conv(width, 1)
        maps.branch().conv(4 * width, 1)
        maps.conv(4 * width, 3).joined(8 * width)
    return maps.conv(1000, 1)


def _shufflenet_v2() -> Maps:
    """Of width 1."""
    maps = Maps(3, 224).conv(24, 3, 2).pool(3, 2, 1)
    for width, count in ((116, 4), (232, 8), (464, 4)):
        half = width // 2
        maps.branch().depthwise(3, 2).conv(half, 1)
        maps.conv(half, 1).depthwise(3, 2).conv(half, 1)
        for _ in range(count - 1):
            maps.conv(half, 1).depthwise(3).conv(half, 1)
        maps.joined(width)
    return maps.conv(1024, 1)


def _densenet121() -> Maps:
    maps = Maps(3, 224).conv(64, 7, 2).pool(3, 2, 1)
    for stage, count in enumerate((6, 12, 24, 16)):
        if stage:
            maps.conv(maps.channels // 2, 1).pool(2, 2)
        for _ in range(count):
            maps.branch().conv(128, 1).conv(32, 3)
            maps.joined(maps.channels + 32)
    return maps


# Maps of the 1x1; before and of the 3x3; before and of the 5x5; behind the pooling. None is a
# pooling between two modules.
_INCEPTION_V1 = (
    *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None),
    *((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)),
    *((112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None),
    *((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


def _inception_v1() -> Maps:
    maps = Maps(3, 224).conv(64, 7, 2).pool(3, 2, ceil=True).conv(64, 1).conv(192, 3)
    maps.pool(3, 2, ceil=True)
    for widths in _INCEPTION_V1:
        if widths is None:
            maps.pool(3, 2, ceil=True)
            continue
        one, before_three, three, before_five, five, pooled = widths
        maps.branch().conv(one, 1)
        maps.branch().conv(before_three, 1).conv(three, 3)
        maps.branch().conv(before_five, 1).conv(five, 5)
        maps.branch().conv(pooled, 1)
        maps.joined(one + three + five + pooled)
    return maps


def _inception_v3() -> Maps:
    maps = Maps(3, 299).conv(32, 3, 2, 0).conv(32, 3, 1, 0).conv(64, 3).pool(3, 2)
    maps.conv(80, 1).conv(192, 3, 1, 0).pool(3, 2)
    for pooled in (32, 64, 64):  # 35x35
        maps.branch().conv(64, 1)
        maps.branch().conv(48, 1).conv(64, 5)
        maps.branch().conv(64, 1).conv(96, 3).conv(96, 3)
        maps.branch().conv(pooled, 1)
        maps.joined(224 + pooled)
    maps.branch().conv(64, 1).conv(96, 3).conv(96, 3, 2, 0)
    maps.conv(384, 3, 2, 0).joined(768)
    for width in (128, 160, 160, 192):  # 17x17
        across, down = (1, 7), (7, 1)
        for _ in ("alone", "behind a pooling"):
            maps.branch().conv(192, 1)
        maps.branch().conv(width, 1).conv(width, across).conv(192, down)
        long = maps.branch().conv(width, 1).conv(width, down).conv(width, across)
        long.conv(width, down).conv(192, across)
    maps.branch().conv(192, 1).conv(192, (1, 7)).conv(192, (7, 1)).conv(192, 3, 2, 0)
    maps.conv(192, 1).conv(320, 3, 2, 0).joined(1280)
    for _ in range(2):  # 8x8
        maps.branch().conv(320, 1)
        maps.branch().conv(192, 1)
        for before in (maps.branch().conv(384, 1), maps.branch().conv(448, 1).conv(384, 3)):
            before.branch().conv(384, (1, 3))
            before.conv(384, (3, 1))
        maps.joined(2048)
    return maps


def _regnet() -> Maps:
    """RegNetX of 400 MFLOP: groups of 16 maps."""
    maps = Maps(3, 224).conv(32, 3, 2)
    for width, count in ((32, 1), (64, 2), (160, 7), (384, 12)):
        for place in range(count):
            _bottleneck(maps, width, width, 1 if place else 2, groups=width // 16)
    return maps


def _convnext() -> Maps:
    """The tiny one; its linear layers over the channels are 1x1 convolutions."""
    maps = Maps(3, 224)
    for stage, (width, count) in enumerate(((96, 3), (192, 3), (384, 9), (768, 3))):
        patch = 2 if stage else 4
        maps.conv(width, patch, patch, 0)
        for _ in range(count):
            maps.depthwise(7).conv(4 * width, 1).conv(width, 1)
    return maps


def _unet() -> Maps:
    """With the paper's widths, on images of 256x256 with one channel, padded."""
    maps = Maps(1, 256)
    for level in range(5):
        maps.conv(64 << level, 3).conv(64 << level, 3)
        if level < 4:
            maps.pool(2, 2)
    for level in reversed(range(4)):
        maps = (
            Maps(128 << level, 256 >> level, maps.noted).conv(64 << level, 3).conv(64 << level, 3)
        )
    return maps.conv(2, 1)


def _dncnn() -> Maps:
    """On the patches that it is trained on, and on images."""
    maps = Maps(1, 40).conv(64, 3).conv(64, 3).conv(1, 3)
    return Maps(1, 256, maps.noted).conv(64, 3).conv(64, 3).conv(1, 3)


def _tiny_yolo() -> Maps:
    """Version 3."""
    maps = Maps(3, 416)
    for width in (16, 32, 64, 128, 256):
        maps.conv(width, 3).pool(2, 2)
    maps.conv(512, 3).conv(1024, 3).conv(256, 1)
    maps.branch().conv(512, 3).conv(255, 1)
    maps.conv(128, 1)
    return Maps(384, 26, maps.noted).conv(256, 3).conv(255, 1)


NETWORKS: dict[str, Callable[[], Maps]] = {
    "LeNet-5": _lenet5,
    "AlexNet": _alexnet,
    "AlexNet, one tower": _alexnet_one_tower,
    "VGG-16": _vgg16,
    "ResNet-18": _resnet18,
    "ResNet-50": _resnet50,
    "WideResNet-28-10": _wide_resnet,
    "ResNeXt-50": _resnext50,
    "MobileNetV1": _mobilenet_v1,
    "MobileNetV2": _mobilenet_v2,
    "MobileNetV3": _mobilenet_v3,
    "EfficientNet-B0": lambda: _efficientnet(gated=True),
    "EfficientNet-Lite0": lambda: _efficientnet(gated=False),
    "SqueezeNet": _squeezenet,
    "ShuffleNetV2": _shufflenet_v2,
    "DenseNet-121": _densenet121,
    "Inception v1": _inception_v1,
    "Inception v3": _inception_v3,
    "RegNetX-400MF": _regnet,
    "ConvNeXt-T": _convnext,
    "U-Net": _unet,
    "DnCNN": _dncnn,
    "Tiny YOLOv3": _tiny_yolo,
}
FIRST_LAYERS = "first layers"
# Channels, size, filters.
_FIRST = ((1, 64, 32), (3, 128, 64), (4, 128, 64))


def first_layers() -> Iterable[Conv]:
    """Few channels, kernels of 2 to 16, strides of 1 to 16."""
    for (channels, size, filters), kernel, stride in product(_FIRST, range(2, 17), range(1, 17)):
        padding = kernel // 2 if stride < kernel else 0
        yield Maps(channels, size).conv(filters, kernel, stride, padding).noted[0]


def distinct() -> dict[Conv, list[str]]:
    """Every convolution once, of one image, with the networks that have it."""
    found: dict[Conv, list[str]] = {}
    for network, passed in NETWORKS.items():
        for conv in dict.fromkeys(passed().noted):
            found.setdefault(conv, []).append(network)
    for conv in first_layers():
        found.setdefault(conv, []).append(FIRST_LAYERS)
    return found


def of_batch(conv: Conv, batch: int) -> Conv:
    """The same of several images, in the group of the census."""
    return replace(conv, group="convolutions", batch=batch)
