"""What holds for every function with any memory layout of its arrays.

Strides, byte order, alignment, read-only flags and subclasses change nothing in the result;
inputs are never modified; results are C-contiguous arrays of the documented dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pocketcnn.functional as F
from operations import OPERATIONS, OPTIMISER_STEPS, Operation, bits

Anything = npt.NDArray[Any]
FLOATS = [np.float16, np.float32, np.float64]

# Functions whose tests live with the layers that own their state.
ELSEWHERE = {
    "conv2d_plan", "ConvPlan", "ConvPassPlan",  # take no arrays
    *OPTIMISER_STEPS,
}  # fmt: skip


# These speak of convolutions without computing one.
NOT_OPERATIONS = {"conv2d_plan", "ConvPlan", "ConvPassPlan", "LinearWeightGrad"}


class Subclass(np.ndarray[Any, Any]):
    """A subclass that adds nothing."""


def _transposed(a: Anything) -> Anything:
    """Reverse the order of the axes in memory."""
    return np.ascontiguousarray(a.T).T


def _swapped_axes(a: Anything) -> Anything:
    """Channels last, as images usually come."""
    if a.ndim < 2:
        return a.copy()
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def _sliced(a: Anything) -> Anything:
    """Every other element of a larger array, in every axis."""
    larger = np.zeros([2 * size + 1 for size in a.shape], dtype=a.dtype)
    view = larger[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def _reversed(a: Anything) -> Anything:
    """Negative strides in every axis."""
    backwards = tuple(slice(None, None, -1) for _ in a.shape)
    return np.ascontiguousarray(a[backwards])[backwards]


def _inner(a: Anything) -> Anything:
    """A window of a larger image: contiguous rows a distance apart."""
    outside = np.nan if a.dtype.kind == "f" else 1
    larger = np.full([size + 3 for size in a.shape], outside, dtype=a.dtype)
    view = larger[tuple(slice(1, 1 + size) for size in a.shape)]
    view[...] = a
    return view


def _swapped_bytes(a: Anything) -> Anything:
    return a.astype(a.dtype.newbyteorder())


def _unaligned(a: Anything) -> Anything:
    """Start one byte past an aligned address."""
    buffer = np.zeros(a.nbytes + 1, dtype=np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def _read_only(a: Anything) -> Anything:
    a = a.copy()
    a.flags.writeable = False
    return a


def _masked(a: Anything) -> Anything:
    return np.ma.MaskedArray(a.copy())


LAYOUTS: dict[str, Callable[[Anything], Anything]] = {
    "contiguous": lambda a: a.copy(),
    "fortran": np.asfortranarray,
    "transposed": _transposed,
    "channels last": _swapped_axes,
    "sliced": _sliced,
    "reversed": _reversed,
    "inner": _inner,
    "byte-swapped": _swapped_bytes,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "subclass": lambda a: a.copy().view(Subclass),
    "masked array, nothing masked": _masked,
}

# Ids: one layout each for at most four arrays of a function.
_layouts = st.lists(st.sampled_from(sorted(LAYOUTS)), min_size=4, max_size=4)


def _array_arguments(arguments: dict[str, Any]) -> list[str]:
    return [name for name, value in arguments.items() if isinstance(value, np.ndarray)]


def _assert_plain(results: tuple[Anything, ...]) -> None:
    for result in results:
        assert type(result) is np.ndarray
        assert result.flags.c_contiguous
        assert result.flags.writeable
        assert result.flags.aligned
        assert result.dtype.isnative


def test_every_public_function_is_in_the_table() -> None:
    public = {name for name in F.__all__ if name not in NOT_OPERATIONS}
    assert public - ELSEWHERE == {operation.name for operation in OPERATIONS.values()}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@given(layouts=_layouts, dtype=st.sampled_from(FLOATS), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_layout_changes_nothing(
    operation: Operation, layouts: list[str], dtype: npt.DTypeLike, seed: int
) -> None:
    expected = operation(operation.arguments(dtype, seed=seed))
    arguments = operation.arguments(dtype, seed=seed)
    names = _array_arguments(arguments)
    for name, layout in zip(names, layouts, strict=False):
        laid_out = LAYOUTS[layout](arguments[name])
        np.testing.assert_array_equal(np.asarray(laid_out), arguments[name])
        arguments[name] = laid_out
    before = {name: np.array(arguments[name]).tobytes() for name in names}
    results = operation(arguments)
    assert bits(results) == bits(expected)
    _assert_plain(results)
    for name in names:
        assert np.array(arguments[name]).tobytes() == before[name], f"{name} was modified"
        for result in results:
            assert not np.shares_memory(result, arguments[name])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_layout_of_every_array(operation: Operation, layout: str) -> None:
    arguments = operation.arguments(np.float32, seed=5)
    expected = operation(arguments)
    arguments = operation.arguments(np.float32, seed=5)
    for name in _array_arguments(arguments):
        arguments[name] = LAYOUTS[layout](arguments[name])
    results = operation(arguments)
    assert bits(results) == bits(expected)
    _assert_plain(results)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_results_are_new_arrays_every_time(operation: Operation) -> None:
    """A pool of blocks must not hand out memory that a caller still holds."""
    first = operation(operation.arguments(np.float32, seed=1))
    kept = bits(first)
    second = operation(operation.arguments(np.float32, seed=2))
    assert bits(first) == kept
    for a in first:
        for b in second:
            assert not np.shares_memory(a, b)


def _float_results(results: tuple[Anything, ...]) -> set[np.dtype[Any]]:
    return {r.dtype for r in results if r.dtype != np.int64 and r.ndim}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_float_dtype_comes_back(operation: Operation, dtype: npt.DTypeLike) -> None:
    results = operation(operation.arguments(dtype))
    assert _float_results(results) == {np.dtype(dtype)}


# Functions of two arrays or more, whose dtypes can differ. Gradients that are handed a cache are
# not among them: what it holds is in the forward pass's dtype, and rounded to it.
CACHED = {"batch_norm_backward", "group_norm_backward", "local_response_norm_backward"}
MIXED = {n: o for n, o in OPERATIONS.items() if len(o.arrays) > 1 and n not in CACHED}

INTEGERS = [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_integers_and_bool_count_as_float32(operation: Operation, dtype: npt.DTypeLike) -> None:
    arguments = operation.arguments(np.float64)
    arguments = _with_integers(arguments, operation.arrays, dtype)
    as_float = {
        n: v.astype(np.float32) if n in operation.arrays else v for n, v in arguments.items()
    }
    expected = operation({**as_float, **_fresh_generator(arguments)})
    assert bits(operation(arguments)) == bits(expected)


def _with_integers(
    arguments: dict[str, Any], names: tuple[str, ...], dtype: npt.DTypeLike
) -> dict[str, Any]:
    """Round the named arrays to small whole numbers that every integer type holds."""
    changed = dict(arguments)
    for name in names:
        changed[name] = np.round(np.abs(arguments[name]) * 3 % 2).astype(dtype)
    return changed


def _fresh_generator(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"rng": np.random.default_rng(7)} if "rng" in arguments else {}


@pytest.mark.parametrize("operation", MIXED.values(), ids=MIXED)
def test_mixed_floats_promote_like_numpy(operation: Operation) -> None:
    for first in FLOATS:
        for second in FLOATS:
            arguments = operation.arguments(np.float16)
            for i, name in enumerate(operation.arrays):
                arguments[name] = arguments[name].astype(first if i == 0 else second)
            wanted = np.result_type(first, second)
            promoted = {
                n: v.astype(wanted) if n in operation.arrays else v for n, v in arguments.items()
            }
            assert bits(operation(arguments)) == bits(operation(promoted))


@pytest.mark.parametrize("operation", MIXED.values(), ids=MIXED)
def test_an_integer_array_leaves_the_float_dtype_alone(operation: Operation) -> None:
    """Integers next to float16 give float16, next to float64 give float64."""
    for dtype in FLOATS:
        for name in operation.arrays:
            arguments = operation.arguments(dtype)
            arguments = _with_integers(arguments, (name,), np.int32)
            assert _float_results(operation(arguments)) == {np.dtype(dtype)}


PER_CHANNEL = ("weight", "bias", "gamma", "beta")  # arguments without a batch axis

BATCHED = [
    name
    for name in OPERATIONS
    if name not in ("col2im", "dropout") and not name.startswith("cross_entropy")
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", BATCHED)
def test_an_empty_batch_gives_empty_results_and_zero_gradients(
    name: str, dtype: npt.DTypeLike
) -> None:
    operation = OPERATIONS[name]
    arguments = operation.arguments(dtype)
    for key, value in arguments.items():
        if isinstance(value, np.ndarray) and key not in PER_CHANNEL:
            arguments[key] = value[:0]
    if "input_shape" in arguments:
        arguments["input_shape"] = (0, *arguments["input_shape"][1:])
    results = operation(arguments)
    assert results
    for result in results:
        assert not result.any()
    assert any(0 in result.shape for result in results)


def test_broadcast_views_are_read_with_their_zero_strides() -> None:
    image = np.random.default_rng(0).normal(size=(1, 3, 6, 6))
    x = np.broadcast_to(image, (4, 3, 6, 6))
    weight = np.broadcast_to(np.float64(0.5), (2, 3, 3, 3))
    out = F.conv2d(x, weight)
    np.testing.assert_array_equal(out, F.conv2d(x.copy(), weight.copy()))
    np.testing.assert_array_equal(F.max_pool2d(x, 2)[0], F.max_pool2d(x.copy(), 2)[0])


def test_memory_mapped_files_are_arrays_too(tmp_path: Any) -> None:
    stored = np.lib.format.open_memmap(
        tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(2, 3, 5, 5)
    )
    stored[...] = np.random.default_rng(1).normal(size=stored.shape)
    stored.flush()
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    weight = np.ones((2, 3, 2, 2), np.float32)
    out = F.conv2d(x, weight)
    assert type(out) is np.ndarray
    np.testing.assert_array_equal(out, F.conv2d(np.array(x), weight))
