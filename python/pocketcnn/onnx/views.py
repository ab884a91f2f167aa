"""How a tensor of an ONNX graph lies in the array that a layer gives.

Reshape, Transpose, Flatten, Squeeze and Unsqueeze move no numbers. They change the reading of an
array, and layers are needed only where the next operator wants the numbers in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pocketcnn._arguments import Array

Shape = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """The axes of a tensor, without the batch axis, as parts of an array in memory.

    Attributes
    ----------
    atoms : tuple of int
        The array's shape, cut so finely that each axis of the tensor is a run of whole atoms.
        Neighbours that stay neighbours are one atom, and there are none of size 1, so that equal
        views are equal objects.
    axes : tuple of tuple of int
        For each axis of the tensor, its atoms by position, the slowest first; none for size 1.

    Examples
    --------
    >>> nhwc = View.of((3, 8, 9)).transposed((1, 2, 0))
    >>> nhwc.shape, nhwc.reshaped((72, 3)).atoms
    ((8, 9, 3), (3, 72))
    """

    atoms: Shape
    axes: tuple[Shape, ...]

    @staticmethod
    def of(shape: Sequence[int]) -> View:
        """The array as it is."""
        return View.made(shape, [(place,) for place in range(len(shape))])

    @staticmethod
    def made(atoms: Sequence[int], axes: Sequence[Sequence[int]]) -> View:
        """Axes of any atoms, in their only form."""
        axes = [[atom for atom in axis if atoms[atom] != 1] for axis in axes]
        pairs = [pair for axis in axes for pair in pairwise(axis)]
        follows = {after for before, after in pairs if after == before + 1}
        merged: list[int] = []
        place: dict[int, int] = {}
        for atom, size in enumerate(atoms):
            if size == 1:
                continue
            if atom in follows:
                merged[-1] *= size
            else:
                place[atom] = len(merged)
                merged.append(size)
        kept = (tuple(place[atom] for atom in axis if atom in place) for axis in axes)
        return View(tuple(merged), tuple(kept))

    @property
    def shape(self) -> Shape:
        """The tensor's shape, without the batch axis."""
        return tuple(math.prod(self.atoms[atom] for atom in axis) for axis in self.axes)

    @property
    def size(self) -> int:
        """How many numbers a sample has."""
        return math.prod(self.atoms)

    @property
    def order(self) -> Shape:
        """The atoms in the order in which the tensor has them."""
        return tuple(atom for axis in self.axes for atom in axis)

    @property
    def in_memory_order(self) -> bool:
        """Whether the tensor's numbers follow each other as the array's do."""
        return self.order == tuple(range(len(self.atoms)))

    def transposed(self, axes: Sequence[int]) -> View:
        """The tensor with its axes in another order."""
        return View.made(self.atoms, [self.axes[axis] for axis in axes])

    def reshaped(self, shape: Sequence[int]) -> View | None:
        """The tensor in another shape; None if that would need its numbers in another order."""
        pieces: list[tuple[int, int]] = []  # atom, size, in the tensor's order
        axes: list[list[int]] = []
        runs = [(atom, size) for atom, size in self._runs()][::-1]
        for wanted in shape:
            axis: list[int] = []
            while wanted > 1:
                atom, size = runs.pop()
                if size > wanted:
                    if size % wanted:
                        return None
                    runs.append((atom, size // wanted))
                    size = wanted
                elif wanted % size:
                    return None
                wanted //= size
                axis.append(len(pieces))
                pieces.append((atom, size))
            axes.append(axis)
        # Pieces of one run follow each other in the tensor as in memory, so a stable sort is right.
        memory = sorted(range(len(pieces)), key=lambda piece: pieces[piece][0])
        place = {piece: position for position, piece in enumerate(memory)}
        return View.made(
            [pieces[piece][1] for piece in memory], [[place[p] for p in axis] for axis in axes]
        )

    def _runs(self) -> list[tuple[int, int]]:
        """First atom and size of each stretch of atoms that are neighbours in both orders."""
        runs: list[tuple[int, int]] = []
        last = None
        for atom in self.order:
            if last is not None and atom == last + 1:
                runs[-1] = (runs[-1][0], runs[-1][1] * self.atoms[atom])
            else:
                runs.append((atom, self.atoms[atom]))
            last = atom
        return runs

    def places(self) -> Array:
        """Where in memory each number of the tensor is, in the tensor's order."""
        places = np.arange(self.size).reshape(self.atoms).transpose(self.order)
        return np.ascontiguousarray(places).reshape(-1)

    def axis_in(self, shape: Shape, axis: int) -> int | None:
        """Which axis of an array of `shape` is one axis of the tensor, if one is."""
        if self.shape[axis] == 1 or len(self.axes[axis]) != 1:
            return None
        atom = self.axes[axis][0]
        step = math.prod(self.atoms[atom + 1 :])
        for place, size in enumerate(shape):
            if size == self.atoms[atom] and math.prod(shape[place + 1 :]) == step:
                return place
        return None

    def constant(self, value: Array, shape: Shape) -> Array:
        """A constant that fits the tensor by broadcasting, as one that fits an array of `shape`."""
        value = value.reshape((1,) * (len(self.axes) - value.ndim) + value.shape)
        fine: list[int] = []
        for axis, size in zip(self.axes, value.shape, strict=True):
            fine += [self.atoms[atom] if size != 1 else 1 for atom in axis]
        atoms = value.reshape(fine).transpose(np.argsort(self.order).tolist())
        # Axes of the array have several atoms or a part of one: repeat only where one varies.
        return _regrouped(atoms, self.atoms, shape)


def _regrouped(value: Array, atoms: Shape, shape: Shape) -> Array:
    """Reshape a constant from atoms to an array's axes, with size 1 where it does not vary."""
    full = np.broadcast_to(value, atoms).reshape(shape)
    # Stretches of memory, by their strides, along which the constant repeats.
    repeats: list[tuple[int, int]] = []
    step = math.prod(atoms)
    for size, atom in zip(value.shape, atoms, strict=True):
        top, step = step, step // atom
        if size == 1:
            top = repeats.pop()[1] if repeats and repeats[-1][0] == top else top
            repeats.append((step, top))
    for axis, size in enumerate(shape):
        low = math.prod(shape[axis + 1 :])
        if any(low % step == 0 and top % (low * size) == 0 for step, top in repeats):
            full = full[(slice(None),) * axis + (slice(0, 1),)]
    return full
