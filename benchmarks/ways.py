"""``ways``: whether the algorithm that is chosen for a convolution is the fastest that fits.

Convolutions of random sizes, computed by every algorithm that fits, in turn. What counts is the
fastest one's time over that of the chosen one, which is 1 where the choice is right.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import pocketcnn as pc
import pocketcnn.functional as F
from benchmarks.description import Array
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Table
from pocketcnn import _core

_SHAPES, _WORST = 300, 20
_LEAST_WORK, _MOST_WORK = 2e5, 4e8  # multiply-adds
_SECONDS = 0.05  # of a pass, in which algorithms take turns
_SLOW = 3.0  # an algorithm that takes so many times as long as another is not timed further
_NOTE = (
    "The fastest algorithm's time over that of the chosen one: geometric mean, 5 % quantile, share "
    "of the shapes below 0.8. The least of many times."
)


@dataclass(frozen=True)
class Shape:
    """A convolution of square images by a square kernel."""

    batch: int
    channels: int
    filters: int
    size: int
    kernel: int
    stride: int
    groups: int

    def __str__(self) -> str:
        grouped = f", {self.groups} groups" if self.groups > 1 else ""
        return (
            f"{self.channels}x{self.size} to {self.filters}, {self.kernel}x{self.kernel}"
            f"/{self.stride}{grouped} ({self.batch})"
        )

    @property
    def padding(self) -> int:
        """0 where windows lie side by side, else as much as keeps the size."""
        return 0 if self.kernel == self.stride else self.kernel // 2

    def work(self) -> float:
        """Multiply-adds; none where the kernel does not fit."""
        out = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        taps = self.channels // self.groups * self.kernel**2
        return float(self.batch * self.filters * taps * max(out, 0) ** 2)


def run(options: Options, _machine: Machine) -> list[Table]:
    """Measure so many shapes as ``--sample`` says."""
    pc.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed or 0)
    table = Table("ways", ("pass", "shapes", "mean", "5 %", "below 0.8"), [], note=_NOTE)
    worst = Table("ways: the worst", ("pass", "convolution", "chosen", "fastest", "ratio"), [])
    found: list[tuple[float, str, Shape, str, str]] = []
    for shape in _draw(rng, options.sample or _SHAPES):
        for name, times, chosen in _measure(shape, rng, options):
            fastest = min(times, key=lambda way: times[way])
            found.append((times[fastest] / times[chosen], name, shape, chosen, fastest))
    for name in dict.fromkeys(row[1] for row in found):
        ratios = np.array([row[0] for row in found if row[1] == name])
        mean, low = float(np.exp(np.log(ratios).mean())), float(np.quantile(ratios, 0.05))
        table.rows.append((name, f"{len(ratios)}", mean, low, f"{np.mean(ratios < 0.8):.1%}"))
    for ratio, name, shape, chosen, fastest in sorted(found, key=lambda row: row[0])[:_WORST]:
        worst.rows.append((name, str(shape), chosen, fastest, ratio))
    return [table, worst]


def _draw(rng: np.random.Generator, count: int) -> Iterator[Shape]:
    def one_of(*values: int) -> int:
        return int(rng.choice(values))

    drawn: set[Shape] = set()
    while len(drawn) < count:
        kernel, stride = one_of(1, 1, 2, 3, 3, 3, 4, 5, 7), one_of(1, 1, 1, 2, 2, 3, 4)
        shape = Shape(
            one_of(1, 2, 4, 8, 16),
            one_of(1, 3, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512),
            one_of(4, 8, 16, 24, 30, 32, 48, 64, 96, 128, 192, 256, 512),
            one_of(4, 5, 7, 8, 10, 14, 16, 20, 27, 28, 32, 56, 64, 112),
            kernel,
            stride if stride <= kernel or (kernel, stride) == (1, 2) else 1,
            one_of(1, 1, 1, 1, 1, one_of(2, 4, 8)),
        )
        fits = shape.channels % shape.groups == shape.filters % shape.groups == 0
        if fits and _LEAST_WORK <= shape.work() <= _MOST_WORK and shape not in drawn:
            drawn.add(shape)
            yield shape


def _measure(
    shape: Shape, rng: np.random.Generator, options: Options
) -> Iterator[tuple[str, dict[str, float], str]]:
    """Each pass, its algorithms' times, and which is chosen."""
    x = rng.standard_normal((shape.batch, shape.channels, shape.size, shape.size))
    weight = rng.standard_normal(
        (shape.filters, shape.channels // shape.groups, shape.kernel, shape.kernel)
    )
    x, weight = x.astype(options.dtype), weight.astype(options.dtype)
    grad = F.conv2d(x, weight, stride=shape.stride, padding=shape.padding, groups=shape.groups)
    sides = (shape.padding,) * 4
    window = _core.Window2d(weight.shape[2:], (shape.stride,) * 2, sides, (1, 1))
    for conv_pass in _core.ConvPass:
        calls: dict[str, Callable[[], object]] = {}
        for way in (row.algorithm for row in _core.conv2d_ways(conv_pass)):
            conv = _core.Conv2d(window, shape.filters, shape.groups, way)
            try:
                planned, _ = _core.conv2d_plan(x.shape, conv, conv_pass)
            except ValueError:  # it does not fit
                continue
            if planned == way:
                calls[way.name] = _call(conv_pass, x, weight, grad, conv)
        conv = _core.Conv2d(window, shape.filters, shape.groups, _core.ConvAlgorithm.auto)
        chosen, _ = _core.conv2d_plan(x.shape, conv, conv_pass)
        yield conv_pass.name, _times(calls), chosen.name


def _call(
    conv_pass: _core.ConvPass, x: Array, weight: Array, grad: Array, conv: _core.Conv2d
) -> Callable[[], object]:
    if conv_pass == _core.ConvPass.forward:
        return lambda: _core.conv2d(x, weight, None, conv)
    if conv_pass == _core.ConvPass.input_grad:
        return lambda: _core.conv2d_backward_input(grad, weight, x.shape, conv)
    return lambda: _core.conv2d_backward(grad, x, weight, conv, False, True)


def _times(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The least time of each call; they take turns."""
    times = dict.fromkeys(calls, math.inf)
    start = time.perf_counter()
    rounds = 0
    while rounds < 3 or time.perf_counter() < start + _SECONDS:
        rounds += 1
        for way, call in calls.items():
            if rounds > 2 and times[way] > _SLOW * min(times.values()):
                continue
            before = time.perf_counter()
            call()
            times[way] = min(times[way], time.perf_counter() - before)
    return times
