"""The graph of an ONNX file while it is made: its values, nodes and initializers, by name.

A node has the name of its layer, and so has the value that the layer gives. A layer that needs
several nodes gives the last one its name, and the others are parts of it: "pool1.padded". An
initializer has the name of its parameter: "conv1.weight".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pocketcnn.layers import Array, Layer, Shape
from pocketcnn.layers.merge import Merge


@dataclass(frozen=True)
class Value:
    """What a node gives.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Without the batch axis.
    """

    name: str
    shape: Shape


Exporter: TypeAlias = Callable[..., str]
"""``exporter(nodes, layer, *inputs)``: adds the layer's nodes, returns the name of its output."""


class GraphWriter:
    """Collects what a graph consists of.

    Parameters
    ----------
    onnx : module
    opset : int
        The version of the operators.
    dtype : numpy.dtype
        Of all values and parameters.
    exporters : mapping of type to Exporter
        How each class of layers is written.

    Attributes
    ----------
    opset : int
    nodes : list of onnx.NodeProto
    initializers : dict of str to ndarray
    """

    def __init__(
        self,
        onnx: Any,
        opset: int,
        dtype: np.dtype[Any],
        exporters: Mapping[type[Layer], Exporter],
    ) -> None:
        self.opset, self.dtype = opset, dtype
        self.nodes: list[Any] = []
        self.initializers: dict[str, Array] = {}
        self._onnx, self._exporters = onnx, exporters
        self._values: dict[str, Value] = {}

    def add_input(self, name: str, shape: Shape) -> Value:
        """Add a value that is given to the graph."""
        return self._add_value(name, shape)

    def add_layer(self, name: str, layer: Layer, *inputs: Value) -> Value:
        """Add the nodes of a layer; return what it gives.

        Raises
        ------
        ValueError
            There is no exporter for the class.
        """
        exporter = self._exporters.get(type(layer))
        if exporter is None:
            raise ValueError(
                f"layer {name!r} is a {type(layer).__name__}, which has no form in ONNX: only "
                "pocketcnn's own layers have"
            )
        output = exporter(LayerNodes(self, name, layer), layer, *inputs)
        shapes = [value.shape for value in inputs]
        shape = layer.output_shape(shapes if isinstance(layer, Merge) else shapes[0])
        return self._values.get(output) or self._add_value(output, shape)

    def add_chain(self, prefix: str, layers: Mapping[str, Layer], x: Value) -> Value:
        """Add layers that each take what the one before it gives."""
        for name, layer in layers.items():
            x = self.add_layer(f"{prefix}.{name}", layer, x)
        return x

    def add_copy(self, name: str, x: Value) -> Value:
        """Give a value another name."""
        return self._add_value(self.add_node("Identity", [x.name], name), x.shape)

    def add_node(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output, which has the node's name."""
        make_node = self._onnx.helper.make_node
        self.nodes.append(make_node(op, inputs, [name], name=name, **attributes))
        return name

    def infos(self, values: Sequence[Value]) -> list[Any]:
        """Types and shapes as ONNX declares them, with a free batch axis N."""
        helper = self._onnx.helper
        element = helper.np_dtype_to_tensor_dtype(self.dtype)
        return [
            helper.make_tensor_value_info(value.name, element, ("N", *value.shape))
            for value in values
        ]

    def inner_values(self, *outer: Value) -> list[Value]:
        """What the layers give, without the inputs and outputs of the graph."""
        return [value for value in self._values.values() if value not in outer]

    def _add_value(self, name: str, shape: Shape) -> Value:
        value = self._values[name] = Value(name, shape)
        return value


class LayerNodes:
    """Adds the nodes of one layer.

    Attributes
    ----------
    opset : int
        The version of the operators.
    """

    def __init__(self, graph: GraphWriter, name: str, layer: Layer) -> None:
        self.opset = graph.opset
        self._graph, self._name, self._state = graph, name, layer.state()

    def node(
        self, op: str, *inputs: str | Value, part: str | None = None, **attributes: Any
    ) -> str:
        """Add a node and return the name of its output.

        Parameters
        ----------
        op : str
        inputs : str or Value
            An empty name is an optional input that is not given.
        part : str, optional
            Name within the layer of a node that is not its last one.
        attributes
            As ``onnx.helper.make_node`` takes them.
        """
        names = [value if isinstance(value, str) else value.name for value in inputs]
        name = self._name if part is None else f"{self._name}.{part}"
        return self._graph.add_node(op, names, name, **attributes)

    def arrays(self) -> list[str]:
        """Add the parameters and buffers, in the layer's order."""
        return [self.array(key) for key in self._state]

    def array(self, key: str, shape: Shape | None = None) -> str:
        """Add a parameter or buffer of the layer, in another shape if one is given."""
        array = self._state[key]
        return self._add(key, array if shape is None else array.reshape(shape))

    def numbers(self, key: str, numbers: npt.ArrayLike) -> str:
        """Add constants of the network's dtype."""
        return self._add(key, np.asarray(numbers, self._graph.dtype))

    def singles(self, key: str, numbers: npt.ArrayLike) -> str:
        """Add constants that are float32 in any network."""
        return self._add(key, np.asarray(numbers, np.float32))

    def integers(self, key: str, integers: npt.ArrayLike) -> str:
        """Add sizes, or other integers."""
        return self._add(key, np.asarray(integers, np.int64))

    def chain(self, branch: str, layers: Mapping[str, Layer], x: Value) -> Value:
        """Add the layers of a branch."""
        return self._graph.add_chain(f"{self._name}.{branch}", layers, x)

    def _add(self, key: str, array: Array) -> str:
        name = f"{self._name}.{key}"
        self._graph.initializers[name] = array
        return name
