"""Channels of groups in turn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketcnn._arguments import Array, array, compute_dtypes, integer


def require_groups(channels: int, groups: int) -> int:
    """Return `groups` as an int; raise ValueError unless it divides the channels."""
    groups = integer("groups", groups, 1)
    if channels % groups:
        raise ValueError(f"groups is {groups}, but must divide the {channels} channels")
    return groups


def channel_shuffle(x: npt.ArrayLike, groups: int) -> Array:
    """Take the channels of groups in turn: the first of each group, then the second of each.

    Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for
    Mobile Devices", CVPR 2018, section 3.1.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    groups : int
        How many; must divide C.

    Returns
    -------
    ndarray (N, C, H, W)

    Examples
    --------
    >>> channel_shuffle(np.arange(6.0).reshape(1, 6, 1, 1), 2).ravel()
    array([0., 3., 1., 4., 2., 5.])
    """
    return _transposed(array("x", x, 4), groups, backwards=False)


def channel_shuffle_backward(grad: npt.ArrayLike, groups: int) -> Array:
    """Gradient of :func:`channel_shuffle`: the channels in their own order again.

    Parameters
    ----------
    grad : array_like (N, C, H, W)
    groups : int
        As channel_shuffle took it.

    Returns
    -------
    ndarray (N, C, H, W)
    """
    return _transposed(array("grad", grad, 4), groups, backwards=True)


def _transposed(x: Array, groups: int, *, backwards: bool) -> Array:
    n, c, h, w = x.shape
    groups = require_groups(c, groups)
    sizes = (c // groups, groups) if backwards else (groups, c // groups)
    _, result = compute_dtypes(x)
    out = np.empty((n, *sizes[::-1], h, w), result)
    out[...] = x.reshape(n, *sizes, h, w).transpose(0, 2, 1, 3, 4)
    return out.reshape(n, c, h, w)
