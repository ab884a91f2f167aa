"""Attributes of the book's layers: some are computed only when they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np


class Later:
    """A value that is computed once, when it is first used.

    Parameters
    ----------
    compute : callable
        A function of a module, so that a layer can be pickled.
    given
        Its arguments; those that are `Later` themselves are computed first.
    """

    def __init__(self, compute: Callable[..., Any], *given: Any) -> None:
        self._compute: Callable[..., Any] | None = compute
        self._given = given
        self._value: Any = None

    def value(self) -> Any:
        """Return the value."""
        if self._compute is not None:
            given = [a.value() if isinstance(a, Later) else a for a in self._given]
            self._value = self._compute(*given)
            self._compute, self._given = None, ()
        return self._value


class LateAttribute:
    """An ordinary attribute, except that a `Later` is replaced by its value.

    None until it is set, also in a reader's class whose ``__init__`` does not call the parent's.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, layer: object, owner: type | None = None) -> Any:
        value = None if layer is None else vars(layer).get(self._name)
        return value.value() if isinstance(value, Later) else value

    def __set__(self, layer: object, value: Any) -> None:
        vars(layer)[self._name] = value


def was_given(layer: object, name: str) -> bool:
    """Whether the value of a late attribute was set by the reader's code."""
    value = vars(layer).get(name)
    return value is not None and not isinstance(value, Later)


class Shown:
    """Gives a layer a repr with its settings, ``Pooling(pool_h=2, pool_w=2, stride=2, pad=0)``."""

    _settings: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        """The settings; for an array its shape, "W (4, 3, 5, 5)"."""
        values = {name: getattr(self, name) for name in self._settings if hasattr(self, name)}
        shown = [
            f"{name} {value.shape}"
            if isinstance(value, np.ndarray) and value.ndim
            else f"{name}={value}"
            for name, value in values.items()
        ]
        return f"{type(self).__name__}({', '.join(shown)})"
