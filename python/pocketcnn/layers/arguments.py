"""Reads the settings of layers: from what users write to what shapes are computed with.

A number of the wrong kind raises TypeError, a wrong number ValueError. Both name the setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeAlias

Pair: TypeAlias = tuple[int, int]
IntOrPair: TypeAlias = int | Sequence[int]
Padding: TypeAlias = int | str | Sequence[int] | Sequence[Sequence[int]]


def count(name: str, value: int, *, least: int = 1) -> int:
    """Return `value` if it is an int, not below `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, but must be an int")
    if value < least:
        kind = "positive" if least > 0 else "non-negative"
        raise ValueError(f"{name} is {value!r}, but must be a {kind} int")
    return int(value)


def pair(name: str, value: IntOrPair, *, least: int = 1) -> Pair:
    """Make (vertical, horizontal) of one int or of two.

    Examples
    --------
    >>> pair("stride", 2), pair("stride", [2, 1])
    ((2, 2), (2, 1))
    """
    values = value if isinstance(value, (list, tuple)) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{name} is {value!r}, but must be one int or two, (h, w)")
    return count(name, values[0], least=least), count(name, values[1], least=least)


def padding_sides(padding: Padding) -> tuple[Pair, Pair] | None:
    """Make ((top, bottom), (left, right)) of a padding; of "same", which has no numbers yet, None.

    Examples
    --------
    >>> padding_sides(2), padding_sides((1, 0)), padding_sides("valid")
    (((2, 2), (2, 2)), ((1, 1), (0, 0)), ((0, 0), (0, 0)))
    """
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f'padding is {padding!r}, but a name must be "same" or "valid"')
        return None if padding == "same" else ((0, 0), (0, 0))
    sides = frozen(padding)
    if isinstance(sides, tuple) and any(isinstance(side, tuple) for side in sides):
        if len(sides) != 2 or not all(isinstance(side, tuple) for side in sides):
            raise ValueError(f"padding is {padding!r}, but must be ((top, bottom), (left, right))")
        return pair("padding", sides[0], least=0), pair("padding", sides[1], least=0)
    vertical, horizontal = pair("padding", sides, least=0)
    return (vertical, vertical), (horizontal, horizontal)


def frozen(value: Any) -> Any:
    """Turn lists, as they come from JSON, into tuples, at every depth.

    Examples
    --------
    >>> frozen([[1, 2], [0, 0]])
    ((1, 2), (0, 0))
    """
    return tuple(frozen(v) for v in value) if isinstance(value, (list, tuple)) else value
