"""How a convolution would be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketcnn import _core
from pocketcnn._arguments import IntOrPair, Padding, array
from pocketcnn.functional._conv2d import PASSES, convolution


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
    conv = convolution(x.shape, weight.shape, stride, padding, dilation, groups, algorithm)
    plans = [_core.conv2d_plan(x.shape, conv, one) for one in PASSES]
    return ConvPlan(*(ConvPassPlan(chosen.name, reason) for chosen, reason in plans))
