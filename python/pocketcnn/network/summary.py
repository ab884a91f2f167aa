"""The table that `ConvNet.summary` shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketcnn._text import align_columns, excerpt
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.network.graph import INPUT, Graph


@dataclass(frozen=True)
class Row:
    """One layer in the table.

    Attributes
    ----------
    name, kind : str
        The layer's name in the network; its class and settings.
    output_shape : tuple of int
        Without the batch axis.
    parameters, multiply_adds : int
        Numbers that training changes; multiplications for one sample, each with its addition.
    note : str
        Anything worth knowing, such as what the layer is fused with.
    frozen : bool
        Whether training leaves the layer as it is.
    """

    name: str
    kind: str
    output_shape: Shape
    parameters: int = 0
    multiply_adds: int = 0
    note: str = ""
    frozen: bool = False

    @property
    def notes(self) -> str:
        """The note, and that the layer is frozen."""
        return "; ".join([self.note] * bool(self.note) + ["frozen"] * self.frozen)


class Table(str):
    """A string of lines that a notebook or the interactive interpreter shows as lines."""

    def __repr__(self) -> str:
        """The text as it is, where a string's repr would be one long line of it."""
        return str(self)


def describe(
    graph: Graph, dtype: np.dtype[Any], notes: Mapping[str, str], width: int | None
) -> Table:
    """Set a network's layers in a table; see `ConvNet.summary`."""
    rows = [Row(INPUT, f"{dtype}", graph.shapes[0])]
    for place, node in enumerate(graph.nodes):
        name, inputs = node.name, graph.named_inputs(place)
        said = [f"takes {' and '.join(inputs)}"] if inputs else []
        said += [notes[name]] if name in notes else []
        its_notes = {**notes, name: "; ".join(said)}
        rows += layer_rows(name, node.layer, graph.input_shape_of(node), its_notes)
    return format_table(rows, width)


def layer_rows(
    name: str, layer: Layer, input_shape: Any, notes: Mapping[str, str]
) -> Iterator[Row]:
    """The row of a layer, or, for one made of layers, its row and those of the layers inside.

    Parameters
    ----------
    name : str
        The layer's, which those inside begin theirs with.
    layer : Layer
    input_shape : tuple of int
        Without the batch axis.
    notes : mapping of str to str
        By the layer's name.
    """
    shape, note = layer.output_shape(input_shape), notes.get(name, "")
    if layer.children:
        yield Row(name, type(layer).__name__, shape, note=note, frozen=layer.frozen)
        for inner, its_input in layer.child_inputs(input_shape).items():
            yield from layer_rows(f"{name}.{inner}", layer.children[inner], its_input, notes)
    else:
        parameters = sum(map(math.prod, layer.param_shapes.values()))
        work = layer.multiply_adds(input_shape)
        yield Row(name, repr(layer), shape, parameters, work, note, layer.frozen)


def format_table(rows: Sequence[Row], width: int | None = None) -> Table:
    """Set the rows in aligned columns under a head, with the totals below.

    The column of notes is there only if a row has one. A table that is wider than `width` goes
    without its last columns, or with kinds that are cut.
    """
    head = ("layer", "kind", "output shape", "parameters", "multiply-adds", "note")
    body = [
        (
            excerpt(row.name),
            excerpt(row.kind),
            str(row.output_shape),
            f"{row.parameters:,}",
            f"{row.multiply_adds:,}",
            excerpt(row.notes),
        )
        for row in rows
    ]
    parameters = sum(row.parameters for row in rows)
    multiply_adds = sum(row.multiply_adds for row in rows)
    frozen = sum(row.parameters for row in rows if row.frozen)
    said = f"{frozen:,} parameters frozen" if any(row.frozen for row in rows) else ""
    total = ("total", "", "", f"{parameters:,}", f"{multiply_adds:,}", said)

    table = [head, *body, total]
    count, kind_width = _room(table, 6 if any(row.notes for row in rows) else 5, width)
    cut = [[line[0], _shorten(line[1], kind_width), *line[2:count]] for line in table]
    lines = align_columns(cut[0], cut[1:], numbers=(3, 4))
    return Table("\n".join([*lines[:-1], lines[1], lines[-1]]))


# A kind that is cut further says too little: then a column less.
_SHORTEST_KIND = 20


def _room(table: Sequence[Sequence[str]], count: int, width: int | None) -> tuple[int, int]:
    """Return how many columns there is room for, and the room for the second of them."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for used in range(count, 3, -1):
        over = 0 if width is None else sum(widths[:used]) + 2 * (used - 1) - width
        # Notes are worth less than whole kinds.
        if over <= 0 or (used < 6 and widths[1] - over >= _SHORTEST_KIND):
            break
    return used, max(widths[1] - max(over, 0), _SHORTEST_KIND if over > 0 else 0)


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
