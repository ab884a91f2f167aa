"""The layers of chapters 5 to 7: the book's ``common.layers``.

Each has the book's names and attributes, and after ``forward`` holds what ``backward`` needs. No
function changes its arguments.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pocketcnn import functional as F
from pocketcnn._arguments import Array
from pocketcnn.functional._matmul import matmul
from pocketcnn.scratch import functions
from pocketcnn.scratch.attributes import LateAttribute, Later, Shown, was_given
from pocketcnn.scratch.checks import as_float, class_indices, recall
from pocketcnn.scratch.convolution import Convolution, Pooling
from pocketcnn.scratch.functions import *  # noqa: F403  (so has the book's module)
from pocketcnn.scratch.functions import cross_entropy_error, softmax
from pocketcnn.scratch.util import col2im, im2col

__all__ = [
    *functions.__all__,
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Pooling",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "col2im",
    "im2col",
]


class Relu(Shown):
    """max(x, 0), elementwise.

    Attributes
    ----------
    mask : ndarray of bool, or None before forward
        Where x <= 0. If another is assigned, backward uses that.
    """

    out = LateAttribute()
    mask = LateAttribute()

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the output, of x's shape."""
        out = F.relu(as_float("x", x))
        self._keep(out)
        return out

    def _keep(self, out: Array | Later) -> None:
        """Store what backward needs: the output."""
        self.out, self.mask = out, Later(np.less_equal, out, 0)

    def backward(self, dout: npt.ArrayLike) -> Array:
        """Return dout where x was above 0, else 0, in a new array."""
        if not was_given(self, "mask"):
            return F.relu_backward(dout, recall(self.out))
        dx = np.array(as_float("dout", dout))
        dx[self.mask] = 0
        return dx


class Sigmoid(Shown):
    """1 / (1 + exp(-x)), elementwise.

    Attributes
    ----------
    out : ndarray, or None before forward
    """

    def __init__(self) -> None:
        self.out: Array | None = None

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the output, of x's shape."""
        self.out = F.sigmoid(as_float("x", x))
        return self.out

    def backward(self, dout: npt.ArrayLike) -> Array:
        """Return dout * out * (1 - out)."""
        return F.sigmoid_backward(dout, recall(self.out))


class Affine(Shown):
    """Fully connected layer, ``x @ W + b``.

    Parameters
    ----------
    W : ndarray (in, out)
    b : ndarray (out,)

    Attributes
    ----------
    W, b, dW, db : ndarray
        Parameters, and their gradients after backward.
    x : ndarray (N, in)
        The flattened input; `original_x_shape` is the shape in which it came.
    """

    _settings: ClassVar[tuple[str, ...]] = ("W", "b")

    def __init__(self, W: Array, b: Array) -> None:
        self.W = W
        self.b = b
        self.x: Array | None = None
        self.original_x_shape: tuple[int, ...] | None = None
        self.dW: Array | None = None
        self.db: Array | None = None

    def forward(self, x: npt.ArrayLike) -> Array:
        """Compute the output (N, out) of x (N, ...), all but the first axis flattened."""
        x = np.asarray(x)
        self.original_x_shape = x.shape
        self.x = x.reshape(len(x), -1)
        out: Array = matmul(as_float("x", self.x), as_float("W", self.W)) + self.b
        return out

    def backward(self, dout: npt.ArrayLike, input_grad: bool = True) -> Array | None:
        """Fill dW and db, and return dx in x's shape.

        Parameters
        ----------
        dout : array_like (N, out)
        input_grad : bool
            False returns None instead of dx, which a first layer does not need.
        """
        x, dout = recall(self.x), as_float("dout", dout)
        self.dW = matmul(as_float("x", x), dout, transpose_a=True)
        self.db = dout.sum(axis=0)
        if not input_grad:
            return None
        dx = matmul(dout, as_float("W", self.W), transpose_b=True)
        return dx.reshape(recall(self.original_x_shape))


class SoftmaxWithLoss(Shown):
    """Softmax and the mean cross-entropy of its output.

    Attributes
    ----------
    y : ndarray (N, K)
        Probabilities.
    t : ndarray
        The target as given.
    loss : float
    """

    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Array | None = None
        self.t: Array | None = None

    def forward(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Any:
        """Compute the loss of the scores x (N, K) for labels (N,) or one-hot rows (N, K)."""
        self.t = np.asarray(t)
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        """Return the gradient of dout * loss by the scores, (N, K)."""
        y, t = recall(self.y), recall(self.t)
        dx = y.copy()
        if t.size == y.size:
            dx -= t.reshape(y.shape)
        else:
            dx[np.arange(len(y)), class_indices(t, y.shape)] -= 1
        dx *= dout / len(y)
        return dx


class Dropout(Shown):
    """Drop elements in training; scale all by 1 - dropout_ratio otherwise.

    Srivastava et al., JMLR 15 (2014), section 4: the scaling is done when predicting.

    Parameters
    ----------
    dropout_ratio : float
        Probability of dropping an element.

    Attributes
    ----------
    mask : ndarray of bool
        What the last training pass kept, drawn by ``np.random.rand``.
    """

    _settings: ClassVar[tuple[str, ...]] = ("dropout_ratio",)
    # The factor of a pass outside training, and the mask from before it.
    _scaled: tuple[float, Any] | None = None

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        self.dropout_ratio = dropout_ratio
        self.mask: npt.NDArray[np.bool_] | None = None

    def forward(self, x: npt.ArrayLike, train_flg: bool = True) -> Array:
        """Compute the output, of x's shape."""
        x = as_float("x", x)
        if not train_flg:
            self._scaled = 1.0 - self.dropout_ratio, self.mask
            return x * self._scaled[0]
        self.mask = np.random.rand(*x.shape) > self.dropout_ratio
        return x * self.mask

    def backward(self, dout: npt.ArrayLike) -> Array:
        """Return dout where the element was kept, else 0; outside training dout, scaled."""
        dout = as_float("dout", dout)
        if self._scaled is not None and self._scaled[1] is self.mask:
            return dout * self._scaled[0]
        return dout * recall(self.mask)


class BatchNormalization(Shown):
    """Normalise each feature over the batch; for images, each pixel of each channel by itself.

    Ioffe, Szegedy, "Batch Normalization", ICML 2015, algorithm 1, with 1e-6 added to the
    variance. The usual layer for convolutions shares mean and variance between the pixels of a
    channel; the book's does not.

    Parameters
    ----------
    gamma, beta : ndarray (D,)
        Scale and shift.
    momentum : float
        Share of the running mean and variance that is kept per step.
    running_mean, running_var : ndarray (D,), optional
        Used outside training; None starts from zeros.

    Attributes
    ----------
    gamma, beta, dgamma, dbeta : ndarray (D,)
    xc, xn, std, batch_size, input_shape
        What the last training pass kept: x without its mean, normalised x, standard deviation.
    """

    _settings: ClassVar[tuple[str, ...]] = ("gamma", "beta", "momentum")
    # Normalised x and deviation of a pass outside training, and the xc from before it.
    _fixed: tuple[Array, Array, Any] | None = None

    def __init__(
        self,
        gamma: Array,
        beta: Array,
        momentum: float = 0.9,
        running_mean: Array | None = None,
        running_var: Array | None = None,
    ) -> None:
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.running_mean = running_mean
        self.running_var = running_var
        self.input_shape: tuple[int, ...] | None = None
        self.batch_size: int | None = None
        self.xc: Array | None = None
        self.xn: Array | None = None
        self.std: Array | None = None
        self.dgamma: Array | None = None
        self.dbeta: Array | None = None

    def forward(self, x: npt.ArrayLike, train_flg: bool = True) -> Array:
        """Compute the output, of the shape of x, (N, D) or (N, C, H, W)."""
        x = as_float("x", x)
        self.input_shape = x.shape
        rows = x.reshape(len(x), -1)
        if self.running_mean is None or self.running_var is None:
            self.running_mean = np.zeros(rows.shape[1], rows.dtype)
            self.running_var = np.zeros(rows.shape[1], rows.dtype)
        if train_flg:
            xn = self._normalise(rows)
        else:
            std = np.sqrt(self.running_var + 1e-6)
            xn = (rows - self.running_mean) / std
            self._fixed = xn, std, self.xc
        out: Array = (self.gamma * xn + self.beta).reshape(x.shape)
        return out

    def _normalise(self, rows: Array) -> Array:
        mean = rows.mean(axis=0)
        self.batch_size = len(rows)
        self.xc = rows - mean
        variance = np.mean(self.xc**2, axis=0)
        self.std = np.sqrt(variance + 1e-6)
        self.xn = self.xc / self.std
        keep = self.momentum
        self.running_mean = keep * recall(self.running_mean) + (1 - keep) * mean
        self.running_var = keep * recall(self.running_var) + (1 - keep) * variance
        return self.xn

    def backward(self, dout: npt.ArrayLike) -> Array:
        """Fill dgamma and dbeta, and return dx in x's shape."""
        dout, shape = as_float("dout", dout), recall(self.input_shape)
        rows = dout.reshape(shape[0], -1)
        outside = self._fixed is not None and self._fixed[2] is self.xc
        xn, std = recall(self._fixed)[:2] if outside else (recall(self.xn), recall(self.std))
        self.dbeta = rows.sum(axis=0)
        self.dgamma = np.sum(xn * rows, axis=0)
        if not outside:
            # Algorithm 1's derivative with mean and variance eliminated.
            rows = rows - self.dbeta / len(rows) - xn * (self.dgamma / len(rows))
        dx: Array = (self.gamma / std * rows).reshape(shape)
        return dx
