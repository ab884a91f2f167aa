"""Call every operation with random shapes, settings, dtypes and memory layouts, and compare.

``fuzz_operations.py --count 10000 --seed 0`` or ``--seconds 600``; run by test_random_networks.py
and by ``nox -s fuzz``. Results are compared with the float64 definitions of reference.py, must be
C-contiguous and of the promised dtype, and arguments must be unchanged. A call that differs is
printed with the seed that repeats it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

import pocketcnn as pc
import pocketcnn.functional as F
import reference
import reference_maps
from fuzz_networks import _one_of, _padding, _pair
from operations import ACTIVATIONS, FROM_INPUT
from pocketcnn import _core

Rng: TypeAlias = np.random.Generator

# A share of the largest value: sums of up to some thousand products, and Winograd's rounding.
TOLERANCES = {np.float64: 1e-11, np.float32: 5e-5, np.float16: 2e-3}


class Draw:
    """Random arrays of one dtype in any memory layout, with copies of their values."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        dtypes = (np.float32, np.float32, np.float64, np.float64, np.float16, np.int8, np.uint8)
        self.dtype: Any = dtypes[int(rng.integers(len(dtypes)))]
        integral = np.issubdtype(self.dtype, np.integer)
        self.result: Any = np.float32 if integral else self.dtype
        self.given: list[tuple[np.ndarray[Any, Any], bytes]] = []

    def array(self, *shape: int, exact: Any = None) -> Any:
        """Values that every dtype holds exactly, in some layout."""
        dtype = exact or self.dtype
        low = 0 if np.issubdtype(dtype, np.unsignedinteger) else -8
        values = self.rng.integers(low, 9, shape)
        numbers = values.astype(dtype) if np.issubdtype(dtype, np.integer) else values / 8
        laid = _lay_out(self.rng, numbers.astype(dtype))
        self.given.append((laid, laid.tobytes()))
        return laid

    def floats(self, *shape: int) -> Any:
        """The same in a dtype that results have."""
        return self.array(*shape, exact=self.result)

    def size(self, most: int) -> int:
        """Small sizes more often than large ones, 1 most often."""
        return int(self.rng.integers(1, self.rng.integers(1, most + 1) + 1))

    def check(self, what: str, actual: Any, wanted: Any) -> None:
        """Compare a result, and check that it has the promised form."""
        if actual.dtype != self.result or not actual.flags.c_contiguous:
            raise AssertionError(f"{what} is {actual.dtype}, or not contiguous")
        compare(what, actual, wanted, TOLERANCES[self.result])

    def check_given(self) -> None:
        """Check that arguments are unchanged."""
        for array, before in self.given:
            if array.tobytes() != before:
                raise AssertionError(f"an argument of shape {array.shape} was changed")


def _lay_out(rng: Rng, x: Any) -> Any:
    """The same values in another layout in memory."""
    kind = _one_of(rng, "plain", "plain", "fortran", "steps", "backwards", "swapped", "readonly")
    if kind == "fortran":
        x = np.asfortranarray(x)
    elif kind == "steps" and x.ndim:
        wide = np.repeat(np.repeat(x, 2, axis=0), 2, axis=-1)
        x = wide[::2, ..., ::2] if x.ndim > 1 else wide[:: wide.size // max(x.size, 1)]
    elif kind == "backwards":
        x = np.flip(np.flip(x).copy())
    elif kind == "swapped":
        x = x.astype(x.dtype.newbyteorder())
    elif kind == "readonly":
        x = x.copy()
        x.flags.writeable = False
    return x


def compare(what: str, actual: Any, wanted: Any, tolerance: float) -> None:
    """Compare within `tolerance` times the largest value, or times 1."""
    wanted = np.asarray(wanted, np.float64)
    scale = max(float(np.abs(wanted).max(initial=0.0)), 1.0)
    error = float(np.abs(np.asarray(actual, np.float64) - wanted).max(initial=0.0)) / scale
    if np.shape(actual) != wanted.shape or not error <= tolerance:
        raise AssertionError(f"{what} of shape {wanted.shape} is off by {error:.2g}")


def _images(draw: Draw, most_channels: int = 9) -> Any:
    n = int(draw.rng.integers(0, 4)) if draw.rng.random() < 0.2 else draw.size(4)
    return draw.array(n, draw.size(most_channels), draw.size(12), draw.size(12))


def _conv_settings(draw: Draw) -> tuple[Any, Any, dict[str, Any]]:
    """x, weight and a window that fits."""
    rng = draw.rng
    groups = _one_of(rng, 1, 1, 1, 2, 3, draw.size(9))
    channels, filters = groups * draw.size(9), groups * draw.size(9)
    if groups == 1 and rng.random() < 0.2:
        channels, filters = int(rng.integers(9, 70)), int(rng.integers(9, 70))
    while True:
        window = {
            "stride": _one_of(rng, 1, 1, _pair(rng, 1, 3)),
            "padding": _padding(rng, 3),
            "dilation": _one_of(rng, 1, 1, _pair(rng, 1, 3)),
        }
        kernel = _one_of(
            rng, (3, 3), (1, 1), (5, 5), (draw.size(5), draw.size(5)), (draw.size(9), 1)
        )
        shape = (draw.size(4), channels, draw.size(16), draw.size(16))
        if all(axis.outputs > 0 for axis in reference.axes(shape, kernel, **window)):
            break
    weight = draw.floats(filters, channels // groups, *kernel)
    return draw.array(*shape), weight, {**window, "groups": groups}


def _two(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


WAYS = {one.name: [way.algorithm.name for way in _core.conv2d_ways(one)] for one in _core.ConvPass}


@contextlib.contextmanager
def _unless_refused(way: str) -> Iterator[None]:
    """Not every algorithm fits every window; its error says why."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(f"algorithm {way} takes "):
            raise


def convolution(draw: Draw) -> Iterator[str]:
    """Forward and both gradients, by every algorithm that fits the case."""
    x, weight, options = _conv_settings(draw)
    bias = draw.floats(len(weight)) if draw.rng.random() < 0.7 else None
    wanted = reference.conv2d(x, weight, bias, **options)
    grad = draw.floats(*wanted.shape)
    back = reference.conv2d_backward(grad, x, weight, **options)
    for way in ("auto", *WAYS["forward"]):
        with _unless_refused(way):
            out = F.conv2d(x, weight, bias, **options, algorithm=way)
            draw.check(f"conv2d {way}", out, wanted)
            yield "conv2d"
    for way in ("auto", *dict.fromkeys(WAYS["input_grad"] + WAYS["weight_grad"])):
        with _unless_refused(way):
            got = F.conv2d_backward(grad, x, weight, **options, algorithm=way)
            for name, actual, right in zip(("dx", "dweight", "dbias"), got, back, strict=True):
                draw.check(f"conv2d_backward {way} {name}", actual, right)
            yield "conv2d_backward"
    none, *rest = F.conv2d_backward(grad, x, weight, **options, input_grad=False)
    assert none is None
    for name, actual, right in zip(("dweight", "dbias"), rest, back[1:], strict=True):
        draw.check(f"conv2d_backward without dx, {name}", actual, right)
    yield "conv2d_backward"


def transposed_convolution(draw: Draw) -> Iterator[str]:
    """Forward and gradients."""
    rng = draw.rng
    groups = _one_of(rng, 1, 1, 2, 3)
    channels, filters = groups * draw.size(9), draw.size(9)
    shape = (draw.size(3), channels, draw.size(7), draw.size(7))
    while True:
        kernel = _one_of(rng, (2, 2), (3, 3), (4, 4), (draw.size(5), draw.size(5)))
        stride, dilation = (
            _one_of(rng, 1, 2, _pair(rng, 1, 4)),
            _one_of(rng, 1, 1, _pair(rng, 1, 3)),
        )
        most = np.maximum(_two(stride), _two(dilation))
        options = {
            "stride": stride,
            "padding": _padding(rng, 3),
            "output_padding": tuple(int(v) for v in rng.integers(0, most)),
            "dilation": dilation,
        }
        if min(reference_maps.transposed_sizes(shape, kernel, **options)[1]) > 0:
            break
    options["groups"] = groups
    x, weight = draw.array(*shape), draw.floats(channels, filters, *kernel)
    bias = draw.floats(filters * groups) if rng.random() < 0.7 else None
    wanted = reference_maps.conv_transpose2d(x, weight, bias, **options)
    draw.check("conv_transpose2d", F.conv_transpose2d(x, weight, bias, **options), wanted)
    yield "conv_transpose2d"
    grad = draw.floats(*wanted.shape)
    got = F.conv_transpose2d_backward(grad, x, weight, **options)
    back = reference_maps.conv_transpose2d_backward(grad, x, weight, **options)
    for name, actual, right in zip(("dx", "dweight", "dbias"), got, back, strict=True):
        draw.check(f"conv_transpose2d_backward {name}", actual, right)
    yield "conv_transpose2d_backward"


def columns(draw: Draw) -> Iterator[str]:
    """im2col and its adjoint."""
    x, weight, options = _conv_settings(draw)
    del options["groups"]
    kernel = weight.shape[2:]
    wanted = reference.im2col(x, kernel, **options)
    draw.check("im2col", F.im2col(x, kernel, **options), wanted)
    yield "im2col"
    col = draw.floats(*wanted.shape)
    back = F.col2im(col, x.shape, kernel, **options)
    draw.check("col2im", back, reference.col2im(col, x.shape, kernel, **options))
    yield "col2im"


def pooling(draw: Draw) -> Iterator[str]:
    """Maximum and average, forward and backward."""
    rng = draw.rng
    n = 0 if rng.random() < 0.05 else draw.size(4)
    while True:
        shape = (n, draw.size(9), draw.size(12), draw.size(12))
        kernel = _one_of(rng, 2, 3, _pair(rng, 1, 5))
        stride = _one_of(rng, kernel, 2, _pair(rng, 1, 4))
        padding = _one_of(rng, 0, int(rng.integers(0, min(_two(kernel)) // 2 + 1)))
        ceil_mode = bool(rng.random() < 0.5)
        dilation = _one_of(rng, 1, 1, _pair(rng, 1, 2))
        window = (shape, kernel, stride, padding)
        if all(_all_see_pixels(*window, d, ceil_mode) for d in (1, dilation)):
            break
    x = draw.array(*shape)
    wanted, argmax = reference.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    out, places = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    draw.check("max_pool2d", out, wanted)
    if places.dtype != np.int64 or not np.array_equal(places, argmax):
        raise AssertionError("argmax differs")
    yield "max_pool2d"
    grad = draw.floats(*wanted.shape)
    dx = F.max_pool2d_backward(grad, places, x.shape)
    draw.check("max_pool2d_backward", dx, reference.max_pool2d_backward(grad, argmax, x.shape))
    yield "max_pool2d_backward"
    options = (kernel, stride, padding, ceil_mode, bool(rng.random() < 0.5))
    wanted = reference.avg_pool2d(x, *options)
    draw.check("avg_pool2d", F.avg_pool2d(x, *options), wanted)
    yield "avg_pool2d"
    grad = draw.floats(*wanted.shape)
    dx = F.avg_pool2d_backward(grad, x.shape, *options)
    draw.check("avg_pool2d_backward", dx, reference.avg_pool2d_backward(grad, x.shape, *options))
    yield "avg_pool2d_backward"


def _all_see_pixels(shape: tuple[int, ...], *window: Any) -> bool:
    """Whether there are windows, and each has a tap inside the image."""
    return all(
        axis.outputs > 0
        and all(any(0 <= i < axis.size for i in axis.taps(o)) for o in range(axis.outputs))
        for axis in reference.axes(shape, *window)
    )


def linear(draw: Draw) -> Iterator[str]:
    """The fully connected layer."""
    n, features, outputs = draw.size(40), draw.size(300), draw.size(80)
    x, weight = draw.array(n, features), draw.floats(outputs, features)
    bias = draw.floats(outputs) if draw.rng.random() < 0.7 else None
    draw.check("linear", F.linear(x, weight, bias), reference.linear(x, weight, bias))
    yield "linear"
    grad = draw.floats(n, outputs)
    got, wanted = F.linear_backward(grad, x, weight), reference.linear_backward(grad, x, weight)
    for name, actual, right in zip(("dx", "dweight", "dbias"), got, wanted, strict=True):
        draw.check(f"linear_backward {name}", actual, right)
    yield "linear_backward"


def elementwise(draw: Draw) -> Iterator[str]:
    """Activations and dropout, of any number of axes."""
    shape = [draw.size(9) for _ in range(int(draw.rng.integers(1, 5)))]
    x, grad = draw.array(*shape), draw.floats(*shape)
    for row, (name, settings) in ACTIVATIONS.items():
        out = getattr(F, name)(x, **settings)
        draw.check(row, out, getattr(reference, name)(x, **settings))
        yield name
        kept = x if name in FROM_INPUT else out
        back = getattr(F, f"{name}_backward")(grad, kept, **settings)
        right = getattr(reference, f"{name}_backward")(grad, kept, **settings)
        draw.check(f"{row}_backward", back, right)
        yield f"{name}_backward"
    weight = draw.floats(1 if len(shape) < 2 else int(_one_of(draw.rng, 1, shape[1])))
    draw.check("prelu", F.prelu(x, weight), reference.prelu(x, weight))
    yield "prelu"
    got, wanted = F.prelu_backward(grad, x, weight), reference.prelu_backward(grad, x, weight)
    for name, actual, right in zip(("dx", "dweight"), got, wanted, strict=True):
        draw.check(f"prelu_backward {name}", actual, right)
    yield "prelu_backward"
    p = float(draw.rng.random())
    seed = int(draw.rng.integers(1000))
    out, mask = F.dropout(x, p, np.random.default_rng(seed))
    keep = np.random.default_rng(seed).random(x.shape, dtype=np.float32) >= p
    factors = np.where(keep, 1 / (1 - p), 0)
    draw.check("dropout's mask", mask, factors)
    draw.check("dropout", out, np.asarray(x, np.float64) * factors)
    yield "dropout"


def softmaxes(draw: Draw) -> Iterator[str]:
    """Softmax and its logarithm along any axis; the loss."""
    shape = [draw.size(12) for _ in range(int(draw.rng.integers(1, 5)))]
    axis = int(draw.rng.integers(len(shape)))
    x, grad = draw.array(*shape), draw.floats(*shape)
    for name in ("softmax", "log_softmax"):
        out = getattr(F, name)(x, axis)
        draw.check(name, out, getattr(reference, name)(x, axis))
        yield name
        back = getattr(F, f"{name}_backward")(grad, out, axis)
        right = getattr(reference, f"{name}_backward")(grad, out, axis)
        draw.check(f"{name}_backward", back, right)
        yield f"{name}_backward"
    n, k = draw.size(40), draw.size(30)
    logits, smoothing = draw.floats(n, k), float(_one_of(draw.rng, 0.0, 0.1, 0.9))
    for target in (draw.rng.integers(0, k, n), draw.rng.dirichlet(np.ones(k), n)):
        loss, dlogits = F.cross_entropy(logits, target, smoothing)
        right_loss, right = reference.cross_entropy(logits, target, smoothing)
        compare("cross_entropy", loss, right_loss, TOLERANCES[draw.result])
        draw.check("cross_entropy's gradient", dlogits, right)
        yield "cross_entropy"


def normalisation(draw: Draw) -> Iterator[str]:
    """Batch normalisation of inference, and local response normalisation."""
    x = _images(draw)
    channels = x.shape[1]
    gamma, beta, mean = (draw.floats(channels) for _ in range(3))
    var, eps = np.abs(draw.floats(channels)), float(_one_of(draw.rng, 1e-5, 0.1))
    out, _ = F.batch_norm(x, gamma, beta, mean, var, False, eps=eps)
    compare(
        "batch_norm", out, reference.batch_norm(x, gamma, beta, mean, var, eps),
        100 * TOLERANCES[draw.result],
    )  # fmt: skip
    yield "batch_norm"
    groups = _one_of(draw.rng, *[g for g in range(1, channels + 1) if channels % g == 0])
    # A group of equal numbers would be divided by the root of eps, and rounding errors with it.
    out, cache = F.group_norm(x, groups, gamma, beta, 0.1)
    draw.check("group_norm", out, reference_maps.group_norm(x, groups, gamma, beta, 0.1))
    yield "group_norm"
    grad = draw.floats(*x.shape)
    got = F.group_norm_backward(grad, cache)
    back = reference_maps.group_norm_backward(grad, x, groups, gamma, 0.1)
    for name, actual, right in zip(("dx", "dgamma", "dbeta"), got, back, strict=True):
        draw.check(f"group_norm_backward {name}", actual, right)
    yield "group_norm_backward"
    settings = (int(draw.rng.integers(1, 7)), float(draw.rng.random()), 0.75, 1.5)
    out, _ = F.local_response_norm(x, *settings)
    draw.check("local_response_norm", out, reference.local_response_norm(x, *settings))
    yield "local_response_norm"


def resizing(draw: Draw) -> Iterator[str]:
    """Nearest and bilinear, by whole and by other scales."""
    rng, x = draw.rng, _images(draw, 4)
    most = min(x.shape[2:])
    scale = _one_of(rng, 2, 3, float(rng.uniform(1 / most, 3)), tuple(rng.uniform(1, 4, 2)))
    mode = _one_of(rng, "nearest", "bilinear")
    options = (scale, mode, bool(mode == "bilinear" and rng.random() < 0.5))
    wanted = reference_maps.upsample2d(x, *options)
    draw.check("upsample2d", F.upsample2d(x, *options), wanted)
    yield "upsample2d"
    grad = draw.floats(*wanted.shape)
    dx = F.upsample2d_backward(grad, x.shape, *options)
    draw.check("its gradient", dx, reference_maps.upsample2d_backward(grad, x.shape, *options))
    yield "upsample2d_backward"


def movement(draw: Draw) -> Iterator[str]:
    """Padding and shuffling: exact."""
    rng, x = draw.rng, _images(draw)
    height, width = x.shape[2:]
    low = -((height - 1) // 2), -((width - 1) // 2)
    padding = _one_of(
        rng,
        int(rng.integers(max(low), 4)),
        (int(rng.integers(low[0], 4)), int(rng.integers(low[1], 4))),
        tuple(tuple(int(v) for v in rng.integers(least, 4, 2)) for least in low),
    )
    wanted = reference_maps.zero_pad2d(x, padding)
    draw.check("zero_pad2d", F.zero_pad2d(x, padding), wanted)
    yield "zero_pad2d"
    grad = draw.floats(*wanted.shape)
    dx = F.zero_pad2d_backward(grad, padding)
    draw.check("zero_pad2d_backward", dx, reference_maps.zero_pad2d_backward(grad, padding))
    yield "zero_pad2d_backward"
    groups = _one_of(rng, *[g for g in range(1, x.shape[1] + 1) if x.shape[1] % g == 0])
    wanted = reference_maps.channel_shuffle(x, groups)
    draw.check("channel_shuffle", F.channel_shuffle(x, groups), wanted)
    yield "channel_shuffle"
    grad = draw.floats(*x.shape)
    dx = F.channel_shuffle_backward(grad, groups)
    draw.check("its gradient", dx, reference_maps.channel_shuffle_backward(grad, groups))
    yield "channel_shuffle_backward"


KINDS: list[Callable[[Draw], Iterator[str]]] = [
    convolution, convolution, columns, pooling, linear, elementwise, softmaxes, normalisation,
    movement, resizing, transposed_convolution,
]  # fmt: skip


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2**62, help="calls")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0, help="of the first draw; then upwards")
    options = parser.parse_args()
    start, calls, failed, seed = time.monotonic(), 0, 0, options.seed - 1
    np.seterr(all="ignore")
    while calls < options.count and time.monotonic() - start < options.seconds:
        seed += 1
        rng = np.random.default_rng(seed)
        draw = Draw(rng)
        kind = KINDS[int(rng.integers(len(KINDS)))]
        try:
            with pc.num_threads(int(rng.integers(1, 4))):
                calls += sum(1 for _ in kind(draw))
            draw.check_given()
        except (ValueError, TypeError, AssertionError) as error:
            print(f"--seed {seed} --count 1 ({kind.__name__}, {draw.dtype.__name__}): {error}")
            failed += 1
    drawn = seed - options.seed + 1
    print(f"{calls} calls from {drawn} draws on {pc.config.isa()}: {failed} draws differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
