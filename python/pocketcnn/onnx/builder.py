"""The network to be: entries in order, and how tensors of the graph are laid out for layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from pocketcnn import layers
from pocketcnn._arguments import Array
from pocketcnn.layers import Layer, Shape
from pocketcnn.layers.merge import Merge
from pocketcnn.onnx.steps import Deferred, Factor, Scaling
from pocketcnn.onnx.tensors import Constant, Entry, Tensor
from pocketcnn.onnx.views import View

Groups = Sequence[Sequence[int]]


class Builder:
    """Collects entries; nothing is computed and no weight is read.

    Attributes
    ----------
    entries : list of Entry
        The first is the network's input.
    dtype : numpy.dtype
        Of the network.
    batch : int
        The size of the batch axis as the graph's constants have it.
    origin : str
        The node that is being read, for messages.
    hint : str
        Name for the entries of that node.
    """

    def __init__(self, input_shape: Shape, dtype: np.dtype[Any], batch: int) -> None:
        self.entries = [Entry(None, [], input_shape)]
        self.dtype, self.batch = dtype, batch
        self.origin = self.hint = ""
        self._moved: dict[tuple[int, str], Entry] = {}

    @property
    def source(self) -> Entry:
        """The network's input."""
        return self.entries[0]

    def add(
        self,
        step: Any,
        inputs: Entry | Sequence[Entry],
        state: Mapping[str, Callable[[], Array]] | None = None,
        shape: Shape | None = None,
    ) -> Entry:
        """Append a layer, or a step that has the shape of its input unless `shape` is given.

        Raises
        ------
        ValueError
            The layer cannot take its inputs.
        """
        inputs = [inputs] if isinstance(inputs, Entry) else list(inputs)
        if shape is None:
            shape = inputs[0].shape
            if isinstance(step, Merge):
                shape = step.output_shape([entry.shape for entry in inputs])
            elif isinstance(step, Layer):
                shape = step.output_shape(shape)
        if not all(0 < size < 2**31 for size in shape) or math.prod(shape) >= 2**48:
            raise ValueError(f"its output would be {shape}")
        entry = Entry(step, inputs, shape, dict(state or {}), self.hint, self.origin)
        self.entries.append(entry)
        return entry

    def on(self, tensor: Tensor, step: Any, **options: Any) -> Tensor:
        """Append a step that acts on each number alone: the tensor is read as before."""
        return Tensor(self.add(step, tensor.entry, **options), tensor.view)

    def scaled(self, tensor: Tensor, scale: Factor = 1.0, shift: Factor = 0.0) -> Tensor:
        """Multiply and shift each number."""
        return self.on(tensor, Scaling(scale, shift))

    def factor(self, tensor: Tensor, constant: Constant) -> Factor:
        """A constant operand beside a tensor, as the tensor's entry has its numbers."""
        dtype, shape = self.dtype, tensor.entry.shape
        if constant.size == 1 and (not constant.shape or math.prod(shape) != 1):
            channels = shape[0] if shape else 0
            if not constant.shape or channels != 1:
                return float(constant.read().reshape(-1)[0])
        if constant.shape[: -len(tensor.shape)] not in ((), (1,)):
            raise ValueError(f"a constant of shape {constant.shape} differs along the batch axis")
        bare = constant.shape[-len(tensor.shape) :] if tensor.shape else ()
        _require_broadcast(bare, tensor.shape)
        probe = np.broadcast_to(np.zeros((), dtype), bare)
        fitted = tensor.view.constant(probe, shape).shape

        def read() -> Array:
            array = constant.read().astype(dtype, copy=False).reshape(bare)
            return tensor.view.constant(array, shape)

        return Deferred(fitted, read)

    # Layout

    def arranged(self, tensor: Tensor, groups: Groups) -> Entry:
        """An entry whose axes are products of the tensor's, adding layers that move numbers.

        Parameters
        ----------
        tensor : Tensor
        groups : sequence of sequence of int
            For each axis of the entry, axes of the tensor, without the batch axis.
        """
        shape = tuple(math.prod(tensor.shape[axis] for axis in group) for group in groups)
        view = tensor.view.transposed([axis for group in groups for axis in group])
        entry = tensor.entry
        if view.in_memory_order:
            return self.reshaped(entry, shape)
        shuffled = _shuffle_groups(view, entry.shape, shape)
        if shuffled:
            return self._move(layers.ChannelShuffle(shuffled), entry)
        entry = self.reshaped(entry, view.atoms)
        entry = self._move(layers.Permute(view.order), entry)
        return self.reshaped(entry, shape)

    def reshaped(self, entry: Entry, shape: Shape) -> Entry:
        """The same numbers in another shape."""
        if entry.shape == shape:
            return entry
        step = layers.Flatten() if len(shape) == 1 else layers.Reshape(shape)
        return self._move(step, entry)

    def _move(self, layer: Layer, entry: Entry) -> Entry:
        """Append a layer that moves numbers, once for each of its kind."""
        key = id(entry), repr(layer)
        if key not in self._moved:
            hint, self.hint = self.hint, type(layer).__name__.lower()
            self._moved[key] = self.add(layer, entry)
            self.hint = hint
        return self._moved[key]

    def flat(self, tensor: Tensor) -> tuple[Entry, Array | None]:
        """The numbers in one row, and which of the tensor's each is; None if in its order."""
        entry = self.reshaped(tensor.entry, (tensor.view.size,))
        return entry, None if tensor.view.in_memory_order else tensor.view.places()

    def image(self, tensor: Tensor) -> Entry:
        """A tensor (N, C, ...) as the image (C, H, W) with the same order of pixels."""
        rank = len(tensor.shape)
        if rank == 0:
            raise ValueError("it needs an axis of channels")
        return self.arranged(
            tensor, [[0], [*range(1, max(rank - 1, 1))], [*range(max(rank - 1, 1), rank)]]
        )

    def window_image(self, tensor: Tensor) -> Entry:
        """A tensor (N, C, L) or (N, C, H, W) as the image that a window slides over."""
        if tensor.rank == 3:
            return self.arranged(tensor, [[0], [], [1]])
        if tensor.rank != 4:
            raise ValueError(
                f"its input has {tensor.rank} axes, but windows slide over images (N, C, H, W) "
                "or rows (N, C, L)"
            )
        return self.arranged(tensor, [[0], [1], [2]])

    def from_window(self, entry: Entry, like: Tensor) -> Tensor:
        """What a window layer gives, with as many axes as its input had."""
        if like.rank == 3:
            return Tensor(entry, View.made(entry.shape, [[0], [2]]))
        return Tensor(entry, View.of(entry.shape))

    def placed(self, entry: Entry, order: Sequence[int]) -> Tensor:
        """A tensor whose axis ``order[k]`` is the entry's axis k."""
        return Tensor(entry, View.of(entry.shape).transposed(np.argsort(order).tolist()))

    def unfolded(self, entry: Entry, like: Tensor, order: Sequence[int]) -> Tensor:
        """What a layer gives for `like` arranged as the axes `order`, with the axes it had."""
        view = View.of(entry.shape).reshaped([like.shape[axis] for axis in order])
        assert view is not None  # axes of an array in its own order can always be cut
        return Tensor(entry, view.transposed(np.argsort(order).tolist()))

    def common_order(self, tensors: Sequence[Tensor], first: int | None = None) -> list[int]:
        """The order of axes for which the fewest of the tensors, of as many axes, are moved."""
        rank = len(tensors[0].shape)
        orders: Iterable[Sequence[int]] = [range(rank)]
        if rank <= 5:
            orders = permutations(range(rank))
        elif first:
            orders = [[first, *(axis for axis in range(rank) if axis != first)]]
        fit = [order for order in orders if first is None or order[0] == first]
        return list(min(fit, key=lambda order: sum(_moves(one, list(order)) for one in tensors)))

    def raised(self, tensor: Tensor, rank: int) -> Tensor:
        """A tensor with axes of size 1 before its own, without the batch axis `rank` in all."""
        missing = rank - len(tensor.shape)
        return Tensor(tensor.entry, View(tensor.view.atoms, ((),) * missing + tensor.view.axes))


def _moves(tensor: Tensor, order: Sequence[int]) -> int:
    """Cost of having a tensor's axes in an order: 0 as it is, 1 reshaped, 2 moved."""
    view = tensor.view.transposed(order)
    if not view.in_memory_order:
        return 100
    return int(tensor.entry.shape != view.shape)


def _shuffle_groups(view: View, come: Shape, wanted: Shape) -> int | None:
    """The groups of the channel shuffle that a permutation is, if it is one."""
    if come != wanted or len(come) != 3 or view.order[:2] != (1, 0):
        return None
    groups, channels, *rest = view.atoms
    if groups * channels == come[0] and view.order[2:] == tuple(range(2, 2 + len(rest))):
        return groups
    return None


def _require_broadcast(shape: Shape, onto: Shape) -> None:
    try:
        fits = np.broadcast_shapes(shape, onto) == onto
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"a constant of shape {shape} does not fit a sample of shape {onto}")
