"""What a network computes step by step: layers, or several of them as one operation.

A stage keeps no parameters: it reads those of its layers anew at every call, and leaves the
gradients with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pocketcnn.functional import relu_backward
from pocketcnn.functional._conv_block import (
    AverageGeometry,
    ConvGeometry,
    PoolGeometry,
    add,
    averaged_conv,
    averaged_conv_backward,
    conv_block,
    conv_block_backward,
    conv_geometry,
    pool_geometry,
)
from pocketcnn.functional._linear import Grad
from pocketcnn.layers import (
    Array,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Linear,
    MaxPool2d,
    Shape,
)

Update = Callable[[Mapping[str, Array], Mapping[str, Grad]], None]
"""What changes parameters by their gradients, as `Optimizer.apply` does."""


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


class AveragedConv:
    """Conv2d, an activation and AvgPool2d as one stage.

    Parameters
    ----------
    conv : Conv2d
    activation : {"relu", "sigmoid", "tanh"}
    pool : AvgPool2d
    input_shape : (C, H, W)
    """

    def __init__(self, conv: Conv2d, activation: str, pool: AvgPool2d, input_shape: Shape) -> None:
        self._conv = conv
        self._geometry, pooling = _geometries(conv, pool, input_shape)
        assert pooling is not None
        self._average: AverageGeometry = activation, pooling, pool.count_include_pad
        self._saved: tuple[Array, Array] | None = None

    def forward(self, x: Array, training: bool = False) -> Array:
        """Compute the block's output for x (N, C, H, W)."""
        params = self._conv.params
        y, maps = averaged_conv(
            x, params["weight"], params.get("bias"), self._geometry, self._average
        )
        self._saved = x, maps
        return y

    def backward(self, grad: Array) -> Array | None:
        """Fill the convolution's gradients; return dx, or None where nobody needs it."""
        if self._saved is None:
            raise RuntimeError("backward needs a forward before it")
        x, maps = self._saved
        conv = self._conv
        conv.forget_grads()
        dx, dweight, dbias = averaged_conv_backward(
            grad,
            maps,
            x,
            conv.params["weight"],
            self._geometry,
            self._average,
            conv.needs_input_grad,
        )
        conv.store_grads(dweight, dbias)
        return dx

    def clear(self) -> None:
        """Let go of the input and the feature maps."""
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
        self._output = out = add(through, around, rectify=self._rectify)
        return out

    def backward(self, grad: Array) -> Array | None:
        """Go back through both branches and add."""
        if self._output is None:
            raise RuntimeError("backward needs a forward before it")
        if self._rectify:
            grad = relu_backward(grad, self._output)
        through, around = flow_back(self._body, grad), flow_back(self._shortcut, grad)
        assert through is not None  # only a network's first layer needs no gradient of its input
        assert around is not None
        return add(through, around)

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


def flow_back(stages: Sequence[Stage], grad: Array, update: Update | None = None) -> Array | None:
    """Carry a gradient from the end of a chain to its beginning; stages forget on the way.

    Returns None where a stage has none to hand on: no layer from there down has parameters. With
    `update`, gradients that need not exist as a whole are used up by it.
    """
    flowing: Array | None = grad
    for stage in reversed(stages):
        if flowing is not None:
            if update is not None and isinstance(stage, LargeLinear):
                flowing = stage.backward_and_update(flowing, update)
            else:
                flowing = stage.backward(flowing)
        stage.clear()  # its memory serves the stages before
    return flowing


def _geometries(
    conv: Conv2d, pool: MaxPool2d | AvgPool2d | None, input_shape: Shape
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
