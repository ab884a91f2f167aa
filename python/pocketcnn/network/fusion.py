"""How a network's layers are computed, some of them as one: decided once, when it is built.

Fusion changes how a chain is computed, not what. A Conv2d, the ReLU after it and, where one
follows, a pooling pass a few images at a time through all their steps, so that the feature maps
between them stay in cache; so do a Conv2d and another activation, but for a Sigmoid or a Tanh
without an AvgPool2d, and in inference a Conv2d, the BatchNorm2d after it and whatever activation
and pooling follow. A Normalize in front of all these is done while images are read. A layer is
fused with the one before it only where no other takes what that gives. A Residual's branches are
chains of their own. A large Linear can hand its weight's gradient to an optimiser piece by piece.
The layers keep their parameters, which are read at every call, and their gradients; used alone they
are what they always were. Where layers are frozen, and nothing before them is trained, no gradient
is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from pocketcnn.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Layer,
    Linear,
    Normalize,
    ReLU,
    Residual,
    Shape,
    Sigmoid,
    Tanh,
)
from pocketcnn.network.depthwise import join
from pocketcnn.network.flow import Flow, Run, split_into_chains
from pocketcnn.network.graph import Graph
from pocketcnn.network.residual import FusedAdd, FusedResidual
from pocketcnn.network.stages import (
    ACTIVATIONS,
    POOLS,
    ConvStage,
    FrozenLayer,
    LargeLinear,
    LayerStage,
    Stage,
    Untrained,
)

# Bytes of a weight from which on its gradient is used in pieces.
_LARGE_WEIGHT = 2**25


class BlockKinds(NamedTuple):
    """Classes of the layers that a block is made of, in the order in which they stand."""

    conv: Collection[type]
    norm: Collection[type]
    activation: Collection[type]
    pool: Collection[type]


class Block(NamedTuple):
    """Layers that are computed as one: a convolution and what follows it, None where it does not.

    A normalisation or an activation is among them.
    """

    conv: Any
    norm: Any
    activation: Any
    pool: Any

    @property
    def length(self) -> int:
        """How many layers there are."""
        return sum(layer is not None for layer in self)


def find_block(
    chain: Sequence[Any], kinds: BlockKinds, kind_of: Callable[[Any], type | None] = type
) -> Block | None:
    """The block that a chain of layers begins with, or None.

    Parameters
    ----------
    chain : sequence of layers
    kinds : BlockKinds
    kind_of : callable
        The class of a layer; None for one that no block may have.
    """
    found: list[Any] = []
    at = 0
    for allowed in kinds:
        fits = at < len(chain) and kind_of(chain[at]) in allowed
        if not fits and not found:
            return None
        found.append(chain[at] if fits else None)
        at += fits
    block = Block(*found)
    return None if block.norm is block.activation is None else block


_BLOCK = BlockKinds({Conv2d}, {BatchNorm2d}, ACTIVATIONS, POOLS)


def _first_block(chain: Sequence[Layer]) -> Block | None:
    block = find_block(chain, _BLOCK)
    if block is None or block.norm is not None:
        return block
    # A block adds up the gradients of its weights slice by slice. Those of these chains keep the
    # bits that they have layer by layer.
    layered = type(block.activation) in (Sigmoid, Tanh) and type(block.pool) is not AvgPool2d
    return None if layered else block


def fuse_graph(graph: Graph) -> tuple[Flow, dict[str, str]]:
    """Decide how a network is computed.

    Returns
    -------
    flow : Flow
    notes : dict of str to str
        As `fuse` makes them.
    """
    runs: list[Run] = []
    notes: dict[str, str] = {}
    for places in split_into_chains(graph):
        nodes = [graph.nodes[place] for place in places]
        shapes = [graph.input_shape_of(node) for node in nodes]
        stages, made = fuse({node.name: node.layer for node in nodes}, shapes)
        runs.append(Run(nodes[0].sources, stages, places[-1] + 1))
        notes.update(made)
    return Flow(runs, graph.trained()), notes


def fuse(
    layers: Mapping[str, Layer], shapes: Sequence[Any], within: str = ""
) -> tuple[tuple[Stage, ...], dict[str, str]]:
    """Turn a chain into stages.

    Parameters
    ----------
    layers : dict of str to Layer
        Only the first may take several inputs.
    shapes : sequence of tuple of int
        The input's shape of each layer, without the batch axis; several for one of several inputs.
    within : str
        What the names begin with in the network.

    Returns
    -------
    stages : tuple of Stage
    notes : dict of str to str
        For the name of each layer that is fused into an earlier one, what it is fused with.
    """
    names, chain = list(layers), list(layers.values())
    stages: list[Stage] = []
    notes: dict[str, str] = {}
    at, before = 0, None
    while at < len(chain):
        first = chain[at]
        units = first if type(first) is Normalize else None
        block = _first_block(chain[at + (units is not None) :])
        stage: Stage
        if block is not None:
            stage = ConvStage(*block, shapes[at], units)
            length = block.length + (units is not None)
            if units is not None:
                before = None
            joined = None if before is None else join(before, stage)
            if joined is not None:
                stages.pop()
                stage, before = joined, None
            else:
                if before is not None:
                    stage.follow(before)
                before = stage
        else:
            before = None
            stage, length, inside = _stage(names[at], chain[at:], shapes[at], within)
            notes.update(inside)
            if (
                isinstance(stage, FusedResidual)
                and stages
                and isinstance(stages[-1], FusedResidual)
            ):
                stage.follow(stages[-1])
        reached = any(layer.trains or layer.needs_input_grad for layer in chain[at : at + length])
        stages.append(stage if reached else Untrained(stage))
        for name in names[at + 1 : at + length]:
            notes[name] = f"fused with {names[at]}"
        at += length
    return tuple(stages), notes


class _Made(NamedTuple):
    """A stage, the number of layers that it stands for, and what to note of layers inside."""

    stage: Stage
    length: int
    notes: Mapping[str, str] = {}


def _stage(name: str, chain: Sequence[Layer], shape: Any, within: str) -> _Made:
    """What a chain that begins with no block begins with; `name` and `shape` are the first's."""
    first = chain[0]
    if type(first) is Residual:
        return _residual(name, first, chain[1:], shape, within)
    if (
        type(first) is Add
        and len(shape) == 2
        and shape[0] == shape[1]
        and _starts_with_relu(chain[1:])
    ):
        return _Made(FusedAdd(), 2)
    if first.frozen:
        return _Made(FrozenLayer(first), 1)
    if type(first) is Linear and _weight_bytes(first) >= _LARGE_WEIGHT:
        return _Made(LargeLinear(within + name, first), 1, {name: "updated in backward"})
    return _Made(LayerStage(first), 1)


def _weight_bytes(linear: Linear) -> int:
    return linear.in_features * linear.out_features * linear.dtype.itemsize


def _residual(
    name: str, block: Residual, rest: Sequence[Layer], shape: Shape, within: str
) -> _Made:
    inputs = block.child_inputs(shape)
    branches, notes = [], {}
    for prefix, layers in (("body", block.body), ("shortcut", block.shortcut)):
        named = {f"{prefix}.{key}": layer for key, layer in layers.items()}
        its_shapes = [inputs[key] for key in named]
        stages, inside = fuse(named, its_shapes, f"{within}{name}.")
        branches.append(stages)
        notes.update({f"{name}.{key}": note for key, note in inside.items()})
    rectify = _starts_with_relu(rest)
    return _Made(FusedResidual(*branches, rectify=rectify), 1 + rectify, notes)


def _adds_two_alike(shapes: Sequence[Shape]) -> bool:
    return len(shapes) == 2 and shapes[0] == shapes[1]


def _starts_with_relu(chain: Sequence[Layer]) -> bool:
    return bool(chain) and type(chain[0]) is ReLU
