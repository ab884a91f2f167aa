"""The stages that add two branches."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from pocketcnn._arguments import Array
from pocketcnn.functional import relu_backward
from pocketcnn.functional._conv_block import add, add_to
from pocketcnn.layers import BatchNorm2d
from pocketcnn.network.depthwise import DepthwiseStage
from pocketcnn.network.stages import ConvStage, Stage, Update, flow_back


class Parts(NamedTuple):
    """A gradient that is the sum of two, which is left to who takes it.

    Nobody else has the second.
    """

    first: Array
    second: Array


class FusedResidual:
    """Residual and, where one follows, the ReLU, whose zeros are made while adding.

    A body that ends in a normalisation adds the other branch, in training, while it normalises; but
    not where processes normalise together. In the gradient it also adds what the branches of the
    block behind it, if that follows directly, hand on.

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
        self.trained = tuple(layer for stage in (*body, *shortcut) for layer in stage.trained)
        self._rectify = rectify
        self._makes_gradient = bool(body) and isinstance(body[0], (ConvStage, DepthwiseStage))
        self._last = body[-1] if body and _ends_in_norm(body[-1]) else None
        self._output: Array | None = None
        self._added = self._hands_on_parts = False

    def follow(self, before: FusedResidual) -> None:
        """Leave the addition in `backward` to the block before this one, if that can do it."""
        adds = before._last is not None and before._rectify
        self._hands_on_parts = adds and self._makes_gradient

    def forward(self, x: Array, training: bool = False) -> Array:
        """Run both branches on x and add."""
        last = cast("ConvStage | None", self._last)
        self._added = last is not None and training and _norm(last).total is None
        through, around = x, x
        for stage in self._body[:-1] if self._added else self._body:
            through = stage.forward(through, training)
        for stage in self._shortcut:
            around = stage.forward(around, training)
        if last is not None and self._added:
            last.clear()
            maps = last.convolve(through, training)
            out = _norm(last).normalize_sum(maps, around, rectify=self._rectify)
        else:
            out = add(through, around, rectify=self._rectify)
        self._output = out
        return out

    def backward(self, grad: Array | Parts, update: Update | None = None) -> Array | Parts | None:
        """Go back through both branches and add."""
        if self._output is None:
            raise RuntimeError("backward needs a forward before it")
        last = cast("ConvStage | None", self._last)
        grad, more = grad if isinstance(grad, Parts) else (grad, None)
        if last is not None and self._added:
            grad, normalized = _norm(last).backward_sum(grad, more)
            del more
            _norm(last).clear()
            through = last.convolve_back(normalized)
            del normalized
            last.clear()
            through = flow_back(self._body[:-1], through, update)
        else:
            grad = grad if more is None else add_to(grad, more)
            if self._rectify:
                grad = relu_backward(grad, self._output)
            through = flow_back(self._body, grad, update)
        around = flow_back(self._shortcut, grad, update)
        if through is None or around is None:
            return None
        if self._hands_on_parts:
            return Parts(around, through)
        return add_to(around, through) if self._makes_gradient else add(through, around)

    def clear(self) -> None:
        """Let go of everything that the branches keep."""
        self._output = None
        for stage in (*self._body, *self._shortcut):
            stage.clear()


class FusedAdd:
    """Add of two inputs of one shape, and the ReLU after it, whose zeros are made while adding."""

    trained = ()

    def __init__(self) -> None:
        self._output: Array | None = None

    def forward(self, x: Any, training: bool = False) -> Array:
        """Add the two arrays of the list x."""
        self._output = out = add(*x, rectify=True)
        return out

    def backward(self, grad: Array, update: Update | None = None) -> Any:
        """Return the gradients of both inputs, which are equal."""
        if self._output is None:
            raise RuntimeError("backward needs a forward before it")
        flowing = relu_backward(grad, self._output)
        return [flowing, flowing]

    def clear(self) -> None:
        """Let go of the output."""
        self._output = None


def _ends_in_norm(stage: Stage) -> bool:
    """Whether a stage is a convolution and a normalisation that trains, with nothing behind it."""
    if not isinstance(stage, ConvStage) or stage.norm is None or stage.ceiling is not None:
        return False
    return not stage.behind and not any(layer.frozen for layer in stage.trained)


def _norm(stage: ConvStage) -> BatchNorm2d:
    return cast(BatchNorm2d, stage.norm)
