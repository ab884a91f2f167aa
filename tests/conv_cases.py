"""Convolution geometries that the tests share.

Each is small; together they cover the edges of every GEMM tile (8 x 48, 4 x 24 and 4 x 12 of
float, half as wide for double), windows of every kind, groups and empty batches.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import reference


@dataclass(frozen=True)
class ConvCase:
    """One convolution: input (N, C, H, W), filters (FN, C / groups, KH, KW), window."""

    x: tuple[int, int, int, int]
    filters: int
    kernel: tuple[int, int]
    stride: reference.Pair = 1
    padding: reference.Padding = 0
    dilation: reference.Pair = 1
    groups: int = 1

    @property
    def weight(self) -> tuple[int, int, int, int]:
        return (self.filters, self.x[1] // self.groups, *self.kernel)

    @property
    def window(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    @property
    def options(self) -> dict[str, Any]:
        return {**self.window, "groups": self.groups}

    @property
    def output(self) -> tuple[int, int, int, int]:
        rows, cols = reference.axes(self.x, self.kernel, **self.window)
        return (self.x[0], self.filters, rows.outputs, cols.outputs)

    def arrays(self, dtype: npt.DTypeLike) -> dict[str, npt.NDArray[Any]]:
        """Normal draws for x, weight, bias and grad, the same ones for every dtype.

        They are drawn in float16 so that every dtype holds exactly the same numbers.
        """
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        shapes = {"x": self.x, "weight": self.weight, "bias": (self.filters,), "grad": self.output}
        return {
            name: rng.normal(size=shape).astype(np.float16).astype(dtype)
            for name, shape in shapes.items()
        }

    def __str__(self) -> str:
        parts = [f"x{self.x}", f"w{self.weight}"]
        parts += [f"{k}={v}" for k, v in self.options.items() if v not in (0, 1)]
        return " ".join(parts).replace(", ", ",")


def _odd_sizes() -> list[ConvCase]:
    """Square and oblong images of 1 to 10 pixels, with the fitting kernels in turn."""
    return [
        ConvCase((1 + h % 3, 1 + h % 4, h, w), 1 + (h * w) % 9, (1 + h % 5, 1 + w % 4), padding=2)
        for h, w in zip(range(1, 11), [3, 7, 1, 10, 5, 2, 9, 4, 8, 6], strict=True)
    ]


def _tile_edges() -> list[ConvCase]:
    """Filters around 4 and 8 rows, output positions around 12, 24 and 48 columns."""
    pairs = [(1, 11), (3, 12), (4, 13), (5, 23), (7, 24), (8, 25), (9, 47), (15, 48), (16, 49)]
    pairs += [(17, 95), (8, 96), (4, 97), (31, 6), (33, 1)]
    return [ConvCase((1, 3, 1, width), rows, (1, 1)) for rows, width in pairs]


WINDOWS = [
    ConvCase((2, 3, 5, 5), 4, (5, 5)),  # kernel = input
    ConvCase((2, 3, 4, 6), 4, (4, 6)),
    ConvCase((2, 3, 3, 3), 4, (5, 5), padding=1),  # larger than the image, not than the padded
    ConvCase((2, 2, 11, 10), 3, (2, 2), stride=3),  # stride > kernel
    ConvCase((2, 2, 11, 10), 3, (1, 1), stride=(4, 3)),
    ConvCase((1, 2, 7, 7), 3, (3, 3), stride=9),
    ConvCase((2, 2, 6, 5), 3, (3, 3), padding=2),  # padding >= kernel / 2
    ConvCase((1, 2, 4, 4), 3, (3, 3), padding=5),  # rows of only padding
    ConvCase((2, 2, 7, 6), 3, (3, 2), padding=((0, 2), (3, 1))),
    ConvCase((2, 2, 7, 6), 3, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2))),
    ConvCase((2, 2, 7, 6), 3, (3, 4), padding=(1, 3)),
    ConvCase((2, 2, 7, 6), 3, (4, 3), padding="same"),
    ConvCase((2, 2, 9, 8), 3, (2, 3), padding="same", dilation=(2, 3)),
    ConvCase((2, 2, 7, 6), 3, (4, 3), padding="valid"),
    ConvCase((2, 2, 9, 11), 3, (3, 3), dilation=2),
    ConvCase((2, 2, 9, 11), 3, (3, 2), stride=2, padding=3, dilation=(1, 4)),
    ConvCase((1, 1, 1, 1), 1, (1, 1)),
    ConvCase((1, 1, 1, 40), 2, (1, 7), padding=(0, 3)),
    ConvCase((1, 1, 40, 1), 2, (7, 1), padding=(3, 0)),
]

GROUPS = [
    ConvCase((2, 4, 6, 6), 6, (3, 3), padding=1, groups=2),
    ConvCase((2, 6, 6, 5), 3, (2, 3), stride=2, groups=3),
    ConvCase((2, 5, 8, 7), 5, (3, 3), padding=1, groups=5),  # depthwise
    ConvCase((2, 5, 8, 7), 10, (3, 3), stride=2, padding=1, groups=5),  # depthwise, multiplier 2
    ConvCase((1, 16, 9, 9), 16, (5, 5), padding=2, dilation=1, groups=16),
    ConvCase((1, 16, 9, 9), 32, (1, 1), groups=4),
]

EMPTY = [
    ConvCase((0, 3, 5, 5), 4, (3, 3), padding=1),
    ConvCase((0, 4, 5, 5), 4, (3, 3), groups=2),
    ConvCase((0, 1, 1, 1), 1, (1, 1)),
]

LARGER = [
    ConvCase((4, 1, 28, 28), 30, (5, 5)),  # the simple convnet
    ConvCase((2, 3, 32, 32), 16, (3, 3), padding=1),
    ConvCase((1, 64, 14, 14), 40, (3, 3), padding=1),  # sum longer than one GEMM block
    ConvCase((1, 300, 5, 5), 17, (3, 3)),
    ConvCase((1, 3, 67, 67), 24, (11, 11), stride=4, padding=2),  # AlexNet's first
    ConvCase((2, 64, 16, 16), 70, (1, 1), stride=2),  # ResNet's shortcut
    ConvCase((17, 8, 7, 7), 8, (3, 3), padding=1),
]

SMALL = _odd_sizes() + _tile_edges() + WINDOWS + GROUPS + EMPTY
ALL = SMALL + LARGER
