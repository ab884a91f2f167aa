"""Networks of PyTorch's modules, in the forms in which people write them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Bottleneck(nn.Module):  # type: ignore[misc]
    """The block of MobileNetV2, with a shortcut."""

    def __init__(self, channels: int, expand: int) -> None:
        super().__init__()
        inner = channels * expand
        self.body = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.ReLU6(),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner),
            nn.ReLU6(),
            nn.Conv2d(inner, channels, 1),
        )

    def forward(self, x: Any) -> Any:
        return x + self.body(x)


class SqueezeExcite(nn.Module):  # type: ignore[misc]
    """Gates from means, as in EfficientNet and MobileNetV3."""

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 2, 1)
        self.fc2 = nn.Conv2d(channels // 2, channels, 1)
        self.gate = gate

    def forward(self, x: Any) -> Any:
        pooled = F.adaptive_avg_pool2d(x, 1)
        return x * self.gate(self.fc2(F.silu(self.fc1(pooled))))


class Shuffle(nn.Module):  # type: ignore[misc]
    """The unit of ShuffleNetV2: split, convolve one half, join, shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv = nn.Conv2d(half, half, 3, padding=1, groups=half)

    def forward(self, x: Any) -> Any:
        a, b = x.chunk(2, dim=1)
        x = torch.cat([a, self.conv(b)], dim=1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class UNet(nn.Module):  # type: ignore[misc]
    """Down, up, and a shortcut that is joined."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 6, 3, padding=1)
        self.middle = nn.Conv2d(6, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.out = nn.Conv2d(12, 2, 1)

    def forward(self, x: Any) -> Any:
        a = F.relu(self.down(x))
        b = F.relu(self.middle(F.max_pool2d(a, 2)))
        return self.out(torch.cat([a, self.up(b)], dim=1))


class Inputs(nn.Module):  # type: ignore[misc]
    """Pixels of 0 to 255, normalised within the network."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Any) -> Any:
        x = F.leaky_relu(self.conv((x / 255 - self.mean) / self.std), 0.1)
        return self.fc(x.mean(dim=(2, 3)))


class ConvNeXt(nn.Module):  # type: ignore[misc]
    """A block with channels last inside: Linear layers on the last axis, GELU, a layer scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Any) -> Any:
        y = self.norm(self.depthwise(x)).permute(0, 2, 3, 1)
        return x + self.fc2(F.gelu(self.fc1(y))).permute(0, 3, 1, 2)


def _chain(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(*modules)


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Modules with the shape of their input."""
    return {
        "lenet": (
            _chain(
                nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
                nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
                nn.Flatten(), nn.Linear(400, 30), nn.ReLU(), nn.Linear(30, 10),
            ),
            (1, 28, 28),
        ),
        "batch norm": (
            _chain(
                nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
            ),
            (3, 20, 17),
        ),
        "mobile": (
            _chain(
                nn.Conv2d(3, 8, 3, stride=2, padding=1), Bottleneck(8, 2),
                SqueezeExcite(8, nn.Hardsigmoid()), nn.Hardswish(),
                SqueezeExcite(8, nn.Sigmoid()), nn.SiLU(), nn.AdaptiveAvgPool2d(1),
                nn.Flatten(), nn.Dropout(0.0), nn.Linear(8, 4),
            ),
            (3, 16, 16),
        ),
        "shuffle": (
            _chain(
                nn.Conv2d(3, 8, 1), Shuffle(8), nn.PReLU(8), Shuffle(8), nn.PReLU(),
                nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 4),
            ),
            (3, 7, 9),
        ),
        "unet": (UNet(), (3, 8, 10)),
        "normalised": (Inputs(), (3, 9, 9)),
        "convnext": (
            _chain(
                nn.Conv2d(3, 6, 2, stride=2), ConvNeXt(6), nn.AdaptiveAvgPool2d(1),
                nn.Flatten(), nn.Linear(6, 4),
            ),
            (3, 12, 12),
        ),
        "norms": (
            _chain(
                nn.Conv2d(3, 6, 3, dilation=2, padding=2), nn.GroupNorm(3, 6), nn.ELU(),
                nn.Conv2d(6, 6, 3, groups=3), nn.InstanceNorm2d(6, affine=True), nn.GELU(),
                nn.Flatten(), nn.Linear(600, 4), nn.LogSoftmax(1),
            ),
            (3, 12, 12),
        ),
        "upsampling": (
            _chain(
                nn.Conv2d(2, 4, 3, padding=1), nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(4, 8, 3), nn.PixelShuffle(2),
                nn.Upsample(scale_factor=2, mode="bilinear"), nn.ZeroPad2d((1, 2, 0, 1)),
                nn.Conv2d(2, 3, 1),
            ),
            (2, 5, 6),
        ),
        "rows": (
            _chain(
                nn.Conv1d(2, 4, 5, stride=2, padding=1), nn.BatchNorm1d(4), nn.ReLU(),
                nn.MaxPool1d(2), nn.Conv1d(4, 4, 3, groups=2), nn.AdaptiveAvgPool1d(1),
                nn.Flatten(), nn.Linear(4, 3),
            ),
            (2, 40),
        ),
    }  # fmt: skip
