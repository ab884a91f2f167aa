"""Zeros around images, or edges cut off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketcnn._arguments import (
    Array,
    Padding,
    Sides,
    array,
    compute_dtypes,
    padding_sides,
    require_memory,
)

_LEAST = -(2**31)


def signed_sides(padding: Padding) -> Sides:
    """(top, bottom, left, right) of a padding without a name; negative sides are cut off."""
    if isinstance(padding, str):
        raise ValueError(
            f"padding is {padding!r}, but must be an int, (h, w) or ((top, bottom), (left, right))"
        )
    sides = padding_sides(padding, _LEAST)
    assert sides is not None  # only a name depends on the image
    return sides


def padded_size(image_size: tuple[int, ...], padding: Padding) -> tuple[int, int]:
    """Height and width of a padded image; ValueError if the padding cuts off more than there is."""
    top, bottom, left, right = signed_sides(padding)
    size = image_size[0] + top + bottom, image_size[1] + left + right
    kept = (
        image_size[0] + min(top, 0) + min(bottom, 0),
        image_size[1] + min(left, 0) + min(right, 0),
    )
    if min(kept) < 0:
        raise ValueError(f"padding is {padding!r}, which cuts off more than an image {image_size}")
    if min(size) < 1:
        raise ValueError(f"padding is {padding!r}, which leaves {size} of an image {image_size}")
    return size


def zero_pad2d(x: npt.ArrayLike, padding: Padding) -> Array:
    """Put zeros around images.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    padding : int, (h, w) or ((top, bottom), (left, right))
        Zeros on each side; a negative number cuts so many pixels off.

    Returns
    -------
    ndarray (N, C, top + H + bottom, left + W + right)

    Examples
    --------
    >>> zero_pad2d(np.ones((1, 1, 1, 3)), ((1, 0), (0, -1)))[0, 0]
    array([[0., 0.],
           [1., 1.]])
    """
    x = array("x", x, 4)
    shape = (*x.shape[:2], *padded_size(x.shape[2:], padding))
    require_memory("the padded image", shape)
    return _moved(x, shape, signed_sides(padding))


def zero_pad2d_backward(grad: npt.ArrayLike, padding: Padding) -> Array:
    """Gradient of :func:`zero_pad2d`: what lies on the image.

    Parameters
    ----------
    grad : array_like (N, C, top + H + bottom, left + W + right)
    padding : int, (h, w) or ((top, bottom), (left, right))
        As zero_pad2d took it.

    Returns
    -------
    ndarray (N, C, H, W)
    """
    grad = array("grad", grad, 4)
    top, bottom, left, right = (-side for side in signed_sides(padding))
    back = (top, bottom), (left, right)
    return _moved(
        grad, (*grad.shape[:2], *padded_size(grad.shape[2:], back)), (top, bottom, left, right)
    )


def _moved(x: Array, shape: tuple[int, ...], sides: Sides) -> Array:
    """Copy the part of x that the result holds into zeros."""
    top, bottom, left, right = sides
    _, result = compute_dtypes(x)
    out = np.zeros(shape, result)
    height, width = shape[2:]
    out[:, :, max(top, 0) : height - max(bottom, 0), max(left, 0) : width - max(right, 0)] = x[
        :,
        :,
        max(-top, 0) : x.shape[2] - max(-bottom, 0),
        max(-left, 0) : x.shape[3] - max(-right, 0),
    ]
    return out
