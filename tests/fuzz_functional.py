"""Call every function with arguments drawn at random; run as a program by test_bad_input.py.

Each call must return, or raise ValueError, TypeError or MemoryError. A crash of the process
is what the caller looks for; the last line on standard output is then the call that did it.
Memory is limited, so that a huge but possible size fails instead of swapping.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

import pocketcnn.functional as F
from operations import OPERATIONS, Operation

LIMIT = 3 * 2**30
EXTREMES = [-(2**63), -(2**31), 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**64]

integers = st.one_of(st.integers(-2, 9), st.sampled_from(EXTREMES), st.integers(-(2**65), 2**65))
counts = st.one_of(
    integers,
    st.tuples(integers, integers),
    st.tuples(st.tuples(integers, integers), st.tuples(integers, integers)),
    st.sampled_from(["same", "valid", "", None, 1.5, (), (1,), [1, 2], True]),
)
dtypes = st.sampled_from([np.float32, np.float64, np.float16, np.int8, np.bool_, np.int64])
arrays: st.SearchStrategy[Any] = dtypes.flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6)
    )
)
shapes = st.one_of(st.tuples(*[integers] * 4), st.lists(integers, max_size=6).map(tuple), st.none())
anything = st.one_of(counts, arrays, shapes, st.text(max_size=3), st.floats())


def _strategy(name: str, value: Any) -> st.SearchStrategy[Any]:
    """Mostly values of the argument's own kind, close to valid ones; sometimes anything."""
    if name == "argmax":
        extreme = st.sampled_from([-(2**63), -1, 0, 41, 42, 2**31, 2**40, 2**63 - 1])
        own: st.SearchStrategy[Any] = hnp.arrays(np.int64, value.shape, elements=extreme)
    elif name == "input_shape":
        own = shapes
    elif isinstance(value, np.ndarray):
        own = arrays
    elif isinstance(value, float):
        own = st.floats()
    else:
        own = counts
    return st.one_of(own, own, own, anything)


@st.composite
def calls(draw: st.DrawFn) -> tuple[Operation, dict[str, Any]]:
    """Draw a valid call with one to three arguments changed."""
    operation = OPERATIONS[draw(st.sampled_from(sorted(OPERATIONS)))]
    arguments = operation.arguments(draw(st.sampled_from([np.float32, np.float64])))
    for name in draw(
        st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=3, unique=True)
    ):
        if name != "rng":
            arguments[name] = draw(_strategy(name, arguments[name]))
    return operation, arguments


def _read(results: Any) -> None:
    """Read every byte of the results: invalid memory would crash."""
    for result in results if isinstance(results, tuple) else (results,):
        if isinstance(result, np.ndarray):
            result.any()


def _call(name: str, arguments: dict[str, Any], function: Callable[..., Any] | None = None) -> Any:
    """Print the call, make it, and ignore the errors that users may see."""
    print(f"{name}(**{arguments!r})".replace("\n", " "), flush=True)
    try:
        result = (function or getattr(F, name))(**arguments)
    except (ValueError, TypeError) as error:
        if not str(error).strip():
            raise AssertionError("an error without a message") from error
        return None
    except MemoryError:
        return None
    _read(result)
    return result


sizes = st.one_of(st.integers(1, 4), st.sampled_from([5, 7, 1000, 2**20, 2**30, 2**31 - 1, 2**31]))
pads = st.one_of(st.integers(0, 3), sizes)
pairs = st.one_of(st.integers(1, 3), st.tuples(sizes, sizes))


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a mostly valid window, its sizes from 1 to the largest allowed."""
    side = st.tuples(pads, pads)
    padding = draw(st.one_of(st.integers(0, 3), side, st.tuples(side, side), st.just("same")))
    return {"stride": draw(pairs), "padding": padding, "dilation": draw(pairs)}


@st.composite
def images(draw: st.DrawFn) -> Any:
    shape = (draw(st.integers(0, 3)), *draw(st.tuples(*[st.integers(1, 6)] * 3)))
    return np.arange(1, np.prod(shape) + 1, dtype=np.float64).reshape(shape)


def _window_calls(x: Any, kernel: Any, window: dict[str, Any], *, ceil_mode: bool) -> None:
    """Every function of a window, forward and backward; convolution agrees with im2col."""
    kernel_h, kernel_w = kernel
    col = _call("im2col", {"x": x, "kernel_size": kernel, **window})
    if col is not None:
        _call("col2im", {"col": col, "input_shape": x.shape, "kernel_size": kernel, **window})
    if kernel_h * kernel_w < 1000:
        weight = np.ones((2, x.shape[1], kernel_h, kernel_w))
        out = _call("conv2d", {"x": x, "weight": weight, **window})
        if out is not None:
            _call("conv2d_backward", {"grad": out, "x": x, "weight": weight, **window})
        if out is not None and col is not None and out.size < 100_000:
            np.testing.assert_array_equal(out[:, 0].reshape(-1), col.sum(axis=1))
    pool = {"kernel_size": kernel, **window, "ceil_mode": ceil_mode}
    pooled = _call("max_pool2d", {"x": x, **pool})
    if pooled is not None:
        arguments = {"grad": pooled[0], "argmax": pooled[1], "input_shape": x.shape}
        _call("max_pool2d_backward", arguments)
    del pool["dilation"]
    mean = _call("avg_pool2d", {"x": x, **pool})
    if mean is not None:
        _call("avg_pool2d_backward", {"grad": mean, "input_shape": x.shape, **pool})


def main(examples: int, start: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    np.set_printoptions(threshold=60)
    np.seterr(all="ignore")
    fuzzing = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    @seed(start)
    @fuzzing
    @given(calls())
    def fuzz_values(call: tuple[Operation, dict[str, Any]]) -> None:
        operation, arguments = call
        _call(operation.name, arguments, operation.function)

    # Windows that once read past the end of a buffer, or took unlimited memory or time.
    far, small = 2**31, np.ones((1, 1, 4, 3))
    skip_all = {"stride": (far - 1, far), "padding": "same", "dilation": (far - 1, far)}
    skip_rows = {"stride": 3, "padding": "same", "dilation": (far - 1, far)}
    wide = {"stride": 1, "padding": 20000, "dilation": 20000}
    leap = {"stride": (far, 1), "padding": "same", "dilation": 1}

    @seed(start)
    @fuzzing
    @example(small, (5, 5), skip_all, False)
    @example(small, (5, 5), skip_rows, False)
    @example(small, (3, 3), wide, False)
    @example(small, (9, 1), leap, True)
    @given(images(), st.tuples(sizes, sizes), windows(), st.booleans())
    def fuzz_windows(x: Any, kernel: Any, window: dict[str, Any], ceil_mode: bool) -> None:
        _window_calls(x, kernel, window, ceil_mode=ceil_mode)

    fuzz_values()
    fuzz_windows()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
