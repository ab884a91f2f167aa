"""Graph: the layers of a network, in order, and what each of them takes.

Everything that walks a network, to compute, save, show or export it, walks this list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from pocketcnn._arguments import Array
from pocketcnn._text import excerpt
from pocketcnn.layers import Layer, Residual, Shape, WeightLayer
from pocketcnn.layers.chain import every_input_of, named_layers
from pocketcnn.layers.init import Scheme
from pocketcnn.layers.merge import Merge

INPUT = "input"
"""The name of what the network itself takes."""

Entry: TypeAlias = tuple[str, Layer] | tuple[str, Layer, str | Sequence[str]]


class Node(NamedTuple):
    """A layer in its place.

    Attributes
    ----------
    name : str
    layer : Layer
    sources : tuple of int
        The values that the layer takes: 0 is the network's input, k + 1 is what node k gives.
    """

    name: str
    layer: Layer
    sources: tuple[int, ...]


class Graph:
    """Named layers, each of which takes what layers before it give, or the network's input.

    Parameters
    ----------
    entries : sequence of (str, Layer) or (str, Layer, str or sequence of str)
        See `ConvNet`.
    input_shape : tuple of int
        Without the batch axis.

    Attributes
    ----------
    nodes : list of Node
    layers : dict of str to Layer
    shapes : list of tuple of int
        Shape of every value, without the batch axis; values are numbered as in `Node`.
    readers : list of list of int
        For every value, the nodes that take it, once for each time.

    Raises
    ------
    ValueError, TypeError
        The message names the entry.
    """

    def __init__(self, entries: Sequence[Entry], input_shape: Shape) -> None:
        self.layers = named_layers([_named(entry) for entry in entries])
        self.nodes: list[Node] = []
        places = {INPUT: 0}
        for place, (entry, (name, layer)) in enumerate(
            zip(entries, self.layers.items(), strict=True)
        ):
            sources: tuple[int, ...] = (place,)
            if len(entry) == 3:
                sources = tuple(_place(name, source, places) for source in _names(name, entry[2]))
            _require_count(name, layer, len(sources))
            self.nodes.append(Node(name, layer, sources))
            places[name] = place + 1
        self.shapes = self._find_shapes(input_shape)
        self.readers: list[list[int]] = [[] for _ in self.shapes]
        for place, node in enumerate(self.nodes):
            for source in node.sources:
                self.readers[source].append(place)
        for node, readers in zip(self.nodes[:-1], self.readers[1:-1], strict=True):
            if not readers:
                raise ValueError(
                    f"no layer takes what layer {node.name!r} gives, and only the last layer's "
                    "output is the network's: leave it out, or name it among inputs"
                )

    def _find_shapes(self, input_shape: Shape) -> list[Shape]:
        shapes = [input_shape]
        for name, layer, sources in self.nodes:
            try:
                shapes.append(layer.output_shape(_taken(layer, sources, shapes)))
            except ValueError as error:
                raise ValueError(f"layer {name!r}: {error}") from error
        return shapes

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The names of what each layer takes, by the layer's name."""
        return {node.name: self._source_names(node) for node in self.nodes}

    def _source_names(self, node: Node) -> tuple[str, ...]:
        return tuple(self.nodes[s - 1].name if s else INPUT for s in node.sources)

    @property
    def is_chain(self) -> bool:
        """Whether every layer takes what the one before it gives."""
        return all(node.sources == (place,) for place, node in enumerate(self.nodes))

    def named_inputs(self, place: int) -> tuple[str, ...] | None:
        """Names of what an entry's layer takes; None if it is what the one before gives."""
        node = self.nodes[place]
        return None if node.sources == (place,) else self._source_names(node)

    def entries(self, layers: Mapping[str, Layer] | None = None) -> list[Entry]:
        """Entries that make such a graph; of other layers of the same names if they are given."""
        made: list[Entry] = []
        for place, (name, layer, _) in enumerate(self.nodes):
            inputs = self.named_inputs(place)
            its = layer if layers is None else layers[name]
            made.append((name, its) if inputs is None else (name, its, inputs))
        return made

    def up_to(self, name: str) -> list[Entry]:
        """Entries of a layer and all that it depends on."""
        last = list(self.layers).index(name)
        needed = {last + 1}
        for place in range(last, -1, -1):
            if place + 1 in needed:
                needed.update(self.nodes[place].sources)
        # Named, because what was the entry before may be left out.
        return [
            (node.name, node.layer, self._source_names(node))
            for place, node in enumerate(self.nodes)
            if place + 1 in needed
        ]

    def behind(self, name: str) -> list[Entry]:
        """Entries of all layers after one, which take its output as the network's input.

        Raises
        ------
        ValueError
            There are none, or one takes something else from before.
        """
        cut = list(self.layers).index(name) + 1
        if cut == len(self.nodes):
            raise ValueError(f"layer {name!r} is the last: nothing is behind it")
        for node in self.nodes[cut:]:
            if (first := min(node.sources)) < cut:
                other = self.nodes[first - 1].name if first else INPUT
                raise ValueError(
                    f"layer {node.name!r} takes {other!r}, which is before {name!r}: what is "
                    "behind depends on more than one layer"
                )
        return [
            (node.name, node.layer, [INPUT if s == name else s for s in self._source_names(node)])
            for node in self.nodes[cut:]
        ]

    def input_shape_of(self, node: Node) -> Any:
        """Shape of what a layer takes, a list of them for a `Merge`."""
        return _taken(node.layer, node.sources, self.shapes)

    def every_input(self) -> Iterator[tuple[str, Layer, Any]]:
        """All layers by name, each followed by those inside it, with the shape of their inputs."""
        for node in self.nodes:
            yield from every_input_of(node.name, node.layer, self.input_shape_of(node))

    def outputs(
        self, x: Array, training: bool = False, *, remember: bool = False
    ) -> Iterator[tuple[str, Array]]:
        """Run the layers one by one, and give the name and the output of each.

        Unless told to `remember` what `backward` needs, they forget it at once.
        """
        values: list[Any] = [x]
        for place, (name, layer, sources) in enumerate(self.nodes):
            values.append(layer.forward(_taken(layer, sources, values), training))
            if not remember:
                layer.clear()
            for source in sources:
                if self.readers[source][-1] == place:
                    values[source] = None
            yield name, values[-1]

    def trained(self) -> list[bool]:
        """For every value, whether parameters that training changes had a part in it."""
        found = [False]
        for _, layer, sources in self.nodes:
            found.append(layer.trains or any(found[source] for source in sources))
        return found

    def init_schemes(self) -> list[Scheme]:
        """What ``init="auto"`` means for each layer, from the activation that reads its output.

        As `layers.chain.auto_schemes`; of several readers the first counts.
        """
        asked: list[Scheme] = ["xavier"] * len(self.shapes)
        for place in reversed(range(len(self.nodes))):
            _, layer, sources = self.nodes[place]
            scheme = asked[place + 1]
            if layer.preferred_init is not None:
                scheme = layer.preferred_init
            elif isinstance(layer, WeightLayer) or layer.children:
                scheme = "he"
            for source in sources:
                asked[source] = scheme
        return asked[1:]


def skip_input_grad(graph: Graph) -> None:
    """Let layers compute the gradient of their input only if it is of use."""
    trained = graph.trained()
    for _, layer, sources in graph.nodes:
        _skip_input_grad(layer, needed=any(trained[source] for source in sources))


def _skip_input_grad(layer: Layer, *, needed: bool) -> None:
    layer.needs_input_grad = needed
    # What a class derived from it does with its branches is not known.
    branches = (layer.body, layer.shortcut) if type(layer) is Residual else ()
    for branch in branches:
        its_needed = needed
        for inner in branch.values():
            _skip_input_grad(inner, needed=its_needed)
            its_needed = its_needed or inner.trains


def _named(entry: Entry) -> tuple[str, Layer]:
    if not isinstance(entry, (tuple, list)) or len(entry) not in (2, 3):
        raise ValueError(
            f"an entry is {excerpt(repr(entry))}, but must be (name, layer) or "
            "(name, layer, inputs)"
        )
    return entry[0], entry[1]


def _names(name: str, inputs: object) -> Sequence[str]:
    """The names in the third part of an entry."""
    names = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
        raise TypeError(
            f"inputs of layer {name!r} are {excerpt(repr(inputs))}, but must be the name of an "
            "entry or a list of names"
        )
    return names


def _place(name: str, source: str, places: Mapping[str, int]) -> int:
    if source not in places:
        raise ValueError(
            f"layer {name!r} takes {source!r}, but no entry before it has that name: there are "
            f"{', '.join(places)}"
        )
    return places[source]


def _require_count(name: str, layer: Layer, count: int) -> None:
    if isinstance(layer, Merge):
        if count < 2:
            raise ValueError(
                f"layer {name!r} is {type(layer).__name__}, which needs at least 2 inputs: "
                "name them in its entry"
            )
    elif count != 1:
        raise ValueError(
            f"layer {name!r} is {type(layer).__name__}, which takes 1 input, not {count}"
        )


def _taken(layer: Layer, sources: Sequence[int], values: Sequence[Any]) -> Any:
    """What a layer takes among values: one, or a list."""
    if isinstance(layer, Merge):
        return [values[source] for source in sources]
    return values[sources[0]]
