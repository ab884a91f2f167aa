"""Residual: the output of a chain of layers, added to its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike

from pocketcnn._arguments import Array, array, require_shape
from pocketcnn.functional._conv_block import add
from pocketcnn.layers.arrays import LayerArrays, require_names
from pocketcnn.layers.base import Layer, Shape
from pocketcnn.layers.chain import auto_schemes, named_layers, output_shapes
from pocketcnn.layers.init import Scheme
from pocketcnn.layers.registry import build_layer, describe_layer

_T = TypeVar("_T")
Branch: TypeAlias = Sequence[Layer | tuple[str, Layer] | Mapping[str, Any]]


class Residual(Layer):
    """``body(x) + shortcut(x)``, where the shortcut is usually x itself.

    He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.2.
    The paper's ReLU after the addition is a layer of its own.

    Parameters
    ----------
    body : sequence of (str, Layer) or Layer
        The layers of the branch, in order; without names they are called "0", "1", ...
    shortcut : sequence of (str, Layer) or Layer, or None
        Layers of the shortcut, needed if the shapes of x and of the body's output differ. None adds
        x unchanged.

    Attributes
    ----------
    body, shortcut : dict of str to Layer
        `shortcut` is empty if x is added unchanged. The names of parameters begin with the branch
        and the layer: "body.conv1.weight".

    Examples
    --------
    >>> from pocketcnn.layers import Conv2d, ReLU
    >>> block = Residual([("conv1", Conv2d(2, 2, 3, padding=1)), ("relu", ReLU())])
    >>> block.output_shape((2, 8, 8)), sorted(block.params)
    ((2, 8, 8), ['body.conv1.bias', 'body.conv1.weight'])
    """

    def __init__(self, body: Branch, shortcut: Branch | None = None) -> None:
        super().__init__()
        self.body = named_layers(_named(body))
        self.shortcut = named_layers(_named(shortcut)) if shortcut else {}
        self.children = {
            f"{branch}.{name}": layer
            for branch, layers in (("body", self.body), ("shortcut", self.shortcut))
            for name, layer in layers.items()
        }
        if len({id(layer) for layer in self.children.values()}) < len(self.children):
            raise ValueError("a layer is in body and in shortcut: make two layers")
        self.param_shapes = self._collect(lambda layer: layer.param_shapes)

    @property
    def params(self) -> dict[str, Array]:
        """The arrays of all layers inside, as "body.conv1.weight"."""
        arrays = self._collect(lambda layer: layer.params)
        kept = cast(dict[str, Array], self.__dict__.get("_params", {}))
        if kept.keys() != arrays.keys() or any(kept[key] is not a for key, a in arrays.items()):
            kept = self.__dict__["_params"] = LayerArrays("Residual", "parameter", arrays)
        return kept

    @params.setter
    def params(self, params: Mapping[str, Array]) -> None:
        for key, value in self._first_params(params).items():
            self.params[key] = value

    @property  # type: ignore[misc]  # nothing can be set but in the layers inside
    def buffers(self) -> dict[str, Array]:
        """The other arrays of the layers inside, in a new dict."""
        return LayerArrays("Residual", "buffer", self._collect(lambda layer: layer.buffers))

    @property  # type: ignore[misc]
    def grads(self) -> dict[str, Array]:
        """The gradients of the layers inside, in a new dict."""
        return self._collect(lambda layer: layer.grads)

    def forward(self, x: Array, training: bool = False) -> Array:
        """Add the outputs of the body and of the shortcut for x (N, C, H, W)."""
        self._saved = True
        ends = []
        for branch in (self.body, self.shortcut):
            out = x
            for layer in branch.values():
                out = layer.forward(out, training)
            ends.append(out)
        return add(*ends)

    def backward(self, grad: Array) -> Array | None:
        """Propagate the gradient back through both branches, and add the results."""
        self._recall()
        ends = []
        for branch in (self.body, self.shortcut):
            flowing: Any = grad
            for layer in reversed(branch.values()):
                if flowing is not None:
                    flowing = layer.backward(flowing)
            ends.append(flowing)
        return None if any(end is None for end in ends) else add(*ends)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the body's output, which must be that of the shortcut's output."""
        ends = [
            [input_shape, *output_shapes(branch, input_shape).values()][-1]
            for branch in (self.body, self.shortcut)
        ]
        if ends[0] != ends[1]:
            raise ValueError(
                f"the body of {self!r} makes {input_shape} into {ends[0]}, "
                f"but the shortcut gives {ends[1]}"
            )
        return ends[0]

    def child_inputs(self, input_shape: Shape) -> dict[str, Shape]:
        """Shape of the input of each layer inside."""
        inputs: dict[str, Shape] = {}
        for name, branch in (("body", self.body), ("shortcut", self.shortcut)):
            shapes = [input_shape, *output_shapes(branch, input_shape).values()]
            inputs.update(zip((f"{name}.{key}" for key in branch), shapes, strict=False))
        return inputs

    def multiply_adds(self, input_shape: Shape) -> int:
        """Those of the layers inside."""
        inputs = self.child_inputs(input_shape)
        return sum(layer.multiply_adds(inputs[name]) for name, layer in self.children.items())

    def has_own_weights(self) -> bool:
        """Whether one of the layers inside has."""
        return any(layer.has_own_weights() for layer in self.children.values())

    def initialize(
        self, rng: np.random.Generator, *, auto: Scheme = "he", dtype: DTypeLike = np.float32
    ) -> None:
        """Start the layers inside again, in order."""
        self.dtype = np.dtype(dtype)
        for branch in (self.body, self.shortcut):
            chain = list(branch.values())
            for layer, scheme in zip(chain, auto_schemes(chain, auto), strict=True):
                layer.initialize(rng, auto=scheme, dtype=dtype)
        self.clear()

    def state_shapes(self) -> dict[str, Shape]:
        """Those of the layers inside."""
        return self._collect(lambda layer: layer.state_shapes())

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Pass the arrays on to the layers inside, if they fit all of them."""
        shapes = self.state_shapes()
        require_names("Residual", state, self.param_shapes, shapes)
        for key, value in state.items():
            require_shape(key, array(key, value), shapes[key])
        for name, layer in self.children.items():
            prefix = f"{name}."
            layer.set_state(
                {key.removeprefix(prefix): a for key, a in state.items() if key.startswith(prefix)}
            )
        self.clear()

    def convert(self, dtype: DTypeLike) -> None:
        """Convert the layers inside."""
        self.dtype = np.dtype(dtype)
        for layer in self.children.values():
            layer.convert(dtype)
        self.clear()

    def astype(self, dtype: DTypeLike) -> Residual:
        """Return an independent copy, its parameters converted to `dtype`."""
        body, shortcut = (
            [(name, layer.astype(dtype)) for name, layer in branch.items()]
            for branch in (self.body, self.shortcut)
        )
        twin = Residual(body, shortcut)
        twin.dtype = np.dtype(dtype)
        return twin

    def clear(self) -> None:
        """Release what the layers inside remember."""
        super().clear()
        for layer in self.children.values():
            layer.clear()

    def config(self) -> dict[str, Any]:
        """The layers inside as `describe_layer` describes them."""
        body, shortcut = (
            [describe_layer(name, layer) for name, layer in branch.items()]
            for branch in (self.body, self.shortcut)
        )
        return {"body": body, "shortcut": shortcut or None}

    def __repr__(self) -> str:
        body, shortcut = list(self.body.items()), list(self.shortcut.items())
        return f"Residual({body}, shortcut={shortcut})" if shortcut else f"Residual({body})"

    def _collect(self, kind_of: Callable[[Layer], dict[str, _T]]) -> dict[str, _T]:
        return {
            f"{name}.{key}": value
            for name, layer in self.children.items()
            for key, value in kind_of(layer).items()
        }


def _named(branch: Branch) -> list[tuple[str, Layer]]:
    """Layers with their names, from any form that `Residual` takes; also as `config` has them."""
    named = []
    for place, entry in enumerate(branch):
        if isinstance(entry, Layer):
            named.append((str(place), entry))
        elif isinstance(entry, Mapping):
            named.append((entry["name"], build_layer(entry)))
        else:
            name, layer = entry
            named.append((name, layer))
    return named
