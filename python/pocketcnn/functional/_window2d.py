"""The geometry of a window over images, as the native functions take it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

from pocketcnn._arguments import IntOrPair, Padding, Pair, padding_sides, pair
from pocketcnn._core import Window2d

_Made = TypeVar("_Made")


def _is_plain(values: tuple[Any, ...]) -> bool:
    """Whether equal values of these kinds mean the same: 1 == 1.0, but 1.0 is no stride."""
    for value in values:
        kind = type(value)
        if kind is not int and kind is not str and not (kind is tuple and _is_plain(value)):
            return False
    return True


def remembered(make: Callable[..., _Made]) -> Callable[..., _Made]:
    """Make each geometry once: a training step uses the same few again and again.

    The first argument holds the settings as the user wrote them, the others are hashable.
    """
    known = cast(Callable[..., _Made], lru_cache(maxsize=1024)(make))

    def get(settings: tuple[Any, ...], *others: Any) -> _Made:
        return (known if _is_plain(settings) else make)(settings, *others)

    return get


def window2d(
    image_size: tuple[int, ...],
    kernel_size: IntOrPair,
    stride: IntOrPair,
    padding: Padding,
    dilation: IntOrPair = 1,
    name: str = "x",
    *,
    ceil_mode: bool = False,
) -> Window2d:
    """The geometry of a window over an image (H, W), checked to fit it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what :func:`pair` and :func:`padding_sides` take, or the dilated
        kernel is larger than the padded image, which the message calls `name`. In ceil mode the
        only window may hang over the lower and right edge by less than its stride.

    Examples
    --------
    >>> window2d((224, 224), 3, stride=2, padding=1).output_size(224, 224)
    (112, 112)
    """
    return _window2d((kernel_size, stride, padding, dilation), image_size, name, bool(ceil_mode))


@remembered
def _window2d(
    settings: tuple[Any, ...], image_size: tuple[int, ...], name: str, ceil_mode: bool
) -> Window2d:
    kernel_size, stride, padding, dilation = settings
    kernel = pair("kernel_size", kernel_size)
    strides = pair("stride", stride)
    dilations = pair("dilation", dilation)
    sides = padding_sides(padding)
    if sides is None:
        h, w = image_size
        sides = (
            *_same(h, kernel[0], strides[0], dilations[0]),
            *_same(w, kernel[1], strides[1], dilations[1]),
        )
    for axis, size in enumerate(image_size):
        span = dilations[axis] * (kernel[axis] - 1) + 1
        padded = size + sides[2 * axis] + sides[2 * axis + 1]
        over = strides[axis] - 1 if ceil_mode else 0
        if size < 1 or span > padded + over:
            may = f", and ceil_mode lets a window hang over by {over}" if ceil_mode else ""
            raise ValueError(
                f"kernel_size {kernel} with dilation {dilations} spans {span} along axis "
                f"{axis + 2}, but {name} with padding has {padded} there{may}"
            )
    return Window2d(kernel, strides, sides, dilations)


def _same(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    """Padding that makes ceil(size / stride) outputs; an odd one goes to the end."""
    span = dilation * (kernel - 1) + 1
    total = max(0, ((size + stride - 1) // stride - 1) * stride + span - size)
    return total // 2, total - total // 2
