"""Which layers hold which parameters: found by the arrays themselves, in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np

from pocketcnn._arguments import Array

Layer: TypeAlias = Any
"""Any object with ``forward(x)`` and ``backward(dout)``: a layer of this package or the user's."""

Place: TypeAlias = tuple[Layer, str]
"""A layer, and the attribute in which it holds a parameter."""


def every_layer(layers: Iterable[Layer]) -> Iterator[Layer]:
    """Each of the layers once, followed by the layers inside it."""
    waiting, seen = list(layers)[::-1], set()
    while waiting:
        layer = waiting.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        for value in vars_of(layer).values():
            if isinstance(value, (list, tuple)):
                waiting += filter(_is_layer, value)
            elif isinstance(value, dict):
                waiting += filter(_is_layer, value.values())
            elif _is_layer(value):
                waiting.append(value)


def vars_of(layer: Layer) -> dict[str, Any]:
    """The attributes of the layer itself; empty if it has no ``__dict__``."""
    attributes: dict[str, Any] = getattr(layer, "__dict__", {})
    return attributes


def _is_layer(value: Any) -> bool:
    return hasattr(value, "forward") and hasattr(value, "backward")


def places(
    params: Mapping[str, Array], layers: Iterable[Layer], known: Mapping[str, list[Place]]
) -> dict[str, list[Place]]:
    """Find the layers that hold each parameter.

    Parameters
    ----------
    params : mapping of str to ndarray
    layers : iterable of layers
        Layers inside a layer count too.
    known : mapping of str to list of places
        Where parameters were before. An array that no layer holds any more still counts for that
        place, as long as the layer exists and holds no other parameter there.

    Returns
    -------
    dict of str to list of places
        With the keys of `params`; a parameter may have several places, or none.

    Raises
    ------
    ValueError
        If a layer trains a view of a parameter: its gradient would be lost.
    """
    there = list(every_layer(layers))
    holding: dict[int, list[Place]] = {}
    for layer in there:
        for attribute, value in vars_of(layer).items():
            if isinstance(value, np.ndarray):
                holding.setdefault(id(value), []).append((layer, attribute))
    found = {name: holding.get(id(value), []) for name, value in params.items()}
    _refuse_views(params, there)
    present, taken = set(map(id, there)), set(map(id, params.values()))
    for name in [name for name, held in found.items() if not held]:
        found[name] = [
            (layer, attribute)
            for layer, attribute in known.get(name, ())
            if id(layer) in present and id(getattr(layer, attribute, None)) not in taken
        ]
    return found


def _refuse_views(params: Mapping[str, Array], layers: Iterable[Layer]) -> None:
    own = set(map(id, params.values()))
    for layer in layers:
        for attribute in trained(layer):
            value = vars_of(layer)[attribute]
            if id(value) in own or not isinstance(value, np.ndarray):
                continue
            for name, array in params.items():
                if isinstance(array, np.ndarray) and np.may_share_memory(value, array):
                    raise ValueError(
                        f"{attribute} of {type(layer).__name__} is a view of params[{name!r}], "
                        "but must be that array itself or another one"
                    )


def trained(layer: Layer) -> list[str]:
    """Attributes that have a gradient beside them, as W has dW."""
    attributes = vars_of(layer)
    return [key[1:] for key in attributes if key[0] == "d" and key[1:] in attributes]


def gradient(name: str, held: Iterable[Place]) -> Array:
    """The gradient of a parameter, added up over the layers that hold it.

    Raises
    ------
    ValueError
        If no layer holds the parameter, or one that does has no gradient for it.
    """
    shares: list[Array] = []
    for layer, attribute in held:
        share = getattr(layer, f"d{attribute}", None)
        if share is None:
            raise ValueError(
                f"params[{name!r}] is {attribute} of {type(layer).__name__}, which has no "
                f"d{attribute} after backward"
            )
        shares.append(share)
    if not shares:
        raise ValueError(f"params has {name!r}, but no layer holds that very array")
    total = shares[0]
    for share in shares[1:]:
        total = total + share
    return total


class Visit:
    """One of several passes through the same layer, which itself remembers only the last.

    Parameters
    ----------
    layer : layer
    sums : dict
        Shared by the visits to the layer, and empty: the gradients that their backward adds up.
    """

    def __init__(self, layer: Layer, sums: dict[tuple[int, str], Array]) -> None:
        self.layer = layer
        self._sums = sums
        self._kept: Layer = None

    def remember(self) -> None:
        """Store what the layer's forward left: a copy of everything except its arrays."""
        arrays = [
            value
            for layer in every_layer([self.layer])
            for value in vars_of(layer).values()
            if isinstance(value, np.ndarray)
        ]
        self._kept = deepcopy(self.layer, {id(array): array for array in arrays})

    def backward(self, dout: Any) -> Any:
        """Go back through this visit; the layer has the sum of the gradients so far."""
        dx = self._kept.backward(dout)
        pairs = zip(every_layer([self.layer]), every_layer([self._kept]), strict=True)
        for number, (layer, kept) in enumerate(pairs):
            for attribute in trained(kept):
                share, at = getattr(kept, f"d{attribute}"), (number, attribute)
                self._sums[at] = self._sums[at] + share if at in self._sums else share
                setattr(layer, f"d{attribute}", self._sums[at])
        return dx
