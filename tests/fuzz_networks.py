"""Draw random networks and compare each with its layers and with float64 references.

``fuzz_networks.py --count 200 --seed 0`` or ``--seconds 600``; run by test_random_networks.py and
by ``nox -s fuzz``. For each network, in double and in single precision:

- loss, all gradients and running statistics of a step as `reference_net.Reference` has them, and
  as the layers give them one by one;
- the same bits with 1, 2 and 3 threads; scores in inference, also of the compiled network; the
  same scores after saving and loading;
- the parameters after two steps of an optimiser.

In half of the networks some layers, drawn at random or the lowest, are frozen.

A network that differs is printed with the seed that draws it again, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

import pocketcnn as pc
import reference
import reference_optim
from pocketcnn.layers import Layer
from pocketcnn.layers.chain import every_layer
from pocketcnn.network import fusion
from reference_net import Arrays, Reference

Rng: TypeAlias = np.random.Generator
Named: TypeAlias = list[Any]  # of (str, Layer) or (str, Layer, inputs)

# Closer to a kink than this share of the largest value, single precision may decide differently:
# Winograd's error is up to 5e-6 of it.
MARGIN = 2e-5


def _one_of(rng: Rng, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _pair(rng: Rng, low: int, high: int) -> int | tuple[int, int]:
    """A setting of a window: one number, or one for each axis."""
    if rng.random() < 0.4:
        return int(rng.integers(low, high + 1))
    return tuple(int(v) for v in rng.integers(low, high + 1, 2))


def _padding(rng: Rng, most: int) -> Any:
    kind = _one_of(rng, "none", "number", "pair", "sides", "same")
    if kind == "same":
        return "same"
    if kind == "none":
        return 0
    if kind == "sides":
        sides = rng.integers(0, most + 1, (2, 2))
        return tuple(tuple(int(v) for v in axis) for axis in sides)
    return int(rng.integers(0, most + 1)) if kind == "number" else _pair(rng, 0, most)


def _conv(rng: Rng, channels: int) -> Layer:
    groups = _one_of(rng, 1, 1, 1, channels, *[g for g in (2, 3) if channels % g == 0])
    filters = groups * int(rng.integers(1, max(2, 13 // groups)))
    if groups == 1 and rng.random() < 0.2:
        filters = int(rng.integers(13, 50))
    return pc.Conv2d(
        channels,
        filters,
        _one_of(rng, 3, 3, 1, 5, _pair(rng, 1, 5), _pair(rng, 1, 8)),
        stride=_one_of(rng, 1, 1, _pair(rng, 1, 3)),
        padding=_padding(rng, 3),
        dilation=_one_of(rng, 1, 1, _pair(rng, 1, 3)),
        groups=groups,
        bias=bool(rng.random() < 0.8),
    )


def _transposed(rng: Rng, channels: int) -> Layer:
    groups = _one_of(rng, 1, 1, channels)
    stride = _one_of(rng, 1, 2, _pair(rng, 1, 2))
    return pc.ConvTranspose2d(
        channels,
        groups * int(rng.integers(1, 4)),
        _one_of(rng, 2, 3, _pair(rng, 1, 4)),
        stride=stride,
        padding=_padding(rng, 2),
        output_padding=0 if stride == 1 else _one_of(rng, 0, (1, 0) if stride == 2 else 0),
        groups=groups,
        bias=bool(rng.random() < 0.8),
    )


def _pooling(rng: Rng, _: int) -> Layer:
    if rng.random() < 0.1:
        return _one_of(rng, pc.GlobalAvgPool2d, pc.GlobalMaxPool2d)()
    kernel = _one_of(rng, 2, 2, 3, _pair(rng, 1, 4))
    stride = _one_of(rng, None, None, 2, _pair(rng, 1, 3))
    ceil_mode = bool(rng.random() < 0.4)
    small = kernel if isinstance(kernel, int) else min(kernel)
    padding = _one_of(rng, 0, 0, int(rng.integers(0, small // 2 + 1)))
    if rng.random() < 0.6:
        return pc.MaxPool2d(kernel, stride, padding, ceil_mode)
    return pc.AvgPool2d(kernel, stride, padding, ceil_mode, bool(rng.random() < 0.5))


def _activation(rng: Rng, channels: int) -> Layer:
    if rng.random() < 0.4:
        return pc.ReLU()
    alpha, slopes = float(rng.uniform(0, 1.5)), int(_one_of(rng, 1, channels))
    return _one_of(
        rng,
        pc.Sigmoid(),
        pc.Tanh(),
        pc.LeakyReLU(alpha),
        pc.PReLU(slopes),
        pc.ELU(alpha),
        pc.ReLU6(),
        pc.SiLU(),
        pc.GELU(_one_of(rng, "none", "tanh")),
        pc.HardSigmoid(),
        pc.HardSwish(),
    )


def _norm(rng: Rng, channels: int) -> Layer:
    if rng.random() < 0.75:
        momentum = float(_one_of(rng, 0.1, 0.3, 1.0))
        return pc.BatchNorm2d(channels, eps=float(_one_of(rng, 1e-5, 1e-3)), momentum=momentum)
    if rng.random() < 0.5:
        groups = _one_of(rng, *[g for g in range(1, channels + 1) if channels % g == 0])
        return pc.GroupNorm(groups, channels, eps=float(_one_of(rng, 1e-2, 1e-1)))
    size, alpha, beta = int(rng.integers(1, 6)), float(rng.uniform(0.01, 1)), 0.75
    return pc.LocalResponseNorm(
        size, alpha, float(_one_of(rng, beta, 0.5)), float(rng.uniform(1, 2))
    )


def _dropout(rng: Rng, _: int) -> Layer:
    return pc.Dropout(float(rng.uniform(0, 0.7)))


def _maps(rng: Rng, channels: int) -> Layer:
    """A layer without weights that moves, resizes or scales maps."""
    kind = int(rng.integers(7))
    if kind == 6:
        return pc.ScaleShift(float(rng.uniform(0.5, 2)), float(rng.normal()))
    if kind == 5:
        return pc.Clip(_one_of(rng, None, -1.0, -0.5), _one_of(rng, None, 0.5, 1.0))
    if kind == 4:
        return pc.Slice(0, int(rng.integers(1, channels + 1)), step=_one_of(rng, 1, 2))
    if kind == 3:
        scale = _one_of(rng, 2, float(rng.uniform(0.5, 2)), tuple(rng.uniform(0.5, 1.5, 2)))
        mode = _one_of(rng, "nearest", "bilinear")
        return pc.Upsample(scale, mode, bool(mode == "bilinear" and rng.random() < 0.5))
    if kind == 0:
        return pc.ZeroPad2d(tuple(tuple(int(v) for v in rng.integers(-1, 3, 2)) for _ in range(2)))
    if kind == 1:
        groups = [g for g in range(1, channels + 1) if channels % g == 0]
        return pc.ChannelShuffle(_one_of(rng, *groups))
    return pc.Normalize(list(rng.normal(size=channels)), list(rng.uniform(0.5, 2, channels)))


def _residual(rng: Rng, channels: int) -> Layer:
    """A branch that keeps the shape, or a branch and a shortcut that change it in the same way."""
    filters, stride = _one_of(rng, (channels, 1), (int(rng.integers(1, 9)), _pair(rng, 1, 2)))
    body: Named = [("a", pc.Conv2d(channels, filters, 3, stride=stride, padding=1))]
    for name, make in (("b", _norm), ("c", _activation), ("d", _dropout)):
        if rng.random() < 0.5:
            body.append((name, make(rng, filters)))
    if rng.random() < 0.7:
        dilation = _pair(rng, 1, 2)
        body.append(("e", pc.Conv2d(filters, filters, 3, padding="same", dilation=dilation)))
        body += [("f", _norm(rng, filters))] * (rng.random() < 0.5)
    if (filters, stride) == (channels, 1):
        return pc.Residual(body)
    around: Named = [("a", pc.Conv2d(channels, filters, 1, stride=stride, bias=False))]
    around += [("b", pc.BatchNorm2d(filters))] * (rng.random() < 0.5)
    return pc.Residual(body, around)


Maker: TypeAlias = Callable[[Rng, int], Layer]
STEPS: dict[str, Maker] = {
    "conv": _conv,
    "pool": _pooling,
    "activation": _activation,
    "norm": _norm,
    "dropout": _dropout,
    "maps": _maps,
    "transposed": _transposed,
    "residual": _residual,
}
# Common sequences, which are fused, and similar ones that might be fused by mistake.
PATTERNS = [
    ("conv", "activation"),
    ("conv", "activation", "pool"),
    ("conv", "norm", "activation"),
    ("conv", "norm", "activation", "pool"),
    ("conv", "norm"),
    ("residual", "activation"),
    *((step,) for step in STEPS),
]


def draw_branches(rng: Rng, source: str, channels: int, place: int) -> Named:
    """Layers that take a value twice or more, and join what they made of it; sizes stay."""
    kind = _one_of(rng, "add", "concat", "gate")
    if kind == "gate":
        return [
            (f"mean{place}", pc.GlobalAvgPool2d(), source),
            (f"squeeze{place}", pc.Conv2d(channels, channels, 1)),
            (f"gate{place}", _one_of(rng, pc.Sigmoid, pc.Tanh)()),
            (f"scale{place}", pc.Multiply(), [source, f"gate{place}"]),
        ]
    filters = channels if kind == "add" else int(rng.integers(1, 9))
    layers: Named = [(f"first{place}", pc.Conv2d(channels, filters, 3, padding=1), source)]
    for name, make in (("norm", _norm), ("act", _activation)):
        if rng.random() < 0.5:
            layers.append((f"{name}{place}", make(rng, filters)))
    ends = [layers[-1][0], source]
    if rng.random() < 0.5:
        layers.append((f"second{place}", pc.Conv2d(channels, filters, 1), source))
        ends[int(rng.integers(2))] = f"second{place}"
        if ends[0] == f"second{place}":  # else nobody takes what the first branch gives
            ends.append(layers[-2][0])
    if rng.random() < 0.2:
        ends.append(ends[0])
    merge = pc.Add() if kind == "add" else pc.Concat()
    layers.append((f"{kind}{place}", merge, ends))
    layers += [(f"relu{place}", pc.ReLU())] * (rng.random() < 0.5)
    return layers


def draw_layers(rng: Rng) -> tuple[Named, tuple[int, int, int]]:
    """Draw a network of one to four patterns, and its linear layers; every layer fits."""
    limit = 18 if rng.random() < 0.1 else 12
    channels = int(_one_of(rng, 1, 3, rng.integers(1, 9), rng.integers(9, 40)))
    input_shape = (channels, int(rng.integers(3, limit)), int(rng.integers(3, limit)))
    layers: Named = []
    shape: tuple[int, ...] = input_shape
    for _ in range(int(rng.integers(1, 5))):
        if len(shape) == 3 and rng.random() < 0.2:
            source = layers[-1][0] if layers else "input"
            layers += draw_branches(rng, source, shape[0], len(layers))
            shape = pc.ConvNet(layers, input_shape, seed=None).output_shape
        for step in PATTERNS[int(rng.integers(len(PATTERNS)))]:
            for _ in range(5):  # a window that does not fit is drawn again
                if len(shape) != 3:
                    break
                try:
                    layer = STEPS[step](rng, shape[0])
                    shape = layer.output_shape(shape)
                except ValueError:
                    continue
                layers.append((f"{step}{len(layers)}", layer))
                break
    layers.append(("flat", pc.Flatten()))
    features = int(np.prod(shape))
    if rng.random() < 0.4:
        hidden = int(rng.integers(1, 40))
        layers += [("hidden", pc.Linear(features, hidden)), ("act", _activation(rng, hidden))]
        layers += [("drop", _dropout(rng, 0))] * (rng.random() < 0.5)
        features = hidden
    layers.append(
        ("out", pc.Linear(features, int(rng.integers(2, 8)), bias=bool(rng.random() < 0.8)))
    )
    return layers, input_shape


class Case:
    """A random network with a batch; everything comes from the seed."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        # A weight of any size may be one that is updated in backward.
        fusion._LARGE_WEIGHT = int(_one_of(rng, 2**25, 2**25, 256))
        layers, input_shape = draw_layers(rng)
        self.net = pc.ConvNet(layers, input_shape, seed=int(rng.integers(2**31)), dtype=np.float64)
        for name, array in {**self.net.params, **self.net.buffers}.items():
            if array.ndim == 1:  # instead of the zeros and ones of a new network
                array[...] = rng.uniform(0.5, 1.5, array.shape) * (
                    1 if name.endswith("running_var") else rng.choice([-1, 1], array.shape)
                )
        n = int(_one_of(rng, 2, 3, rng.integers(2, 13), rng.integers(13, 40)))
        # Numbers that single precision holds exactly, so that both precisions see the same network.
        for array in {**self.net.params, **self.net.buffers}.values():
            array[...] = array.astype(np.float32)
        self.x = rng.standard_normal((n, *input_shape), dtype=np.float32)
        classes = self.net.output_shape[0]
        self.t: Any = rng.integers(0, classes, n)
        if rng.random() < 0.3:
            self.t = rng.dirichlet(np.ones(classes), n)
        self.smoothing = float(_one_of(rng, 0.0, 0.0, 0.1))
        self.optimizer = _draw_optimizer(rng)
        _freeze_some(np.random.default_rng([seed, 1]), self.net)

    def reference(self) -> Reference:
        state = {**self.net.params, **self.net.buffers}
        return Reference(self.net.layers, self.net.inputs, state, self.net.frozen)


def _freeze_some(rng: Rng, net: pc.ConvNet) -> None:
    names = [name for name, layer in every_layer(net.layers) if not layer.children]
    kind = _one_of(rng, "none", "none", "lowest", "any")
    if kind == "lowest":
        net.freeze(*names[: int(rng.integers(1, len(names) + 1))])
    elif kind == "any" and (drawn := [name for name in names if rng.random() < 0.5]):
        net.freeze(*drawn)


def _draw_optimizer(rng: Rng) -> pc.optim.Optimizer:
    decay = float(_one_of(rng, 0.0, 0.01))
    kind = int(rng.integers(5))
    if kind == 0:
        momentum = float(_one_of(rng, 0.0, 0.9))
        return pc.optim.SGD(0.1, momentum, bool(momentum and rng.random() < 0.5), decay)
    makers = (pc.optim.AdaGrad, pc.optim.RMSprop, pc.optim.Adam, pc.optim.AdamW)
    # AdaGrad's own eps of 1e-10 would make steps out of a zero gradient's rounding.
    return makers[kind - 1](0.01, eps=1e-6, weight_decay=decay)


def _compare(what: str, actual: Any, wanted: Any, tolerance: float, least: float = 1e-3) -> None:
    """Compare within `tolerance` times the largest value, or times `least` if that is larger."""
    wanted = np.asarray(wanted, np.float64)
    scale = max(float(np.abs(wanted).max(initial=0.0)), least)
    error = np.abs(np.asarray(actual, np.float64) - wanted).max(initial=0.0) / scale
    if np.shape(actual) != wanted.shape or not error <= tolerance:
        raise AssertionError(f"{what} is off by {error:.2g} of its largest value {scale:.2g}")


def _compare_all(
    what: str, actual: Any, wanted: Any, tolerance: float, terms: Any = MappingProxyType({})
) -> None:
    if actual.keys() != wanted.keys():
        raise AssertionError(f"{what}: names {sorted(actual)}, wanted {sorted(wanted)}")
    # The gradient of a bias in front of a normalisation is zero: large numbers that cancel.
    least = 0.02 * max(float(np.abs(array).max(initial=0.0)) for array in wanted.values())
    for name in wanted:
        its_least = max(least, 1e-3 * terms.get(name, 0.0))
        _compare(f"{what} {name}", actual[name], wanted[name], tolerance, its_least)


def _run(net: pc.ConvNet, case: Case) -> dict[str, Any]:
    """One pass forward and backward of a copy: loss, gradients, running statistics."""
    twin = net.astype(net.dtype)
    loss, grads = twin.value_and_gradient(case.x, case.t, label_smoothing=case.smoothing)
    return {"loss": np.array(loss), **grads, **twin.buffers}


def _one_by_one(net: pc.ConvNet, case: Case) -> dict[str, Any]:
    """The same from the layers' own forward and backward."""
    twin = net.astype(net.dtype)
    values: dict[str, Any] = {"input": case.x.astype(net.dtype)}
    for name, sources in twin.inputs.items():
        taken = [values[source] for source in sources]
        x = taken if len(taken) > 1 else taken[0]
        values[name] = twin.layers[name].forward(x, training=True)
    loss, flowing = pc.losses.cross_entropy(values[name], case.t, label_smoothing=case.smoothing)
    grads = {name: flowing}
    for name, sources in reversed(twin.inputs.items()):
        if name in grads:
            flowing = twin.layers[name].backward(grads.pop(name))
            parts = flowing if len(sources) > 1 else [flowing]
            for source, part in zip(sources, parts, strict=True):
                if part is not None:
                    grads[source] = grads[source] + part if source in grads else part
    return {"loss": np.array(loss), **twin.grads, **twin.buffers}


def _expected(case: Case) -> tuple[dict[str, Any], Reference]:
    """The same from the references, and the references themselves."""
    wanted = case.reference()
    logits = wanted.forward(case.x, deepcopy(case.net.generators))
    loss, dlogits = reference.cross_entropy(logits, case.t, case.smoothing)
    wanted.backward(dlogits)
    buffers = {name: wanted.state[name] for name in case.net.buffers}
    grads = {name: wanted.grads[name] for name in case.net.trainable}
    return {"loss": np.array(loss), **grads, **buffers}, wanted


def check_gradients(case: Case) -> bool:
    """Check a step in both precisions; return whether single precision could be compared."""
    wanted, by_definition = _expected(case)
    margin, terms = by_definition.margin, by_definition.terms
    double, single = case.net, case.net.astype(np.float32)
    _compare_all("double", _run(double, case), wanted, 1e-9, terms)
    _compare_all("double, layer by layer,", _one_by_one(double, case), wanted, 1e-9, terms)
    runs = []
    for threads in (1, 2, 3):
        with pc.num_threads(threads):
            runs.append(_run(single, case))
    for name, array in runs[0].items():
        if any(run[name].tobytes() != array.tobytes() for run in runs[1:]):
            raise AssertionError(f"{name} has other bits with other threads")
    if margin > MARGIN:
        _compare_all("single", runs[0], wanted, 1e-3, terms)
        _compare_all("single, layer by layer,", _one_by_one(single, case), wanted, 1e-3, terms)
    return margin > MARGIN


def check_inference(case: Case, folder: Path) -> None:
    """Compare scores with the reference, also after saving and loading."""
    wanted = case.reference().forward(case.x)
    for net, tolerance in ((case.net, 1e-9), (case.net.astype(np.float32), 1e-3)):
        scores = net.predict(case.x)
        _compare("scores", scores, wanted, tolerance)
        _compare("activations", list(net.activations(case.x).values())[-1], wanted, tolerance)
        compiled = net.compile()
        _compare("compiled scores", compiled(case.x), wanted, tolerance)
        _compare("compiled scores one by one", compiled.predict(case.x, 1), wanted, tolerance)
        net.save(folder / "net.safetensors")
        again = pc.load(folder / "net.safetensors")
        if again.predict(case.x).tobytes() != scores.tobytes():
            raise AssertionError("scores changed by saving and loading")
        if net.frozen:
            again.freeze(*net.frozen)
        if again.summary() != net.summary():
            raise AssertionError("the summary changed by saving and loading")


def check_optimizer(case: Case) -> None:
    """Two steps of the trainer, as gradients and definitions say."""
    wanted, trained, kept = case.reference(), case.net.astype(np.float64), deepcopy(case.optimizer)
    generators = deepcopy(trained.generators)
    trainer = pc.Trainer(trained, kept, label_smoothing=case.smoothing)
    states: dict[str, Any] = {}
    for step in (1, 2):
        trainer.step(case.x, case.t)
        logits = wanted.forward(case.x, generators)
        wanted.backward(reference.cross_entropy(logits, case.t, case.smoothing)[1])
        for name in trained.trainable:
            grad = wanted.grads[name]
            new, states[name] = _update(kept, wanted.state[name], grad, states.get(name), step)
            wanted.state[name] = new
    results: Arrays = {**trained.params, **trained.buffers}
    _compare_all(f"after two steps of {kept},", results, wanted.state, 1e-6)
    for name in trained.params.keys() - trained.trainable.keys():
        if trained.params[name].tobytes() != case.net.params[name].tobytes():
            raise AssertionError(f"{name} is frozen, but has changed")


def _update(optimizer: Any, p: Any, grad: Any, state: Any, step: int) -> tuple[Any, Any]:
    settings = {name: getattr(optimizer, name) for name in optimizer.hyperparameters}
    zero = np.zeros_like(p)
    if isinstance(optimizer, pc.optim.SGD):
        first = zero if optimizer.momentum else None
        return reference_optim.sgd(p, grad, first if state is None else state, **settings)
    if isinstance(optimizer, pc.optim.Adam):
        m, v = (zero, zero) if state is None else state
        decoupled = isinstance(optimizer, pc.optim.AdamW)
        p, m, v = reference_optim.adam(p, grad, m, v, decoupled=decoupled, step=step, **settings)
        return p, (m, v)
    formula = getattr(reference_optim, type(optimizer).__name__.lower())
    return formula(p, grad, zero if state is None else state, **settings)


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2**62, help="networks")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0, help="of the first network; then upwards")
    options = parser.parse_args()
    start, checked, single, failed = time.monotonic(), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        while checked < options.count and time.monotonic() - start < options.seconds:
            seed = options.seed + checked
            case = Case(seed)
            try:
                single += check_gradients(case)
                check_inference(case, Path(folder))
                check_optimizer(case)
            except Exception as error:
                print(f"--seed {seed} --count 1: {type(error).__name__}: {error}")
                print(case.net.summary(), flush=True)
                failed += 1
            checked += 1
    print(
        f"{checked} networks from seed {options.seed} on {pc.config.isa()}, {single} of them in "
        f"single precision too: {failed} differ"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
