"""Steps that are recognised as one layer, or become a part of the layer beside them.

Each function here keeps what the network computes. An entry that nobody reads any more is left
out by whoever makes the network.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pocketcnn import layers
from pocketcnn._arguments import Array
from pocketcnn.layers import Layer
from pocketcnn.onnx.steps import Deferred, Erf, Factor, Padding, Power, Quotient, Scaling
from pocketcnn.onnx.tensors import Entry


class Readers:
    """How many entries read each entry, the output's reader counted."""

    def __init__(self, output: Entry, entries: Sequence[Entry]) -> None:
        self._counts = Counter(id(one) for entry in entries for one in entry.inputs)
        self._counts[id(output)] += 1

    def sole(self, entry: Entry) -> bool:
        """Whether one entry alone reads it."""
        return self._counts[id(entry)] == 1

    def bypass(self, entry: Entry) -> None:
        """Let an entry take what the one before it takes."""
        (before,) = entry.inputs
        entry.inputs = before.inputs
        self._counts[id(before)] -= 1
        if self._counts[id(before)]:  # else it is left out, and reads nothing itself
            self._counts.update(id(one) for one in before.inputs)


def needed(output: Entry) -> list[Entry]:
    """The entries that an output depends on, in an order in which each follows its inputs."""
    found: dict[int, Entry] = {}
    waiting = [(output, False)]
    while waiting:
        entry, ready = waiting.pop()
        if id(entry) in found:
            continue
        if ready:
            found[id(entry)] = entry
        else:
            waiting.append((entry, True))
            waiting += [(one, False) for one in reversed(entry.inputs)]
    return list(found.values())


def fuse(output: Entry) -> None:
    """Rewrite the entries before an output, in place."""
    _each(output, _join_scalings)
    for entry in reversed(needed(output)):
        _recognise(entry)
    _each(output, _scale_weights)
    _each(output, _merge_padding)
    _each(output, _join_upsamplings)


def _each(output: Entry, rule: Callable[[Entry, Readers], None]) -> None:
    """Apply a rule to every entry, in order."""
    entries = needed(output)
    readers = Readers(output, entries)
    for entry in entries:
        rule(entry, readers)


# Functions that exporters write as formulas


def _recognise(entry: Entry) -> None:
    """Make an entry the SiLU, HardSwish, HardSigmoid or GELU that its formula is."""
    if entry.is_a(Scaling) and entry.step.numbers is not None:
        x = _shifted_relu6(entry.inputs[0])
        if x is not None and _near(entry.step.numbers, (1 / 6, 0)):
            entry.step, entry.inputs = layers.HardSigmoid(), [x]
            return
    if entry.is_a(layers.Add) and len(entry.inputs) == 2:
        for positive, negative in (entry.inputs, entry.inputs[::-1]):
            if _become_prelu(entry, positive, negative):
                return
    if entry.is_a(Quotient) and (norm := _response_norm(*entry.inputs)):
        entry.step, entry.inputs = norm, entry.inputs[:1]
        return
    factor, parts = _product(entry)
    if len(parts) != 2:
        return
    for x, gate in (parts, parts[::-1]):
        layer = _gated(x, gate, factor)
        if layer is not None:
            entry.step, entry.inputs = layer, [x]
            return


def _gated(x: Entry, gate: Entry, factor: float) -> Layer | None:
    """The function that ``factor * x * gate`` is, if it is one of x."""
    if gate.is_a(layers.Sigmoid, layers.HardSigmoid) and gate.inputs == [x] and factor == 1:
        return layers.SiLU() if gate.is_a(layers.Sigmoid) else layers.HardSwish()
    if _shifted_relu6(gate) is x and _near((factor, 0), (1 / 6, 0)):
        return layers.HardSwish()
    if gate.is_a(Scaling) and gate.step.numbers is not None:
        scale, shift = (factor * number for number in gate.step.numbers)
        (erf,) = gate.inputs
        if erf.is_a(Erf) and _near((scale, shift), (0.5, 0.5)):
            (inner,) = erf.inputs
            scaled = inner.is_a(Scaling) and inner.inputs == [x]
            if scaled and _near(inner.step.numbers, (math.sqrt(0.5), 0)):
                return layers.GELU()
    return None


def _become_prelu(entry: Entry, positive: Entry, negative: Entry) -> bool:
    """Make an entry a PReLU if it is ``relu(x) - slope * relu(-x)``, as Keras writes it."""
    if not positive.is_a(layers.ReLU) or not negative.is_a(Scaling):
        return False
    (x,), (relu,), slope = positive.inputs, negative.inputs, negative.step.scale
    channel = (*x.shape[:1], *(1,) * (len(x.shape) - 1))
    if not isinstance(slope, Deferred) or slope.shape != channel or negative.step.shift != 0:
        return False
    turned = relu.inputs[0] if relu.is_a(layers.ReLU) else relu
    if not turned.is_a(Scaling) or turned.inputs != [x] or turned.step.numbers != (-1, 0):
        return False
    entry.step, entry.inputs = layers.PReLU(x.shape[0]), [x]
    entry.state = {"weight": lambda: -slope.read().reshape(-1)}
    return True


def _response_norm(x: Entry, divisor: Entry) -> Layer | None:
    """The norm that x is divided by: ``(k + alpha * mean of near squares) ** beta``."""
    divisor = _unshaped(divisor)
    sums = _before(divisor, Power)
    means = _before(sums, Scaling) if sums else None
    if sums is None or means is None or sums.step.numbers is None:
        return None
    pool = _unshaped(means)
    squares = _unshaped(pool.inputs[0]) if pool.is_a(layers.AvgPool2d) else None
    if squares is None or not squares.is_a(layers.Multiply) or squares.inputs != [x, x]:
        return None
    config, (channels, *_) = pool.layer.config(), x.shape
    size = int(np.broadcast_to(config["kernel_size"], 2)[0])
    across = pool.inputs[0].shape[:2] == (1, channels) and pool.shape == pool.inputs[0].shape
    sides = [size // 2, (size - 1) // 2, 0, 0]
    if len(x.shape) != 3 or not across or _sides(config["padding"]) != sides:
        return None
    k_alpha = sums.step.numbers
    if not config["count_include_pad"] or np.prod(config["kernel_size"]) != size:
        return None
    return layers.LocalResponseNorm(size, k_alpha[0], divisor.step.exponent, k_alpha[1])


def _before(entry: Entry, kind: type) -> Entry | None:
    """What a step of one class takes."""
    return entry.inputs[0] if entry.is_a(kind) else None


def _unshaped(entry: Entry) -> Entry:
    """An entry before its numbers were given another shape."""
    while entry.is_a(layers.Reshape):
        entry = entry.inputs[0]
    return entry


def _shifted_relu6(entry: Entry) -> Entry | None:
    """The x of ``relu6(x + 3)``."""
    if entry.is_a(layers.ReLU6) and entry.inputs[0].is_a(Scaling):
        shifted = entry.inputs[0]
        if _near(shifted.step.numbers, (1, 3)):
            return shifted.inputs[0]
    return None


def _product(entry: Entry) -> tuple[float, list[Entry]]:
    """A factor, and the entries whose product an entry is."""
    if entry.is_a(layers.Multiply) and len(entry.inputs) == 2:
        first, second = (_product_part(part) for part in entry.inputs)
        return first[0] * second[0], [first[1], second[1]]
    if entry.is_a(Scaling) and entry.step.numbers is not None and entry.step.shift == 0:
        factor, parts = _product(entry.inputs[0])
        return entry.step.scale * factor, parts
    return 1.0, [entry]


def _product_part(entry: Entry) -> tuple[float, Entry]:
    """An entry without a factor; of a gate ``a * x + b``, that is left as it is."""
    if entry.is_a(Scaling) and entry.step.numbers is not None and entry.step.shift == 0:
        return entry.step.scale, entry.inputs[0]
    return 1.0, entry


def _near(came: tuple[float, float] | None, wanted: tuple[float, float]) -> bool:
    """Whether two pairs are equal but for the digits that exporters write."""
    return came is not None and all(
        math.isclose(a, b, rel_tol=2e-5) for a, b in zip(came, wanted, strict=True)
    )


# Scaling


def _join_scalings(entry: Entry, readers: Readers) -> None:
    """Make one of two scalings in a row."""
    if not entry.is_a(Scaling):
        return
    (before,) = entry.inputs
    if not before.is_a(Scaling) or not readers.sole(before):
        return
    first, second = before.step, entry.step
    shift = _combined(np.multiply, first.shift, second.scale, neutral=(0.0, 1.0))
    entry.step = Scaling(
        _combined(np.multiply, first.scale, second.scale, neutral=(None, 1.0)),
        _combined(np.add, shift, second.shift, neutral=(None, 0.0)),
    )
    readers.bypass(entry)


def _combined(
    function: np.ufunc, a: Factor, b: Factor, neutral: tuple[float | None, float]
) -> Factor:
    """A function of two factors; `neutral` are those numbers for a and b that give a itself."""
    if b == neutral[1] or (neutral[0] is not None and a == neutral[0]):
        return a
    if neutral[0] is None and a == neutral[1]:
        return b
    if isinstance(a, float) and isinstance(b, float):
        return float(function(a, b))
    shapes = [factor.shape for factor in (a, b) if isinstance(factor, Deferred)]
    return Deferred(np.broadcast_shapes(*shapes), lambda: function(_read(a), _read(b)))


def _read(factor: Factor) -> Array | float:
    return factor if isinstance(factor, float) else factor.read()


def _scale_weights(entry: Entry, readers: Readers) -> None:
    """Put a scaling per channel into the weights of the layer before it."""
    if not entry.is_a(Scaling):
        return
    (before,) = entry.inputs
    scale, shift = entry.step.scale, entry.step.shift
    channel = (*before.shape[:1], *(1,) * (len(before.shape) - 1))
    for factor in (scale, shift):
        if isinstance(factor, Deferred) and factor.shape != channel:
            return
    norm = before.is_a(layers.BatchNorm2d, layers.GroupNorm)
    if not norm and not before.is_a(layers.Conv2d, layers.ConvTranspose2d, layers.Linear):
        return
    # Numbers belong to formulas, and would change what the weights are for training.
    fixed = [f for f, none in ((scale, 1.0), (shift, 0.0)) if isinstance(f, float) and f != none]
    if fixed or not readers.sole(before):
        return
    _take_scaling(entry, before, scale, shift)
    readers.bypass(entry)


def _take_scaling(entry: Entry, before: Entry, scale: Factor, shift: Factor) -> None:
    """Make an entry the layer before it with other weights."""
    state, layer = dict(before.state), before.layer
    if "bias" not in state and isinstance(shift, Deferred):
        layer = type(layer)(**{**layer.config(), "bias": True})
    if isinstance(scale, Deferred):
        weight, axis = state["weight"], 0
        shape = [1] * len(layer.param_shapes["weight"])
        if before.is_a(layers.ConvTranspose2d):
            axis = 1
        groups = getattr(layer, "groups", 1) if axis else 1

        def scaled() -> Array:
            factors = scale.read().reshape(groups, -1)
            if axis == 0:
                return weight() * factors.reshape([-1, *shape[1:]])
            parts = np.split(weight(), groups)
            return np.concatenate(
                [p * f[:, None, None] for p, f in zip(parts, factors, strict=True)]
            )

        state["weight"] = scaled
    if "bias" in state or isinstance(shift, Deferred):
        old = state.get("bias")

        def shifted() -> Array:
            bias = old() if old is not None else np.zeros((), np.float32)
            if isinstance(scale, Deferred):
                bias = bias * scale.read().reshape(-1)
            if isinstance(shift, Deferred):
                bias = bias + shift.read().reshape(-1)
            return np.asarray(bias)

        state["bias"] = shifted
    entry.step, entry.state, entry.hint = layer, state, before.hint


# Padding


def _merge_padding(entry: Entry, readers: Readers) -> None:
    """Make padding a part of the window that slides over it."""
    if not entry.is_a(layers.Conv2d, layers.MaxPool2d, layers.AvgPool2d):
        return
    (before,) = entry.inputs
    layer = entry.layer
    if not before.is_a(Padding) or min(before.step.sides) < 0:
        return
    fits = before.step.never_wins if entry.is_a(layers.MaxPool2d) else before.step.value == 0
    config = layer.config()
    if entry.is_a(layers.AvgPool2d):
        # Pixels of a padding in front of the pool count, its own only if it says so.
        fits = fits and (config["count_include_pad"] or config["padding"] == 0)
        config["count_include_pad"] = True
    if not fits or config.get("ceil_mode"):
        return
    own = _sides(config["padding"])
    top, bottom, left, right = np.add(before.step.sides, own).tolist()
    config["padding"] = ((top, bottom), (left, right))
    if (top, left) == (bottom, right):
        config["padding"] = top if top == left else (top, left)
    try:
        entry.step = type(layer)(**config)
    except ValueError:  # a pool refuses windows that lie only in padding
        return
    readers.bypass(entry)


def _sides(padding: Any) -> list[int]:
    """Padding of a layer as top, bottom, left and right."""
    rows, columns = (padding, padding) if isinstance(padding, int) else padding
    return [*np.broadcast_to(rows, 2).tolist(), *np.broadcast_to(columns, 2).tolist()]


# Upsampling


def _join_upsamplings(entry: Entry, readers: Readers) -> None:
    """Make one of two repetitions of pixels a whole number of times, such as rows and columns."""
    (before,) = entry.inputs if len(entry.inputs) == 1 else (entry,)
    if not _repeats(entry) or not _repeats(before) or not readers.sole(before):
        return
    (h, w), (rows, columns) = (np.broadcast_to(e.step.scale_factor, 2) for e in (before, entry))
    entry.step = layers.Upsample((float(h * rows), float(w * columns)), "nearest")
    readers.bypass(entry)


def _repeats(entry: Entry) -> bool:
    if not entry.is_a(layers.Upsample) or entry.step.mode != "nearest":
        return False
    return all(float(scale).is_integer() for scale in np.atleast_1d(entry.step.scale_factor))
