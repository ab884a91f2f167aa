"""The arrays of a layer by name, which keep their shapes whatever is assigned to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np

from pocketcnn._alignment import aligned, empty
from pocketcnn._arguments import Array, array, require_shape


class LayerArrays(dict[str, Array]):
    """A dict in which ``arrays[name] = value`` copies the value into the array of that name.

    So the arrays that an optimiser, a network or a stage holds remain those of the layer, with the
    same shape and dtype. Nothing can be removed.

    Parameters
    ----------
    owner, kind : str
        Used in messages: "Conv2d", "parameter".
    arrays : mapping of str to ndarray
    fixed : bool
        Whether no names can be added; otherwise assigning to a new name adds it.
    """

    def __init__(
        self, owner: str, kind: str, arrays: Mapping[str, Array], *, fixed: bool = True
    ) -> None:
        super().__init__(arrays)
        self._owner, self._kind, self._fixed = owner, kind, fixed

    def __setitem__(self, name: str, value: Any) -> None:
        mine = self.get(name)
        if mine is None and self._fixed:
            raise ValueError(f"{self._owner} has no {self._kind} {name!r}; it has {list(self)}")
        if mine is None:
            super().__setitem__(name, np.asarray(value))
        elif value is not mine:
            came = array(name, value)
            require_shape(name, came, mine.shape)
            mine[...] = came

    def update(self, *others: Any, **named: Any) -> None:
        """Assign to each name."""
        for name, value in dict(*others, **named).items():
            self[name] = value

    def __ior__(self, other: Any) -> LayerArrays:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, name: str, default: Any = None) -> Array:
        """Return the array, after adding it if there is none."""
        if name not in self:
            self[name] = default
        return self[name]

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(f"{self._owner} keeps every {self._kind}: none can be taken out")

    __delitem__ = _refuse
    pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._owner, self._kind, dict(self), self._fixed)


def _restore(owner: str, kind: str, arrays: Mapping[str, Array], fixed: bool) -> LayerArrays:
    return LayerArrays(owner, kind, arrays, fixed=fixed)


def require_names(
    owner: str, came: Iterable[str], needed: Iterable[str], free: Iterable[str] = ()
) -> None:
    """Raise ValueError unless all required names are there, and no others except the free ones."""
    names, wanted = set(came), set(needed)
    if missing := sorted(wanted - names):
        raise ValueError(f"the state of {owner} lacks {', '.join(missing)}")
    if surplus := sorted(map(str, names - wanted - set(free))):
        raise ValueError(
            f"{owner} has no {', '.join(surplus)}; it has {sorted(wanted | set(free))}"
        )


def fitted(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return `value` itself if a layer can use it, else a copy of the dtype, in C order.

    Raises
    ------
    TypeError, ValueError
        If it is not an array of numbers, or has another shape.
    """
    came = array(name, value)
    require_shape(name, came, shape)
    if came.dtype == dtype and came.flags.carray:
        return aligned(came)
    copy = empty(shape, dtype)
    copy[...] = came
    return copy
