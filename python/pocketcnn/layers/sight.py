"""Which places of a layer's input one place of its output depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:  # few layers need it, and it brings decimal with it
    from fractions import Fraction

Number: TypeAlias = "int | Fraction"


class Sight(NamedTuple):
    """Output o along an axis sees the inputs from ``first + o * step`` to ``last + o * step``.

    These are bounds: where they are no whole numbers, it sees the whole ones between them.

    Examples
    --------
    >>> Sight(-1, 1, 2)  # a window of three with stride 2 and padding 1
    Sight(first=-1, last=1, step=2)
    """

    first: Number
    last: Number
    step: Number
