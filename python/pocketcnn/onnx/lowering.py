"""Steps that no neighbour took become layers of their own."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pocketcnn import layers
from pocketcnn._arguments import Array
from pocketcnn.layers import Layer, Shape
from pocketcnn.onnx.builder import Builder
from pocketcnn.onnx.fusing import needed
from pocketcnn.onnx.steps import Deferred, Erf, Factor, Padding, Power, Quotient, Scaling
from pocketcnn.onnx.tensors import Entry


def lower(output: Entry, net: Builder) -> None:
    """Make layers of all steps before an output, in place.

    Raises
    ------
    ValueError
        A step is not what layers can compute; the message names its node.
    """
    for entry in needed(output):
        net.origin, net.hint = entry.origin, entry.hint
        if entry.is_a(Erf, Power, Quotient):
            raise ValueError(f"{entry.origin}: there is no layer for it outside of known formulas")
        if entry.is_a(Padding):
            _lower_padding(entry, net)
        elif entry.is_a(Scaling):
            _lower_scaling(entry, net)


def _lower_padding(entry: Entry, net: Builder) -> None:
    step = entry.step
    top, bottom, left, right = step.sides
    layer = layers.ZeroPad2d(((top, bottom), (left, right)))
    if step.value == 0 or max(step.sides) <= 0:
        entry.step = layer
        return
    if step.value is None or not math.isfinite(step.value) or step.never_wins:
        what = "edge" if step.value is None else f"{step.value:g}"
        raise ValueError(f"{entry.origin}: padding of {what} that is not before a MaxPool")
    # Zeros are the value where everything is less by the value.
    shifted = net.add(layers.ScaleShift(1.0, -step.value), entry.inputs)
    padded = net.add(layer, shifted)
    entry.step, entry.inputs = layers.ScaleShift(1.0, step.value), [padded]


def _lower_scaling(entry: Entry, net: Builder) -> None:
    step, shape = entry.step, entry.shape
    channel = (*shape[:1], 1, 1)
    factors = [f for f in (step.scale, step.shift) if isinstance(f, Deferred)]
    per_channel = len(shape) == 3 and all(factor.shape == channel for factor in factors)
    if entry.inputs == [net.source] and per_channel and _normalize(entry):
        return
    if step.numbers is not None:
        if not all(map(math.isfinite, step.numbers)):
            raise ValueError(f"{entry.origin}: it scales by {step.numbers[0]:g}")
        entry.step = layers.ScaleShift(*step.numbers)
        return
    if per_channel:
        entry.step, entry.state = _depthwise(step, channel)
        return
    # A convolution by one pixel, of as many channels as there are numbers.
    column = net.reshaped(entry.inputs[0], (math.prod(shape), 1, 1))
    layer, state = _depthwise(step, shape)
    scaled = net.add(layer, column, state)
    entry.step = layers.Flatten() if len(shape) == 1 else layers.Reshape(shape)
    entry.inputs = [scaled]


def _normalize(entry: Entry) -> bool:
    """Make the first step of a network, per channel, a Normalize; False where that is not one."""
    channels = entry.shape[0]
    scale = np.broadcast_to(_numbers(entry.step.scale), channels).astype(np.float64)
    shift = np.broadcast_to(_numbers(entry.step.shift), channels).astype(np.float64)
    if not np.isfinite(scale).all() or not (scale > 0).all():
        return False
    mean, std = -shift / scale + 0.0, 1 / scale
    if not np.isfinite([mean, std]).all():
        return False
    entry.step = layers.Normalize(tuple(mean.tolist()), tuple(std.tolist()))
    return True


def _depthwise(step: Scaling, shape: Shape) -> tuple[Layer, dict[str, Callable[[], Array]]]:
    """A convolution by one pixel with a channel for each number of a shape, and its arrays."""
    channels, has_shift = math.prod(shape), step.shift != 0.0
    layer = layers.Conv2d(channels, channels, 1, groups=channels, bias=has_shift)

    def full(factor: Factor) -> Array:
        return np.broadcast_to(_array(factor), shape).reshape(-1)

    state = {"weight": lambda: full(step.scale).reshape(channels, 1, 1, 1)}
    if has_shift:
        state["bias"] = lambda: full(step.shift)
    return layer, state


def _array(factor: Factor) -> Array:
    return factor.read() if isinstance(factor, Deferred) else np.asarray(factor)


def _numbers(factor: Factor) -> Array:
    return _array(factor).reshape(-1)
