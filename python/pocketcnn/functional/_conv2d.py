"""Convolution and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    IntOrPair,
    Padding,
    array,
    compute_dtypes,
    contiguous,
    integer,
    output_size,
    require_shape,
    restore,
    window,
)

PASSES = ("forward", "input_grad", "weight_grad")


@cache
def _names(passes: tuple[str, ...]) -> tuple[str, ...]:
    """What may be asked of any of the passes: their ways, and what asks for one of several."""
    ways = _core.conv2d_ways()
    rows = [row for name in passes for row in ways[name]]
    return ("auto", *dict.fromkeys(name for way, family, *_ in rows for name in (way, family)))


def check_convolution(
    x: Array,
    weight: Array,
    groups: int,
    algorithm: str = "auto",
    passes: tuple[str, ...] = PASSES,
) -> int:
    """Return `groups`; raise ValueError unless x, weight and groups fit each other.

    Nor may `algorithm` be a name that none of the passes has a way of.
    """
    groups = integer("groups", groups, 1)
    if 0 in weight.shape:
        raise ValueError(f"weight has shape {weight.shape}, but none of its sizes may be 0")
    if x.shape[1] != weight.shape[1] * groups:
        takes = f"{weight.shape[1]}" if groups == 1 else f"{weight.shape[1]} in {groups} groups"
        raise ValueError(f"x has {x.shape[1]} channels, but weight {weight.shape} takes {takes}")
    if weight.shape[0] % groups:
        raise ValueError(f"groups {groups} must divide the {weight.shape[0]} filters of weight")
    if algorithm != "auto" and algorithm not in _names(passes):
        raise ValueError(
            f"algorithm is {algorithm!r}, but must be one of {_names(passes)}: "
            f"the ways of {' and '.join(passes)}"
        )
    return groups


@dataclass(frozen=True)
class ConvPassPlan:
    """How one pass of a convolution is computed: the algorithm's name, and why it is chosen."""

    algorithm: str
    reason: str


@dataclass(frozen=True)
class ConvPlan:
    """How a convolution and the gradients of its input and weights are computed."""

    forward: ConvPassPlan
    input_grad: ConvPassPlan
    weight_grad: ConvPassPlan


def conv2d_plan(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> ConvPlan:
    """Tell how :func:`conv2d` and :func:`conv2d_backward` would compute a convolution.

    Parameters
    ----------
    x_shape : (N, C, H, W)
    weight_shape : (FN, C / groups, KH, KW)
    stride, padding, dilation, groups
        As :func:`conv2d` takes them.
    algorithm : str
        As :func:`conv2d` or :func:`conv2d_backward` takes it. A pass that has no way of this name
        is planned by itself.

    Returns
    -------
    ConvPlan
        For each pass the name of the way that computes it, in either dtype, and the reason. The
        tables of ways are in ``docs/ways.md``.

    Raises
    ------
    ValueError
        Where the sizes do not fit, or the algorithm cannot compute the convolution.

    Examples
    --------
    >>> plan = conv2d_plan((8, 64, 56, 56), (64, 64, 3, 3), padding=1)
    >>> plan.forward
    ConvPassPlan(algorithm='winograd', reason='fewer multiplications')
    """
    # Arrays of one element, seen in every shape: nothing of their size is allocated.
    one = np.zeros((), np.float32)
    x = array("x", np.broadcast_to(one, tuple(x_shape)), 4)
    weight = array("weight", np.broadcast_to(one, tuple(weight_shape)), 4)
    groups = check_convolution(x, weight, groups, algorithm)
    geometry = window(x.shape, weight.shape[2:], stride, padding, dilation)
    passes = _core.conv2d_plan(x.shape, weight.shape, *geometry[1:], groups, algorithm)
    return ConvPlan(*(ConvPassPlan(name, reason) for name, reason in passes))


def conv2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> Array:
    """Convolve images with filters (cross-correlation, as every deep-learning library has it).

    Parameters
    ----------
    x : array_like (N, C, H, W)
        Images.
    weight : array_like (FN, C / groups, KH, KW)
        Filters.
    bias : array_like (FN,), optional
        Added to each feature map.
    stride, padding, dilation
        The window; see the module's introduction.
    groups : int
        Each of as many equal parts of the channels meets its own part of the filters.
    algorithm : {"auto", "im2col", "winograd"} or the name of a way
        How it is computed. "im2col" is a matrix product of whichever kind, for every convolution,
        and rounds least. "winograd" needs fewer multiplications: for a stride or a dilation but not
        both, and kernels two to five strides long, or with stride 1 up to twelve; its errors are a
        few times larger, and relative to the largest of the 6 x 6 pixels of a tile, by about ten
        epsilons times the largest weight: in float32 a pixel of 10**6 moves results up to five
        pixels away, whose windows do not see it, by up to that weight. What is not finite, or so
        large that it overflows on the way, reaches the windows that see it and no others, whichever
        the algorithm. "auto" takes the first way that fits and pays; :func:`conv2d_plan` tells
        which, and any name that it gives can be asked for. A ValueError says why one does not fit.

    Returns
    -------
    ndarray (N, FN, OH, OW)
        Feature maps.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> conv2d(x, np.ones((1, 1, 3, 3)))[0, 0]
    array([[45., 54.],
           [81., 90.]])
    """
    x, weight = array("x", x, 4), array("weight", weight, 4)
    groups = check_convolution(x, weight, groups, algorithm, PASSES[:1])
    _, strides, sides, dilations = window(x.shape, weight.shape[2:], stride, padding, dilation)
    if bias is None:
        compute, result = compute_dtypes(x, weight)
    else:
        bias = array("bias", bias, 1)
        require_shape("bias", bias, (weight.shape[0],))
        compute, result = compute_dtypes(x, weight, bias)
        bias = contiguous(bias, compute)
    y = _core.conv2d(
        contiguous(x, compute),
        contiguous(weight, compute),
        bias,
        strides,
        sides,
        dilations,
        groups,
        algorithm,
    )
    return restore(y, result)


def conv2d_backward(
    grad: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    input_grad: bool = True,
    algorithm: str = "auto",
) -> tuple[Array | None, Array, Array]:
    """Gradients of a convolution.

    Parameters
    ----------
    grad : array_like (N, FN, OH, OW)
        Gradient of the loss with respect to the convolution's output.
    x, weight, stride, padding, dilation, groups
        As :func:`conv2d` took them.
    input_grad : bool
        False leaves out dx, which a first layer does not need.
    algorithm : {"auto", "im2col", "winograd"} or the name of a way
        As :func:`conv2d` takes it, but of the ways of these two passes. Where one of them has no
        way of this name, it takes the first that fits and pays.

    Returns
    -------
    dx : ndarray (N, C, H, W) or None
    dweight : ndarray (FN, C / groups, KH, KW)
    dbias : ndarray (FN,)
    """
    grad, x, weight = array("grad", grad, 4), array("x", x, 4), array("weight", weight, 4)
    groups = check_convolution(
        x, weight, groups, algorithm, PASSES[1:] if input_grad else PASSES[2:]
    )
    geometry = window(x.shape, weight.shape[2:], stride, padding, dilation)
    size = output_size(x.shape[2:], geometry)
    require_shape("grad", grad, (x.shape[0], weight.shape[0], *size))
    compute, result = compute_dtypes(grad, x, weight)
    grad, x = contiguous(grad, compute), contiguous(x, compute)
    dx = None
    if input_grad:
        weight = contiguous(weight, compute)
        dx = restore(
            _core.conv2d_backward_input(grad, weight, x.shape, *geometry[1:], groups, algorithm),
            result,
        )
    dweight, dbias = _core.conv2d_backward_weight(grad, x, *geometry, groups, algorithm)
    return dx, restore(dweight, result), restore(dbias, result)
