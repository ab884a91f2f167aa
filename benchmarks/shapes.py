"""The convolutions that are measured: those of well-known networks, and unusual ones."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True)
class Conv:
    """One convolution; sizes are (height, width)."""

    group: str
    batch: int
    channels: int
    size: Pair
    filters: int
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int
    algorithm: str = "auto"

    @property
    def output_size(self) -> Pair:
        """Height and width of the feature maps."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
        return height, width

    @property
    def flop(self) -> float:
        """Operations of any of the three passes, padding counted, as the textbook has them."""
        height, width = self.output_size
        taps = self.kernel[0] * self.kernel[1] * self.channels // self.groups
        return 2.0 * self.batch * self.filters * height * width * taps

    @property
    def name(self) -> str:
        """As "64x56x56 to 128, 3x3/2 p1 (16)": image, filters, window, (batch)."""
        window = _by(self.kernel) + (f"/{_short(self.stride)}" if self.stride != (1, 1) else "")
        if self.padding != (0, 0):
            window += f" p{_short(self.padding)}"
        if self.dilation != (1, 1):
            window += f" d{_short(self.dilation)}"
        if self.groups > 1:
            window += f" g{self.groups}"
        image = f"{self.channels}x{_by(self.size)}"
        return f"{image} to {self.filters}, {window} ({self.batch})"


def _by(pair: Pair) -> str:
    return f"{pair[0]}x{pair[1]}"


def _short(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _by(pair)


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


def _conv(
    group: str,
    channels: int,
    size: int | Pair,
    filters: int,
    kernel: int | Pair,
    batch: int,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Conv:
    return Conv(
        group=group,
        batch=batch,
        channels=channels,
        size=_pair(size),
        filters=filters,
        kernel=_pair(kernel),
        stride=_pair(stride),
        padding=_pair(padding),
        dilation=_pair(dilation),
        groups=groups,
        algorithm=algorithm,
    )


# Channels, size, filters, batch. SimpleConvNet's book sibling DeepConvNet, AlexNet, VGG, ResNet.
_THREE_BY_THREE = (
    (16, 28, 16, 100),
    (16, 14, 32, 100),
    (32, 14, 64, 100),
    (64, 8, 64, 100),
    (192, 13, 384, 32),
    (384, 13, 384, 32),
    (256, 13, 256, 32),
    (64, 224, 64, 2),
    (128, 112, 128, 4),
    (256, 56, 256, 4),
    (512, 28, 512, 4),
    (512, 14, 512, 16),
    (64, 56, 64, 16),
)
_FIVE_BY_FIVE = ((64, 27, 192, 32), (96, 27, 256, 32), (48, 32, 64, 16))


def _known() -> list[Conv]:
    """Layers of well-known networks."""
    three, five, large = "3x3 stride 1", "5x5 stride 1", "large kernels, large strides"
    strided, few, point = "3x3 stride 2", "few channels", "1x1"
    return [
        *(_conv(three, c, n, f, 3, batch, padding=1) for c, n, f, batch in _THREE_BY_THREE),
        *(_conv(five, c, n, f, 5, batch, padding=2) for c, n, f, batch in _FIVE_BY_FIVE),
        _conv(five, 6, 14, 16, 5, 100),
        _conv(large, 3, 224, 64, 11, 32, stride=4, padding=2),
        _conv(large, 3, 224, 96, 11, 32, stride=4, padding=2),
        _conv(large, 3, 224, 64, 7, 16, stride=2, padding=3),
        _conv(strided, 64, 56, 128, 3, 16, stride=2, padding=1),
        _conv(strided, 128, 28, 256, 3, 16, stride=2, padding=1),
        _conv(strided, 256, 14, 512, 3, 16, stride=2, padding=1),
        _conv(few, 1, 28, 30, 5, 100),
        _conv(few, 1, 28, 6, 5, 100, padding=2),
        _conv(few, 1, 28, 16, 3, 100, padding=1),
        _conv(few, 3, 224, 64, 3, 4, padding=1),
        _conv(point, 256, 56, 64, 1, 16),
        _conv(point, 1024, 14, 256, 1, 16),
        _conv(point, 64, 56, 256, 1, 16),
        _conv(point, 256, 56, 512, 1, 16, stride=2),
    ]


def _awkward() -> list[Conv]:
    """Reasonable shapes for which no kernel was optimised."""
    odd, groups, dilated = "odd sizes and prime channels", "groups", "dilation"
    depthwise, one, other = "depthwise", "batch 1", "other windows"
    return [
        _conv(odd, 17, (29, 31), 23, 3, 8, padding=1),
        _conv(odd, 31, (53, 37), 61, 3, 8, padding=1),
        _conv(odd, 67, (19, 23), 127, 3, 16, padding=1),
        _conv(odd, 5, (101, 99), 7, 3, 8, padding=1),
        _conv(odd, 13, 57, 29, 5, 8, padding=2),
        _conv(odd, 37, 41, 53, 1, 16),
        _conv(odd, 19, 43, 41, 3, 8, stride=2, padding=1),
        _conv(groups, 64, 28, 128, 3, 16, padding=1, groups=2),
        _conv(groups, 96, 27, 256, 5, 16, padding=2, groups=2),
        _conv(groups, 128, 28, 128, 3, 16, padding=1, groups=32),
        _conv(groups, 240, 28, 240, 1, 16, groups=3),
        _conv(dilated, 64, 28, 64, 3, 16, padding=2, dilation=2),
        _conv(dilated, 256, 28, 256, 3, 4, padding=4, dilation=4),
        _conv(dilated, 32, (45, 51), 32, 3, 8, padding=(6, 3), dilation=(6, 3)),
        _conv(depthwise, 32, 112, 32, 3, 16, padding=1, groups=32),
        _conv(depthwise, 144, 56, 144, 3, 16, stride=2, padding=1, groups=144),
        _conv(depthwise, 512, 14, 512, 3, 16, padding=1, groups=512),
        _conv(depthwise, 240, 28, 240, 5, 16, padding=2, groups=240),
        _conv(depthwise, 32, 28, 64, 3, 16, padding=1, groups=32),
        _conv(one, 64, 56, 64, 3, 1, padding=1),
        _conv(one, 256, 14, 256, 3, 1, padding=1),
        _conv(one, 512, 7, 512, 3, 1, padding=1),
        _conv(one, 3, 224, 64, 7, 1, stride=2, padding=3),
        _conv(one, 256, 56, 64, 1, 1),
        _conv(one, 1, 28, 30, 5, 1),
        _conv(other, 64, 28, 64, 2, 16, stride=2),
        _conv(other, 64, 32, 64, 4, 16, stride=2, padding=1),
        _conv(other, 64, 28, 64, (1, 7), 16, padding=(0, 3)),
        _conv(other, 64, 28, 64, (7, 1), 16, padding=(3, 0)),
        _conv(other, 48, 32, 48, 7, 8, padding=3),
        _conv(other, 32, 56, 64, 5, 8, stride=2, padding=2),
        _conv(other, 32, 40, 32, 3, 16, stride=3),
    ]


def _plain_product() -> list[Conv]:
    """Large shapes by only the matrix product, whose share of the peak says how good it is."""
    group = "im2col alone"
    large = (shape for shape in _THREE_BY_THREE if shape[0] >= 64 and shape[1] >= 13)
    return [
        *(_conv(group, c, n, f, 3, b, padding=1, algorithm="im2col") for c, n, f, b in large),
        *(
            _conv(group, c, n, f, 5, b, padding=2, algorithm="im2col")
            for c, n, f, b in _FIVE_BY_FIVE
        ),
    ]


CONVOLUTIONS = (*_known(), *_awkward(), *_plain_product())
