"""How a network's layers are computed, some of them as one: decided once, when it is built.

Fusion changes how a chain is computed, not what. A Conv2d, the ReLU after it and, where one
follows, the MaxPool2d pass a few images at a time through all their steps, so that the feature
maps between them stay in cache; so do, in inference, a Conv2d and the BatchNorm2d after it. A
Residual's branches are chains of their own. A large Linear can hand its weight's gradient to an
optimiser piece by piece. The layers keep their parameters, which are read
anew at every call, and their gradients; used alone they are what they always were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from pocketcnn.functional import relu_backward
from pocketcnn.functional.block import (
    ConvGeometry,
    PoolGeometry,
    add,
    conv_block,
    conv_block_backward,
    conv_geometry,
    pool_geometry,
)
from pocketcnn.layers import (
    Array,
    BatchNorm2d,
    Conv2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Shape,
)

Update = Callable[[Mapping[str, Array], Mapping[str, Array], slice], None]
"""What takes parameters and the gradient of some of their rows, as `Optimizer.apply` does."""

# Bytes of a weight from which on its gradient is used in pieces, and of such a piece: less would
# pack the layer's input more often than it saves.
_LARGE_WEIGHT = 2**25
_PIECE = 2**24


class Stage(Protocol):
    """One step of a network's computation: a layer, or several that are fused."""

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the output and remember what `backward` needs."""

    def backward(self, grad: Array) -> Array | None:
        """Fill the layers' gradients and return that of the input."""

    def clear(self) -> None:
        """Let go of what `forward` remembered."""


class FusedConv:
    """Conv2d, ReLU and, where given, MaxPool2d as one stage.

    Parameters
    ----------
    conv, pool : Conv2d, MaxPool2d or None
        The layers that the stage stands for, besides the ReLU.
    input_shape : (C, H, W)
    """

    def __init__(self, conv: Conv2d, pool: MaxPool2d | None, input_shape: Shape) -> None:
        self._conv = conv
        self._geometry = _geometries(conv, pool, input_shape)
        self._saved: tuple[Array, Array, Array | None] | None = None
        self._dx_before_relu = self._dy_before_relu = False

    def follow(self, block: FusedConv) -> None:
        """Do in `backward` the part of the ReLU of the block before this one.

        It then costs no pass over memory: dx is still in cache, and so is x, its ReLU's result.
        """
        self._dx_before_relu = block._dy_before_relu = True

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the block's output for x (N, C, H, W)."""
        params = self._conv.params
        y, argmax = conv_block(x, params["weight"], params.get("bias"), *self._geometry)
        self._saved = x, y, argmax
        return y

    def backward(self, grad: Array) -> Array | None:
        """Fill the convolution's gradients; return dx, or None where nobody needs it."""
        if self._saved is None:
            raise RuntimeError("backward needs a forward before it")
        x, y, argmax = self._saved
        conv = self._conv
        conv.forget_grads()
        dx, dweight, dbias = conv_block_backward(
            grad,
            y,
            argmax,
            x,
            conv.params["weight"],
            *self._geometry,
            conv.needs_input_grad,
            dx_before_relu=self._dx_before_relu,
            dy_before_relu=self._dy_before_relu,
        )
        conv.store_grads(dweight, dbias)
        return dx

    def clear(self) -> None:
        """Let go of the input and the output."""
        self._saved = None


class NormalizedConv:
    """Conv2d, BatchNorm2d and, where they follow, ReLU and MaxPool2d as one stage.

    In inference all of them are one operation. In training the batch's mean is known only when
    all images are through the convolution; then normalisation and ReLU are one operation.

    Parameters
    ----------
    conv, norm, pool : Conv2d, BatchNorm2d, MaxPool2d or None
    rectify : bool
        Whether there is a ReLU.
    input_shape : (C, H, W)
    """

    def __init__(
        self,
        conv: Conv2d,
        norm: BatchNorm2d,
        pool: MaxPool2d | None,
        *,
        rectify: bool,
        input_shape: Shape,
    ) -> None:
        self._conv, self._norm, self._pool = conv, norm, pool
        self._rectify = rectify
        self._geometry = _geometries(conv, pool, input_shape)
        self._input: Array | None = None

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the block's output for x (N, C, H, W)."""
        self.clear()
        if training:
            return self._step_by_step(x, training)
        self._input = x
        params = self._conv.params
        known = self._norm.known(rectify=self._rectify)
        y, _ = conv_block(x, params["weight"], params.get("bias"), *self._geometry, known)
        return y

    def backward(self, grad: Array) -> Array | None:
        """Go back layer by layer; what inference did not keep is computed again."""
        if self._input is not None:
            self._step_by_step(self._input, training=False)
            self._input = None
        if self._pool is not None:
            grad = self._pool.backward(grad)
            self._pool.clear()
        grad = self._norm.backward(grad)
        self._norm.clear()
        return self._conv.backward(grad)

    def clear(self) -> None:
        """Let go of everything that the layers keep."""
        self._input = None
        for layer in (self._conv, self._norm, self._pool):
            if layer is not None:
                layer.clear()

    def _step_by_step(self, x: Array, training: bool) -> Array:
        maps = self._conv.forward(x, training)
        y = self._norm.normalize(maps, training, rectify=self._rectify)
        return y if self._pool is None else self._pool.forward(y, training)


class FusedResidual:
    """Residual and, where one follows, the ReLU, whose zeros are made while adding.

    Parameters
    ----------
    body, shortcut : tuple of Stage
        The branches, each a chain in stages; an empty one passes its input on.
    rectify : bool
        Whether there is a ReLU.
    """

    def __init__(
        self, body: tuple[Stage, ...], shortcut: tuple[Stage, ...], *, rectify: bool
    ) -> None:
        self._body, self._shortcut = body, shortcut
        self._rectify = rectify
        self._output: Array | None = None

    def forward(self, x: Array, training: bool = False) -> Array:
        """Run both branches on x and add."""
        through, around = x, x
        for stage in self._body:
            through = stage.forward(through, training)
        for stage in self._shortcut:
            around = stage.forward(around, training)
        self._output = add(through, around, rectify=self._rectify)
        return self._output

    def backward(self, grad: Array) -> Array | None:
        """Go back through both branches and add."""
        if self._output is None:
            raise RuntimeError("backward needs a forward before it")
        if self._rectify:
            grad = relu_backward(grad, self._output)
        return add(_flow_back(self._body, grad), _flow_back(self._shortcut, grad))

    def clear(self) -> None:
        """Let go of everything that the branches keep."""
        self._output = None
        for stage in (*self._body, *self._shortcut):
            stage.clear()


class LargeLinear:
    """Linear whose weight's gradient need not exist as a whole.

    Parameters
    ----------
    name : str
        The layer's, which those of its parameters begin with.
    linear : Linear
    """

    def __init__(self, name: str, linear: Linear) -> None:
        self._name, self._linear = name, linear
        self.forward, self.backward, self.clear = linear.forward, linear.backward, linear.clear

    def backward_and_update(self, grad: Array, update: Update) -> Array | None:
        """Return dx; `update` uses the gradients up, to the same bits as after `backward`."""
        params = self._linear.params

        def use(key: str, gradient: Array, rows: slice = slice(None)) -> None:
            name = f"{self._name}.{key}"
            update({name: params[key]}, {name: gradient}, rows)

        row_bytes = params["weight"][0].nbytes
        dx, dbias = self._linear.backward_in_pieces(
            grad, max(1, _PIECE // row_bytes), lambda rows, piece: use("weight", piece, rows)
        )
        if self._linear.use_bias:
            use("bias", dbias)
        return dx


def _flow_back(stages: tuple[Stage, ...], grad: Array) -> Array:
    for stage in reversed(stages):
        flowing = stage.backward(grad)
        stage.clear()  # its memory serves the stages before
        assert flowing is not None  # only a network's first layer needs no gradient of its input
        grad = flowing
    return grad


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
        made = _first_stage(names[at], chain[at:], shapes[at])
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


def _geometries(
    conv: Conv2d, pool: MaxPool2d | None, input_shape: Shape
) -> tuple[ConvGeometry, PoolGeometry | None]:
    geometry, maps = conv_geometry(
        input_shape,
        conv.param_shapes["weight"],
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
    )
    if pool is None:
        return geometry, None
    return geometry, pool_geometry(
        maps, pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode
    )
