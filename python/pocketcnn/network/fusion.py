"""How a network's layers are computed, some of them as one: decided once, when it is built.

Fusion changes how a chain is computed, not what. A Conv2d, the ReLU after it and, where one
follows, the MaxPool2d pass a few images at a time through all their steps, so that the feature
maps between them stay in cache; so do a Conv2d, an activation and an AvgPool2d, and in inference
a Conv2d and the BatchNorm2d after it. A Residual's branches are chains of their own. A large Linear
can hand its weight's gradient to an optimiser piece by piece. The layers keep their parameters,
which are read anew at every call, and their gradients; used alone they are what they always were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from pocketcnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Shape,
    Sigmoid,
    Tanh,
)
from pocketcnn.network.stages import (
    AveragedConv,
    FusedConv,
    FusedResidual,
    LargeLinear,
    NormalizedConv,
    Stage,
)

_ACTIVATIONS: Mapping[type[Layer], str] = {ReLU: "relu", Sigmoid: "sigmoid", Tanh: "tanh"}

# Bytes of a weight from which on its gradient is used in pieces.
_LARGE_WEIGHT = 2**25

# Layers of the longest stage: convolution, normalisation, ReLU, pooling.
_LONGEST = 4


def fuse(
    layers: Mapping[str, Layer], shapes: Sequence[Shape]
) -> tuple[tuple[Stage, ...], dict[str, str]]:
    """Turn a chain into stages.

    Parameters
    ----------
    layers : dict of str to Layer
    shapes : sequence of tuple of int
        The input's shape of each layer, without the batch axis.

    Returns
    -------
    stages : tuple of Stage
    notes : dict of str to str
        For the name of each layer that is fused into an earlier one, what it is fused with.
    """
    names, chain = list(layers), list(layers.values())
    stages: list[Stage] = []
    notes: dict[str, str] = {}
    at = 0
    while at < len(chain):
        made = _first_stage(names[at], chain[at : at + _LONGEST], shapes[at])
        stages.append(made.stage)
        for name in names[at + 1 : at + made.length]:
            notes[name] = f"fused with {names[at]}"
        notes.update(made.notes)
        at += made.length
    for before, stage in pairwise(stages):
        if isinstance(before, FusedConv) and isinstance(stage, FusedConv):
            stage.follow(before)
    return tuple(stages), notes


class _Made(NamedTuple):
    """A stage, the number of layers that it stands for, and what to note of layers inside."""

    stage: Stage
    length: int
    notes: Mapping[str, str] = {}


def _first_stage(name: str, chain: Sequence[Layer], shape: Shape) -> _Made:
    """The stage that the chain, whose first layer has a name and an input shape, begins with."""
    first = chain[0]
    if type(first) is Residual:
        return _residual(name, first, chain[1:], shape)
    if type(first) is Linear and _weight_bytes(first) >= _LARGE_WEIGHT:
        return _Made(LargeLinear(name, first), 1, {name: "updated in backward"})
    if type(first) is not Conv2d:
        return _Made(first, 1)
    if len(chain) > 2 and type(chain[1]) in _ACTIVATIONS and type(chain[2]) is AvgPool2d:
        activation = _ACTIVATIONS[type(chain[1])]
        return _Made(AveragedConv(first, activation, chain[2], shape), 3)
    norm = chain[1] if len(chain) > 1 and type(chain[1]) is BatchNorm2d else None
    rest = chain[1:] if norm is None else chain[2:]
    rectify = bool(rest) and type(rest[0]) is ReLU
    pool = rest[1] if rectify and len(rest) > 1 and type(rest[1]) is MaxPool2d else None
    assert pool is None or isinstance(pool, MaxPool2d)
    length = 1 + (norm is not None) + rectify + (pool is not None)
    if isinstance(norm, BatchNorm2d):
        return _Made(NormalizedConv(first, norm, pool, rectify=rectify, input_shape=shape), length)
    return _Made(FusedConv(first, pool, shape) if rectify else first, length)


def _weight_bytes(linear: Linear) -> int:
    return linear.in_features * linear.out_features * linear.dtype.itemsize


def _residual(name: str, block: Residual, rest: Sequence[Layer], shape: Shape) -> _Made:
    inputs = block.child_inputs(shape)
    branches, notes = [], {}
    for prefix, layers in (("body", block.body), ("shortcut", block.shortcut)):
        named = {f"{prefix}.{key}": layer for key, layer in layers.items()}
        stages, inside = fuse(named, [inputs[key] for key in named])
        branches.append(stages)
        notes.update({f"{name}.{key}": note for key, note in inside.items()})
    rectify = bool(rest) and type(rest[0]) is ReLU
    return _Made(FusedResidual(*branches, rectify=rectify), 1 + rectify, notes)
