"""Convolution and Pooling of chapter 7, the layers that slide a window over images."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pocketcnn import functional as F
from pocketcnn._arguments import Array, array
from pocketcnn.functional._matmul import matmul
from pocketcnn.scratch.attributes import LateAttribute, Later, Shown, was_given
from pocketcnn.scratch.checks import as_float, recall
from pocketcnn.scratch.util import col2im, im2col


class Convolution(Shown):
    """Convolve images with filters and add a bias.

    Parameters
    ----------
    W : ndarray (FN, C, FH, FW)
    b : ndarray (FN,), or a number
    stride, pad : int

    Attributes
    ----------
    W, b, dW, db : ndarray
        Parameters, and their gradients after backward.
    x : ndarray (N, C, H, W)
        The last input.
    col : ndarray (N * OH * OW, C * FH * FW)
        Its column matrix, made when it is read. If another is assigned, backward uses that.
    col_W : ndarray (C * FH * FW, FN)
        The filters as columns, likewise.
    """

    _settings: ClassVar[tuple[str, ...]] = ("W", "b", "stride", "pad")
    col = LateAttribute()
    col_W = LateAttribute()  # noqa: N815  (the book's name)

    def __init__(self, W: Array, b: npt.ArrayLike, stride: int = 1, pad: int = 0) -> None:
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x: Array | None = None
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the feature maps (N, FN, OH, OW) of x (N, C, H, W)."""
        x, W, b = self._take(x)
        return F.conv2d(x, W, b, self.stride, self.pad)

    def _take(self, x: npt.ArrayLike) -> tuple[Array, Array, Array]:
        """Store an input, and return what to compute with: input, filters, bias of each filter."""
        self.x = array("x", x, 4)
        W = as_float("W", self.W)
        if W.ndim == 4:
            self.col = Later(im2col, self.x, *W.shape[2:], self.stride, self.pad)
            self.col_W = Later(_as_columns, self.W)
        b = as_float("b", self.b)
        return as_float("x", self.x), W, np.broadcast_to(b, W.shape[:1]) if b.ndim == 0 else b

    def backward(self, dout: npt.ArrayLike, input_grad: bool = True) -> Array | None:
        """Fill dW and db, and return dx.

        Parameters
        ----------
        dout : array_like (N, FN, OH, OW)
        input_grad : bool
            False returns None instead of dx, which a first layer does not need.
        """
        x = recall(self.x)
        if was_given(self, "col") or was_given(self, "col_W"):
            return self._backward_by_columns(as_float("dout", dout))
        dx, self.dW, self.db = F.conv2d_backward(
            *(dout, as_float("x", x), as_float("W", self.W)),
            *(self.stride, self.pad),
            input_grad=input_grad,
        )
        return dx

    def _backward_by_columns(self, dout: Array) -> Array:
        """Do the work of backward with `col` and `col_W`, which a reader's class has set."""
        filters, _, height, width = self.W.shape
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        self.db = rows.sum(axis=0)
        self.dW = matmul(rows, self.col, transpose_a=True).reshape(self.W.shape)
        dcol = matmul(rows, self.col_W, transpose_b=True)
        return col2im(dcol, recall(self.x).shape, height, width, self.stride, self.pad)


class Pooling(Shown):
    """The largest element of each window.

    Parameters
    ----------
    pool_h, pool_w, stride, pad : int
        Padding is never the largest, and must be smaller than the window.

    Attributes
    ----------
    x : ndarray (N, C, H, W)
        The last input.
    arg_max : ndarray of int64 (N * OH * OW * C,)
        Place of each maximum in its window, counted by rows; ordered by image, output row, output
        column, channel. It is computed when it is read. If another is assigned, backward uses that.
    """

    _settings: ClassVar[tuple[str, ...]] = ("pool_h", "pool_w", "stride", "pad")
    x = LateAttribute()
    arg_max = LateAttribute()
    winners = LateAttribute()

    def __init__(self, pool_h: int, pool_w: int, stride: int = 1, pad: int = 0) -> None:
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the maxima (N, C, OH, OW) of x (N, C, H, W)."""
        x = as_float("x", x)
        out, winners = F.max_pool2d(x, *window_of(self))
        self._keep(x, winners)
        return out

    def _keep(self, x: Array | Later, winners: Array | Later) -> None:
        """Store what backward needs: the input, and the index of each maximum in its plane."""
        self.x, self.winners = x, winners
        self.arg_max = Later(_places_in_windows, winners, x, self.pool_w, self.stride, self.pad)

    def backward(self, dout: npt.ArrayLike) -> Array:
        """Send each gradient to the largest element; where windows overlap, they add up."""
        if was_given(self, "arg_max"):
            return self._backward_by_arg_max(as_float("dout", dout))
        return F.max_pool2d_backward(dout, recall(self.winners), recall(self.x).shape)

    def _backward_by_arg_max(self, dout: Array) -> Array:
        """Do the work of backward with `arg_max`, which a reader's class has set."""
        spread = np.zeros((dout.size, self.pool_h * self.pool_w), dout.dtype)
        spread[np.arange(dout.size), self.arg_max.ravel()] = dout.transpose(0, 2, 3, 1).ravel()
        images, channels, height, width = dout.shape
        dcol = spread.reshape(images * height * width, channels * self.pool_h * self.pool_w)
        window: tuple[Any, ...] = (self.pool_h, self.pool_w, self.stride, self.pad)
        return col2im(dcol, recall(self.x).shape, *window)


def window_of(pool: Pooling) -> tuple[tuple[int, int], int, int]:
    """Size, stride and padding, as `max_pool2d` takes them."""
    return (pool.pool_h, pool.pool_w), pool.stride, pool.pad


def _as_columns(W: Array) -> Array:
    return W.reshape(len(W), -1).T


def _places_in_windows(
    winners: npt.NDArray[np.int64], x: Array, pool_w: int, stride: int, pad: int
) -> npt.NDArray[np.int64]:
    row, column = np.divmod(winners, x.shape[3])
    oh, ow = winners.shape[2:]
    row -= np.arange(oh)[:, None] * stride - pad
    column -= np.arange(ow) * stride - pad
    return (row * pool_w + column).transpose(0, 2, 3, 1).ravel()
