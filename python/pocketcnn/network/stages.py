"""What a network computes step by step: layers, or several of them as one operation.

A stage keeps no parameters: it reads those of its layers at every call, and leaves the
gradients with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Literal, NamedTuple, Protocol

from pocketcnn.functional._conv_block import (
    BlockPool,
    ConvBlock,
    conv_block,
    conv_block_backward,
    make_conv_block,
    share_relu,
)
from pocketcnn.functional._linear import Grad
from pocketcnn.layers import (
    ELU,
    GELU,
    Array,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    HardSigmoid,
    HardSwish,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2d,
    Normalize,
    ReLU,
    ReLU6,
    Shape,
    Sigmoid,
    SiLU,
    Tanh,
)

Update = Callable[[Mapping[str, Array], Mapping[str, Grad]], None]
"""What changes parameters by their gradients, as `Optimizer.apply` does."""


Made = Callable[[Sequence[Layer]], None]
"""What is told of layers whose gradients are complete, while those before them are computed."""


class Stage(Protocol):
    """One step of a network's computation: a layer, or several that are fused."""

    @property
    def trained(self) -> Sequence[Layer]:
        """The layers whose gradients `backward` fills."""

    def forward(self, x: Any, training: bool = False) -> Array:
        """Compute the output and remember what `backward` needs; x may be a list of arrays."""

    def backward(self, grad: Array, update: Update | None = None) -> Any:
        """Fill the layers' gradients and return that of the input, or a list of those of several.

        `update` may use up gradients that need not exist as a whole.
        """

    def clear(self) -> None:
        """Let go of what `forward` remembered."""


class LayerStage:
    """A layer by itself."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.trained = (layer,)
        self.forward, self.clear = layer.forward, layer.clear

    def backward(self, grad: Array, update: Update | None = None) -> Any:
        """Fill the layer's gradients; return dx."""
        return self.layer.backward(grad)


class FrozenLayer:
    """A layer that training leaves as it is: it computes as in inference."""

    trained = ()

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.clear = layer.clear

    def forward(self, x: Any, training: bool = False) -> Array:
        """Compute the layer's output."""
        return self.layer.forward(x)

    def backward(self, grad: Array, update: Update | None = None) -> Any:
        """Return dx."""
        return self.layer.backward(grad)


class Untrained:
    """A stage below all that is trained: it keeps nothing for a gradient, and computes none."""

    trained = ()

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.clear = stage.clear

    def forward(self, x: Any, training: bool = False) -> Array:
        """Compute the stage's output."""
        out = self._stage.forward(x, training)
        self._stage.clear()
        return out

    def backward(self, grad: Array, update: Update | None = None) -> None:
        """Hand nothing on."""


class CoreActivation(NamedTuple):
    """An activation as the core has it: its name, and the slope or the alpha of those with one."""

    name: str
    parameter: float = 0.0


ACTIVATIONS: Mapping[type[Layer], Callable[[Any], CoreActivation]] = {
    ReLU: lambda _: CoreActivation("relu"),
    Sigmoid: lambda _: CoreActivation("sigmoid"),
    Tanh: lambda _: CoreActivation("tanh"),
    LeakyReLU: lambda layer: CoreActivation("leaky_relu", layer.negative_slope),
    ELU: lambda layer: CoreActivation("elu", layer.alpha),
    ReLU6: lambda _: CoreActivation("relu6"),
    SiLU: lambda _: CoreActivation("silu"),
    GELU: lambda layer: CoreActivation("gelu" if layer.approximate == "none" else "gelu_tanh"),
    HardSigmoid: lambda _: CoreActivation("hard_sigmoid"),
    HardSwish: lambda _: CoreActivation("hard_swish"),
}
CEILINGS: Mapping[type, float] = {ReLU: inf, ReLU6: 6.0}
"""What a normalisation does besides: activations by the largest value that they let pass."""
_FROM_INPUT = {SiLU, GELU, HardSwish}
"""Those whose gradient takes their input, which a block does not keep."""

POOLS: Mapping[type[Layer], Literal["max", "average"]] = {MaxPool2d: "max", AvgPool2d: "average"}


class ConvStage:
    """Conv2d and, where they follow, BatchNorm2d, an activation and a pooling.

    They are one operation, and so is a Normalize in front, which is done while images are read. In
    training they run one by one where there is a BatchNorm2d, whose mean is known when all images
    are through the convolution, but for a ReLU or ReLU6, which the normalisation does; where the
    gradient of the activation takes its input; and where the convolution is frozen, whose weight
    needs no gradient. Layers below all that is trained are one operation always.

    Parameters
    ----------
    conv, norm, activation, pool : Layer
        The layers that the stage stands for; all but the first may be None. The classes are those
        of `ACTIVATIONS` and `POOLS`.
    input_shape : (C, H, W)
    units : Normalize or None
        What stands in front.

    Attributes
    ----------
    conv, norm : Layer
    ceiling : float or None
        Where the normalisation does the activation, the largest value that it lets pass.
    behind : list of Layer
        What runs behind the normalisation by itself.
    """

    def __init__(
        self,
        conv: Conv2d,
        norm: BatchNorm2d | None,
        activation: Layer | None,
        pool: MaxPool2d | AvgPool2d | None,
        input_shape: Shape,
        units: Normalize | None = None,
    ) -> None:
        self._units, self.conv, self.norm = units, conv, norm
        self._block = _conv_block_of(conv, activation, pool, input_shape)
        self._apart = norm is not None or type(activation) in _FROM_INPUT or conv.frozen
        self.ceiling = None if norm is None else CEILINGS.get(type(activation))
        behind = (activation if self.ceiling is None else None, pool)
        self.behind = [layer for layer in behind if layer is not None]
        normed = [] if norm is None else [norm]
        self.trained: Sequence[Layer] = [conv, *normed, *self.behind]
        self._reached = conv.needs_input_grad or any(layer.trains for layer in self.trained)
        self._saved: tuple[Array, Array, Array | None] | None = None
        self._input_shape = input_shape
        self._norm_before: BatchNorm2d | None = None
        self._input_dropped = False

    def follow(self, before: ConvStage) -> None:
        """Do in `backward` the part of the ReLU that the stage before this one may end in.

        It then costs no pass over memory: dx is still in cache, and so is x, its ReLU's result.

        Where the stage before ends in its normalisation, do not keep x, which the normalisation
        computes again from what it keeps anyway.
        """
        if before._block.ends_in_relu and not before._apart and not self._apart:
            before._block, self._block = share_relu(before._block, self._block)
        if self._apart and before._reached and not before.behind and not self.conv.frozen:
            self._norm_before = before.norm

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the block's output for x (N, C, H, W)."""
        if self._apart and training and self._reached:
            self.clear()
            return self._one_by_one(x, training)
        norm = None if self.norm is None else self.norm.known()
        units = None if self._units is None else self._units.known()
        params = self.conv.params
        y, activated, argmax = conv_block(
            x, params["weight"], params.get("bias"), self._block, norm, units
        )
        self._saved = x, activated, argmax
        return y

    def backward(self, grad: Array, update: Update | None = None) -> Array | None:
        """Fill the layers' gradients; return dx, or None if it is not needed."""
        if self._apart:
            return self._back_one_by_one(grad)
        if self._saved is None:
            raise RuntimeError("backward needs a forward before it")
        x, activated, argmax = self._saved
        conv, units = self.conv, self._units
        conv.forget_grads()
        x = x if units is None else units.forward(x)
        dx, dweight, dbias = conv_block_backward(
            grad, activated, argmax, x, conv.params["weight"], self._block, conv.needs_input_grad
        )
        conv.store_grads(dweight, dbias)
        return dx if units is None or dx is None else units.backward(dx)

    def clear(self) -> None:
        """Let go of everything that the stage and its layers keep."""
        self._saved = None
        self._input_dropped = False
        if self._units is not None:
            self._units.clear()
        if self._apart:
            for layer in self.trained:
                layer.clear()

    def convolve(self, x: Array, training: bool) -> Array:
        """Do the convolution's part of `forward` where the layers run one by one."""
        if self._units is not None:
            x = self._units.forward(x, training)
        out = self.conv.forward(x, training)
        self._input_dropped = training and self._norm_before is not None
        if self._input_dropped:
            self.conv.clear()
        return out

    def convolve_back(self, grad: Array) -> Array | None:
        """Do the convolution's part of `backward` after `convolve`."""
        if self._norm_before is not None and self._input_dropped:
            shape = (len(grad), *self._input_shape)
            return self.conv.backward_from(shape, self._norm_before.again, grad)
        dx = self.conv.backward(grad)
        return dx if self._units is None or dx is None else self._units.backward(dx)

    def _one_by_one(self, x: Array, training: bool) -> Array:
        out = self.convolve(x, training)
        if self.norm is not None:
            out = self.norm.normalize(
                out, training, rectify=self.ceiling is not None, ceiling=self.ceiling or inf
            )
        for layer in self.behind:
            out = layer.forward(out, training)
        return out

    def _back_one_by_one(self, grad: Array) -> Array | None:
        """Go back layer by layer; what inference did not keep is computed again."""
        if self._saved is not None:
            self._one_by_one(self._saved[0], training=False)
            self._saved = None
        flowing: Any = grad
        for layer in reversed(self.behind):
            flowing = layer.backward(flowing)
            layer.clear()
        if self.norm is not None:
            flowing = self.norm.backward_over(flowing)
            self.norm.clear()
        return self.convolve_back(flowing)


def _conv_block_of(
    conv: Conv2d,
    activation: Layer | None,
    pool: MaxPool2d | AvgPool2d | None,
    input_shape: Shape,
) -> ConvBlock:
    pooling = None
    if pool is not None:
        include = getattr(pool, "count_include_pad", True)
        pooling = BlockPool(
            POOLS[type(pool)], pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode, include
        )
    name, parameter = None, 0.0
    if activation is not None:
        name, parameter = ACTIVATIONS[type(activation)](activation)
    return make_conv_block(
        input_shape,
        conv.param_shapes["weight"],
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        name,
        pooling,
        parameter,
    )


class LargeLinear:
    """Linear whose weight's gradient need not exist as a whole.

    Parameters
    ----------
    name : str
        The layer's in the network, which those of its parameters begin with.
    linear : Linear
    """

    def __init__(self, name: str, linear: Linear) -> None:
        self._name, self._linear = name, linear
        self.trained = (linear,)
        self.forward, self.clear = linear.forward, linear.clear

    def backward(self, grad: Array, update: Update | None = None) -> Array | None:
        """Return dx; `update` uses the gradients up, to the same bits as if it came after."""
        if update is None:
            return self._linear.backward(grad)
        dx, dweight, dbias = self._linear.backward_unfinished(grad)
        made: list[tuple[str, Grad]] = [("weight", dweight)]
        if self._linear.use_bias:
            made.append(("bias", dbias))
        params = self._linear.params
        update(
            {f"{self._name}.{key}": params[key] for key, _ in made},
            {f"{self._name}.{key}": gradient for key, gradient in made},
        )
        return dx


def flow_back(
    stages: Sequence[Stage],
    flowing: Any,
    update: Update | None = None,
    made: Made | None = None,
) -> Any:
    """Carry a gradient from the end of a chain to its beginning; stages forget on the way.

    Returns None where a stage has none to hand on: no layer from there down has parameters. With
    `update`, gradients that need not exist as a whole are used up by it; `made` is told of every
    stage's layers.
    """
    for stage in reversed(stages):
        if flowing is not None:
            flowing = stage.backward(flowing, update)
            if made is not None:
                made(stage.trained)
        stage.clear()  # its memory serves the stages before
    return flowing
