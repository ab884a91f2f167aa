"""Convolution and Pooling of chapter 7, the layers that slide a window over images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pocketcnn import functional as F
from pocketcnn.arguments import Array
from pocketcnn.scratch.checks import as_float, recall
from pocketcnn.scratch.util import im2col


class Convolution:
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
    """

    def __init__(self, W: Array, b: npt.ArrayLike, stride: int = 1, pad: int = 0) -> None:
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x: Array | None = None
        self.dW: Array | None = None
        self.db: Array | None = None

    @property
    def col(self) -> Array | None:
        """The column matrix of the last input, made when asked for; None before forward."""
        if self.x is None:
            return None
        _, _, FH, FW = self.W.shape
        return im2col(self.x, FH, FW, self.stride, self.pad)

    @property
    def col_W(self) -> Array | None:
        """The filters as columns, (C * FH * FW, FN); None before forward."""
        return None if self.x is None else self.W.reshape(len(self.W), -1).T

    @property
    def bias(self) -> Array:
        """The bias as an array (FN,)."""
        return (
            np.broadcast_to(self.b, (len(self.W),)) if np.ndim(self.b) == 0 else np.asarray(self.b)
        )

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the feature maps (N, FN, OH, OW) of x (N, C, H, W)."""
        self.x = np.asarray(x)
        return F.conv2d(self.x, self.W, self.bias, self.stride, self.pad)

    def backward(self, dout: npt.ArrayLike, input_grad: bool = True) -> Array | None:
        """Fill dW and db, and return dx.

        Parameters
        ----------
        dout : array_like (N, FN, OH, OW)
        input_grad : bool
            False returns None instead of dx, which a first layer does not need.
        """
        dx, self.dW, self.db = F.conv2d_backward(
            dout, recall(self.x), self.W, self.stride, self.pad, input_grad=input_grad
        )
        return dx


class Pooling:
    """The largest element of each window.

    Parameters
    ----------
    pool_h, pool_w, stride, pad : int
        Padding never wins, and must be smaller than the window.

    Attributes
    ----------
    x : ndarray (N, C, H, W)
        The last input.
    """

    def __init__(self, pool_h: int, pool_w: int, stride: int = 1, pad: int = 0) -> None:
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x: Array | None = None
        self.winners: npt.NDArray[np.int64] | None = None

    @property
    def arg_max(self) -> npt.NDArray[np.int64] | None:
        """Where in its window each maximum stands, counted by rows; None before forward.

        Returns
        -------
        ndarray of int64 (N * OH * OW * C,)
            Ordered by image, output row, output column, channel.
        """
        if self.winners is None or self.x is None:
            return None
        row, column = np.divmod(self.winners, self.x.shape[3])
        oh, ow = self.winners.shape[2:]
        row -= np.arange(oh)[:, None] * self.stride - self.pad
        column -= np.arange(ow) * self.stride - self.pad
        return (row * self.pool_w + column).transpose(0, 2, 3, 1).ravel()

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the maxima (N, C, OH, OW) of x (N, C, H, W)."""
        self.x = as_float("x", x)
        out, self.winners = F.max_pool2d(self.x, (self.pool_h, self.pool_w), self.stride, self.pad)
        return out

    def backward(self, dout: npt.ArrayLike) -> Array:
        """Send each gradient to the element that won; where windows overlap they add."""
        return F.max_pool2d_backward(dout, recall(self.winners), recall(self.x).shape)
