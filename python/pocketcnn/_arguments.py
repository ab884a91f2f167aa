"""What users may write for an array, a size, a stride or a padding, and what it means.

Every function here returns plain ints and C-contiguous arrays, or raises one error that names
the argument, what came and what was wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from operator import index
from typing import Any, SupportsIndex, TypeAlias, TypeGuard, cast

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Pair: TypeAlias = tuple[int, int]
IntOrPair: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
Padding: TypeAlias = str | IntOrPair | Sequence[Sequence[SupportsIndex]]
Sides: TypeAlias = tuple[int, int, int, int]
"""Padding at the top, at the bottom, on the left, on the right."""

_FLOAT16 = np.dtype(np.float16)
_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)

# Kernel sizes, strides and padding beyond this fit no memory; their products stay in 63 bits.
_LARGEST = 2**31


def as_array(name: str, value: Any) -> Array:
    """Return `value` as an array, a tensor of another library too, without a copy if possible."""
    if type(value) is np.ndarray:
        return value
    if getattr(value, "requires_grad", False):
        raise ValueError(f"{name} requires gradients, which are not kept here: use tensor.detach()")
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except ValueError as error:  # lists of unequal lengths
        raise ValueError(f"{name} cannot be read as an array: {error}") from error
    except (TypeError, RuntimeError, BufferError) as error:  # each library has its own
        raise TypeError(f"{name} cannot be read as an array: {error}") from error


def array(name: str, value: npt.ArrayLike, ndim: int | None = None) -> Array:
    """Return `value` as an array that can hold an image, with `ndim` axes where that is given."""
    a = as_array(name, value)
    if a.dtype.kind not in "fiub" or a.dtype.itemsize > 8:
        raise TypeError(
            f"{name} has dtype {a.dtype}, but must be an array of float16, float32, float64, "
            "integers or booleans"
        )
    if ndim is not None and a.ndim != ndim:
        raise ValueError(f"{name} has shape {a.shape}, but must have {ndim} axes")
    return a


def compute_dtypes(*arrays: Array) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The dtype to compute in, and the dtype of the result.

    Floats are promoted as NumPy does; integers and booleans count as float32, but leave float16
    what it is. float16 is computed in float32.
    """
    first = arrays[0].dtype
    if first is _FLOAT32 or first is _FLOAT64:
        for a in arrays:
            if a.dtype is not first:
                break
        else:
            return first, first
    floats = [a.dtype for a in arrays if a.dtype.kind == "f"]
    result = np.result_type(*floats) if floats else _FLOAT32
    return (_FLOAT64, _FLOAT64) if result == _FLOAT64 else (_FLOAT32, result)


def contiguous(a: Array, dtype: np.dtype[Any]) -> Array:
    """Return `a` as an aligned C-contiguous array of `dtype`: itself where it is one."""
    if a.dtype == dtype and a.flags.c_contiguous and a.flags.aligned and type(a) is np.ndarray:
        return a
    return np.array(a, dtype, order="C", subok=False)


def restore(result: Array, dtype: np.dtype[Any]) -> Array:
    """Return `result` in the dtype that the caller is owed."""
    return result if result.dtype == dtype else result.astype(dtype)


def integer(name: str, value: SupportsIndex, least: int | None = None) -> int:
    """Return `value` as an int, at least `least`."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, but must be an int") from None
    if least is not None and number < least:
        raise ValueError(f"{name} is {value!r}, but must be at least {least}")
    return number


def extent(name: str, value: SupportsIndex, least: int = 1) -> int:
    """Return `value` as an int, at least `least` and small enough to be computed with."""
    number = integer(name, value, least)
    if number > _LARGEST:
        raise ValueError(f"{name} is {value!r}, more than the {_LARGEST} that any image has")
    return number


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def pair(name: str, value: IntOrPair, least: int = 1) -> Pair:
    """(vertical, horizontal) of one int or of two.

    Examples
    --------
    >>> pair("stride", 2), pair("stride", [2, 1])
    ((2, 2), (2, 1))
    """
    if not _is_sequence(value):
        number = extent(name, cast(SupportsIndex, value), least)
        return number, number
    values = tuple(value)
    if len(values) != 2:
        raise ValueError(f"{name} is {value!r}, but must be an int or (h, w)")
    return extent(name, values[0], least), extent(name, values[1], least)


def padding_sides(value: Padding, least: int = 0) -> Sides | None:
    """(top, bottom, left, right) of a padding; None for "same", which depends on the image.

    Numbers are at least `least`.

    Examples
    --------
    >>> padding_sides(2), padding_sides((1, 0)), padding_sides(((0, 1), (2, 3)))
    ((2, 2, 2, 2), (1, 1, 0, 0), (0, 1, 2, 3))
    """
    if isinstance(value, str):
        if value == "same":
            return None
        if value == "valid":
            return 0, 0, 0, 0
        raise ValueError(f'padding is {value!r}, but a name must be "same" or "valid"')
    if _is_sequence(value) and any(_is_sequence(side) for side in value):
        sides = tuple(value)
        if len(sides) != 2 or not all(_is_sequence(side) and len(side) == 2 for side in sides):
            raise ValueError(f"padding is {value!r}, but must be ((top, bottom), (left, right))")
        return (*pair("padding", sides[0], least), *pair("padding", sides[1], least))
    vertical, horizontal = pair("padding", cast(IntOrPair, value), least)
    return vertical, vertical, horizontal, horizontal


def sizes(
    name: str, value: Sequence[SupportsIndex], least: int = 1, axes: str | None = None
) -> tuple[int, ...]:
    """Sizes, each at least `least`; where `axes` are named, "C, H, W", just as many.

    Examples
    --------
    >>> sizes("input_shape", [1, 28, 28], axes="C, H, W")
    (1, 28, 28)
    """
    wanted = f"({axes})" if axes else "a tuple of ints"
    if not _is_sequence(value):
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{name} is {value!r}, but must be {wanted}")
    if axes is not None and len(value) != axes.count(",") + 1:
        raise ValueError(f"{name} is {value!r}, but must be {wanted}")
    return tuple(integer(name, size, least) for size in value)


def shape4(name: str, value: Sequence[SupportsIndex]) -> tuple[int, int, int, int]:
    """Four sizes (N, C, H, W) that an array in memory can have."""
    shape = cast(tuple[int, int, int, int], sizes(name, value, 0, "N, C, H, W"))
    require_memory(name, shape)
    return shape


def require_memory(name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError if no memory holds an array of the shape."""
    if prod(max(size, 1) for size in shape) >= 2**58:
        raise ValueError(f"{name} is {shape!r}, larger than any memory")


def require_shape(name: str, a: Array, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `a` has the shape."""
    if a.shape != shape:
        raise ValueError(f"{name} has shape {a.shape}, but must have {shape}")


def real_numbers(name: str, value: npt.ArrayLike) -> Array:
    """Return `value` as an array of any real numbers, which a network casts to its own type."""
    a = as_array(name, value)
    if a.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {a.dtype}, but images are real numbers")
    return a


def require_batch(name: str, a: Array, input_shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `a` is a batch of what a network takes."""
    if a.ndim == 0 or a.shape[1:] != input_shape:
        wanted = ", ".join(map(str, ("N", *input_shape)))
        raise ValueError(f"{name} has shape {a.shape}, but the network takes ({wanted})")


def class_names(name: str, value: Sequence[str], count: int) -> list[str]:
    """Return `value` as a list of `count` strings that are not empty."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} is {value!r:.80}, but must be a list of str")
    for place, its_name in enumerate(value):
        if not isinstance(its_name, str) or not its_name:
            raise TypeError(f"{name}[{place}] is {its_name!r:.80}, but must be a str with a letter")
    if len(value) != count:
        raise ValueError(f"{name} has {len(value)} names, but the network has {count} classes")
    return list(value)


def number(name: str, value: float, low: float, high: float) -> float:
    """Return `value` as a float within [low, high]."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name} is {value!r}, but must be a number")
    try:
        as_float = float(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, but must be a number") from None
    except OverflowError:  # an int beyond every float
        as_float = inf if value > 0 else -inf
    if not low <= as_float <= high:
        raise ValueError(f"{name} is {value!r}, but must lie in {low:g} to {high:g}")
    return as_float


def share(name: str, value: float) -> float:
    """Return `value` as a float from 0 to less than 1."""
    as_float = number(name, value, 0.0, 1.0)
    if as_float == 1.0:
        raise ValueError(f"{name} is {value!r}, but must be less than 1")
    return as_float


def non_negative(name: str, value: float) -> float:
    """Return `value` as a finite float, at least 0."""
    return number(name, value, 0, float(np.finfo(np.float64).max))


def finite(name: str, value: float) -> float:
    """Return `value` as a finite float."""
    largest = float(np.finfo(np.float64).max)
    return number(name, value, -largest, largest)


def check_cache(cache: object, kind: type) -> None:
    """Raise TypeError unless a gradient is given what its own forward pass returned."""
    if not isinstance(cache, kind):
        came = type(cache).__name__
        raise TypeError(f"cache is a {came}, but must be the {kind.__name__} of the forward pass")
