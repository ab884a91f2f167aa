"""Inspection of random networks: gradients by differences, fields by changing single pixels."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import inspection
from pocketcnn.layers import Layer

Shape = tuple[int, ...]


def windows(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Kernel, stride, dilation and padding, on each axis by itself."""

    def pair(*values: int) -> tuple[int, ...]:
        return tuple(int(value) for value in rng.choice(values, 2))

    while True:
        sides = tuple(tuple(side) for side in rng.integers(0, 3, (2, 2)).tolist())
        paddings = (0, pair(0, 1, 2), sides, "same")
        yield pair(1, 2, 3, 4), pair(1, 2, 3), pair(1, 1, 2, 3), paddings[rng.integers(4)]


def make_layer(rng: np.random.Generator, kind: str, channels: int, window: Any) -> Layer:
    kernel, stride, dilation, padding = window
    hang = bool(rng.integers(2))
    if kind == "conv":
        groups = int(rng.choice([n for n in (1, 2, 3) if channels % n == 0]))
        settings: Any = {"stride": stride, "padding": padding, "dilation": dilation}
        return pc.Conv2d(channels, 2 * groups, kernel, groups=groups, **settings)
    if kind == "transposed":
        return pc.ConvTranspose2d(channels, 2, kernel, stride, padding, dilation=dilation)
    if kind == "average":
        return pc.AvgPool2d(kernel, stride, 0 if padding == "same" else padding, ceil_mode=hang)
    if kind == "maximum":
        return pc.MaxPool2d(kernel, stride, padding, ceil_mode=hang)
    if kind == "residual":
        body: Any = [("a", pc.Conv2d(channels, 2, kernel, stride, padding, dilation))]
        return pc.Residual([*body, ("b", pc.Tanh())], [("c", pc.Conv2d(channels, 2, 1, stride))])
    if kind == "norm":
        layer = pc.BatchNorm2d(channels)
        layer.buffers = {
            key: (rng.random(array.shape) + 0.5).astype(array.dtype)
            for key, array in layer.buffers.items()
        }
        return layer
    others: dict[str, Layer] = {
        "relu": pc.ReLU(),
        "tanh": pc.Tanh(),
        "drop": pc.Dropout(0.5),
        "lrn": pc.LocalResponseNorm(3),
        "pad": pc.ZeroPad2d(rng.integers(-1, 3, (2, 2)).tolist()),
        "up": pc.Upsample(
            rng.uniform(0.6, 2.2, 2).tolist(), str(rng.choice(["nearest", "bilinear"]))
        ),
        "groups": pc.GroupNorm(1, channels),
    }
    return others[kind]


KINDS = [
    "conv",
    "conv",
    "average",
    "maximum",
    "residual",
    "norm",
    "relu",
    "tanh",
    "drop",
    "lrn",
    "pad",
    "up",
    "transposed",
    "groups",
]


def fitting_layer(rng: np.random.Generator, shape: Shape) -> Layer:
    """A layer that can take maps of this shape."""
    for window in windows(rng):
        try:
            layer = make_layer(rng, rng.choice(KINDS), shape[0], window)
            layer.output_shape(shape)
        except ValueError:
            continue
        return layer
    raise AssertionError("the windows never end")


def random_net(rng: np.random.Generator) -> pc.ConvNet:
    first: Shape = (int(rng.integers(1, 4)), *rng.integers(5, 10, 2).tolist())
    shape, layers = first, []
    for place in range(rng.integers(1, 6)):
        layer = fitting_layer(rng, shape)
        shape = layer.output_shape(shape)
        layers.append((f"maps{place}", layer))
    if rng.integers(2):
        layers.append(("global", pc.GlobalAvgPool2d()))
        shape = (shape[0], 1, 1)
    layers += [("flat", pc.Flatten()), ("fc", pc.Linear(int(np.prod(shape)), 3))]
    if rng.integers(2):
        layers.append(("softmax", pc.Softmax()))
    return pc.ConvNet(layers, first, seed=int(rng.integers(2**31)), dtype=np.float64)


def run(net: pc.ConvNet, x: np.ndarray, until: str) -> np.ndarray:
    """The output of a layer, one layer after the other."""
    for name, layer in net.layers.items():
        x = layer.forward(x)
        if name == until:
            break
    return x


def draws() -> Iterator[np.random.Generator]:
    seed = int(np.random.default_rng().integers(2**32))
    for step in range(12):
        print(f"seed {seed}, step {step}", file=sys.stderr)
        yield np.random.default_rng([seed, step])


def gradient_error(net: pc.ConvNet, image: np.ndarray, target: int, step: float = 1e-6) -> float:
    """How far the gradient is from central differences, by its largest number or 1."""
    moves = step * np.eye(image.size).reshape(-1, *image.shape)
    up, down = (run(net, image + sign * moves, "fc")[:, target] for sign in (1, -1))
    wanted = ((up - down) / (2 * step)).reshape(image.shape)
    got = inspection.input_gradient(net, image[np.newaxis], target)[0]
    return float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))


def test_gradients_of_random_networks() -> None:
    """In float64, by every pixel. A step of 1e-6 leaves ten digits of the scores."""
    for rng in draws():
        net = random_net(rng)
        # If a ReLU or a maximum switches within the step, there is no derivative: try another
        # image.
        errors = [
            gradient_error(net, rng.standard_normal(net.input_shape), int(rng.integers(3)))
            for _ in range(3)
        ]
        assert sorted(errors)[1] < 1e-6, (net.summary(), errors)


def test_fields_of_random_networks() -> None:
    """No number changes with a pixel outside its field."""
    for rng in draws():
        net = random_net(rng)
        height, width = net.input_shape[1:]
        base = rng.standard_normal(net.input_shape)
        # As many images, because the size of a batch may change last bits.
        kept = np.repeat(base[np.newaxis], height * width, axis=0)
        changed = kept.copy()
        for place, (row, column) in enumerate(np.ndindex(height, width)):
            changed[place, :, row, column] += 5
        for name in [name for name in net.layers if name.startswith(("maps", "global"))]:
            field = inspection.receptive_field(net, name)
            out = run(net, changed, name) != run(net, kept, name)
            seen = out.any(axis=1).reshape(height, width, *out.shape[2:])
            for at in np.ndindex(out.shape[2:]):
                top, left, bottom, right = field.box(*at)
                rows, columns = np.nonzero(seen[:, :, at[0], at[1]])
                inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
                assert inside.all(), (net.summary(), name, at, field)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_the_field_of_a_window_that_hangs_over(ceil_mode: bool) -> None:
    net = pc.ConvNet([("pool", pc.AvgPool2d(3, 2, ceil_mode=ceil_mode))], (1, 6, 4))
    field = inspection.receptive_field(net, "pool")
    assert (field.size, field.stride, field.start) == ((3, 3), (2, 2), (0, 0))
