"""What every function of ``pocketcnn.functional`` must compute, written from the definitions.

Plain NumPy in float64: loops over output positions and kernel taps, no column matrix, no tricks.
Slow on purpose, and shares no code with the package; ``test_reference.py`` compares it with SciPy.
Arguments are assumed valid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Pair: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = int | str | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


def pair(value: Pair) -> tuple[int, int]:
    """``(h, w)`` of an argument given as an int or as a pair."""
    return (value, value) if isinstance(value, int) else value


def _same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding that makes ceil(size / stride) outputs; an odd total has its extra at the end."""
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a window: which input index a tap of an output position reads."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    ceil_mode: bool = False

    @property
    def outputs(self) -> int:
        """Number of window positions; with ceil_mode the last must start left of the padding."""
        span = self.size + self.before + self.after - self.dilation * (self.kernel - 1) - 1
        if not self.ceil_mode:
            return span // self.stride + 1
        count = -(-span // self.stride) + 1
        if (count - 1) * self.stride >= self.size + self.before:
            count -= 1
        return count

    def taps(self, output: int) -> list[int]:
        """Input index of every tap of an output position; outside 0..size-1 is padding."""
        start = output * self.stride - self.before
        return [start + self.dilation * k for k in range(self.kernel)]


def axes(
    shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Axis, Axis]:
    """Resolve the window arguments of api functions for an input of this (N, C, H, W) shape."""
    sizes, kernels = shape[2:], pair(kernel_size)
    strides, dilations = pair(stride), pair(dilation)
    resolved = []
    for i in range(2):
        if padding == "same":
            before, after = _same_padding(sizes[i], kernels[i], strides[i], dilations[i])
        elif padding == "valid":
            before, after = 0, 0
        else:
            assert not isinstance(padding, str)
            entry = padding if isinstance(padding, int) else padding[i]
            before, after = pair(entry)
        resolved.append(
            Axis(sizes[i], kernels[i], strides[i], dilations[i], before, after, ceil_mode)
        )
    return resolved[0], resolved[1]


def positions(rows: Axis, cols: Axis) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Every ``(oh, ow, kh, kw, ih, iw)`` whose input index lies inside the image, row-major."""
    for oh in range(rows.outputs):
        for ow in range(cols.outputs):
            for kh, ih in enumerate(rows.taps(oh)):
                for kw, iw in enumerate(cols.taps(ow)):
                    if 0 <= ih < rows.size and 0 <= iw < cols.size:
                        yield oh, ow, kh, kw, ih, iw


def _double(x: npt.ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def im2col(
    x: npt.ArrayLike, kernel_size: Pair, stride: Pair = 1, padding: Padding = 0, dilation: Pair = 1
) -> Array:
    x = _double(x)
    n, c = x.shape[:2]
    rows, cols = axes(x.shape, kernel_size, stride, padding, dilation)
    out = np.zeros((n, rows.outputs, cols.outputs, c, rows.kernel, cols.kernel))
    for oh, ow, kh, kw, ih, iw in positions(rows, cols):
        out[:, oh, ow, :, kh, kw] = x[:, :, ih, iw]
    return out.reshape(n * rows.outputs * cols.outputs, c * rows.kernel * cols.kernel)


def col2im(
    col: npt.ArrayLike,
    input_shape: tuple[int, int, int, int],
    kernel_size: Pair,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
) -> Array:
    n, c = input_shape[:2]
    rows, cols = axes(input_shape, kernel_size, stride, padding, dilation)
    col = _double(col).reshape(n, rows.outputs, cols.outputs, c, rows.kernel, cols.kernel)
    x = np.zeros(input_shape)
    for oh, ow, kh, kw, ih, iw in positions(rows, cols):
        x[:, :, ih, iw] += col[:, oh, ow, :, kh, kw]
    return x


def _taps(image: Array, rows: Axis, cols: Axis) -> Iterator[tuple[int, int, Array]]:
    """Every kernel tap with the view of the padded image it reads, (N, C, OH, OW)."""
    for kh in range(rows.kernel):
        for kw in range(cols.kernel):
            top, left = kh * rows.dilation, kw * cols.dilation
            bottom = top + (rows.outputs - 1) * rows.stride + 1
            right = left + (cols.outputs - 1) * cols.stride + 1
            yield kh, kw, image[:, :, top : bottom : rows.stride, left : right : cols.stride]


def _pad(x: Array, rows: Axis, cols: Axis) -> Array:
    return np.pad(x, ((0, 0), (0, 0), (rows.before, rows.after), (cols.before, cols.after)))


def _crop(padded: Array, rows: Axis, cols: Axis) -> Array:
    return padded[
        :, :, rows.before : rows.before + rows.size, cols.before : cols.before + cols.size
    ]


def _group_slices(filters: int, channels: int, groups: int) -> list[tuple[slice, slice]]:
    """Filters of each group, and the input channels they read."""
    per = filters // groups
    return [
        (slice(g * per, (g + 1) * per), slice(g * channels, (g + 1) * channels))
        for g in range(groups)
    ]


def conv2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    x, weight = _double(x), _double(weight)
    filters, channels, kh_size, kw_size = weight.shape
    rows, cols = axes(x.shape, (kh_size, kw_size), stride, padding, dilation)
    out = np.zeros((x.shape[0], filters, rows.outputs, cols.outputs))
    if bias is not None:
        out += _double(bias)[:, None, None]
    for kh, kw, view in _taps(_pad(x, rows, cols), rows, cols):
        for f, c in _group_slices(filters, channels, groups):
            products = np.tensordot(view[:, c], weight[f, :, kh, kw], (1, 1))
            out[:, f] += np.moveaxis(products, -1, 1)
    return out


def conv2d_backward(
    grad: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    grad, x, weight = _double(grad), _double(x), _double(weight)
    filters, channels, kh_size, kw_size = weight.shape
    rows, cols = axes(x.shape, (kh_size, kw_size), stride, padding, dilation)
    padded = _pad(x, rows, cols)
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    taps = zip(_taps(padded, rows, cols), _taps(dpadded, rows, cols), strict=True)
    for (kh, kw, view), (_, _, dview) in taps:
        for f, c in _group_slices(filters, channels, groups):
            products = np.tensordot(grad[:, f], weight[f, :, kh, kw], (1, 0))
            dview[:, c] += np.moveaxis(products, -1, 1)
            images_and_pixels = (0, 2, 3)
            dweight[f, :, kh, kw] = np.tensordot(
                grad[:, f], view[:, c], (images_and_pixels, images_and_pixels)
            )
    return _crop(dpadded, rows, cols), dweight, grad.sum(axis=(0, 2, 3))


def max_pool2d(
    x: npt.ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, npt.NDArray[np.int64]]:
    x = _double(x)
    stride = kernel_size if stride is None else stride
    rows, cols = axes(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    out = np.zeros((*x.shape[:2], rows.outputs, cols.outputs))
    argmax = np.full(out.shape, -1, dtype=np.int64)
    for oh, ow, _, _, ih, iw in positions(rows, cols):
        value, best = x[:, :, ih, iw], out[:, :, oh, ow]
        first = argmax[:, :, oh, ow] < 0
        wins = first | (value > best) | (np.isnan(value) & ~np.isnan(best))
        out[:, :, oh, ow] = np.where(wins, value, best)
        argmax[:, :, oh, ow] = np.where(wins, ih * cols.size + iw, argmax[:, :, oh, ow])
    assert (argmax >= 0).all(), "a window without a valid element"
    return out, argmax


def max_pool2d_backward(
    grad: npt.ArrayLike, argmax: npt.NDArray[np.int64], input_shape: tuple[int, int, int, int]
) -> Array:
    grad = _double(grad)
    n, c, h, w = input_shape
    dx = np.zeros((n, c, h * w))
    for i, j, oh, ow in np.ndindex(*grad.shape):
        dx[i, j, argmax[i, j, oh, ow]] += grad[i, j, oh, ow]
    return dx.reshape(input_shape)


def _average_divisors(rows: Axis, cols: Axis, count_include_pad: bool) -> Array:
    """Elements a window averages: inside the padded image, or only inside the image.

    The part of a ceil_mode window that reaches past the padding never counts.
    """

    def counts(axis: Axis) -> Array:
        low = -axis.before if count_include_pad else 0
        high = axis.size + (axis.after if count_include_pad else 0)
        return _double([sum(low <= i < high for i in axis.taps(o)) for o in range(axis.outputs)])

    return np.outer(counts(rows), counts(cols))


def avg_pool2d(
    x: npt.ArrayLike,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    x = _double(x)
    stride = kernel_size if stride is None else stride
    rows, cols = axes(x.shape, kernel_size, stride, padding, 1, ceil_mode)
    out = np.zeros((*x.shape[:2], rows.outputs, cols.outputs))
    for oh, ow, _, _, ih, iw in positions(rows, cols):
        out[:, :, oh, ow] += x[:, :, ih, iw]
    return out / _average_divisors(rows, cols, count_include_pad)


def avg_pool2d_backward(
    grad: npt.ArrayLike,
    input_shape: tuple[int, int, int, int],
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    stride = kernel_size if stride is None else stride
    rows, cols = axes(input_shape, kernel_size, stride, padding, 1, ceil_mode)
    share = _double(grad) / _average_divisors(rows, cols, count_include_pad)
    dx = np.zeros(input_shape)
    for oh, ow, _, _, ih, iw in positions(rows, cols):
        dx[:, :, ih, iw] += share[:, :, oh, ow]
    return dx


def linear(x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None) -> Array:
    out = _double(x) @ _double(weight).T
    return out if bias is None else out + _double(bias)


def linear_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    grad = _double(grad)
    return grad @ _double(weight), grad.T @ _double(x), grad.sum(axis=0)


def batch_norm(
    x: npt.ArrayLike,
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    mean: npt.ArrayLike,
    var: npt.ArrayLike,
    eps: float,
) -> Array:
    x, gamma, beta, mean, var = map(_double, (x, gamma, beta, mean, var))
    out = np.zeros(x.shape)
    for c in range(x.shape[1]):
        out[:, c] = (x[:, c] - mean[c]) / np.sqrt(var[c] + eps) * gamma[c] + beta[c]
    return out


def response_scale(x: npt.ArrayLike, size: int, alpha: float, k: float) -> Array:
    """What ``local_response_norm`` raises to -beta."""
    x = _double(x)
    channels = x.shape[1]
    scale = np.full(x.shape, k)
    for c in range(channels):
        for other in range(c - size // 2, c + (size - 1) // 2 + 1):
            if 0 <= other < channels:
                scale[:, c] += alpha / size * x[:, other] ** 2
    return scale


def local_response_norm(
    x: npt.ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    return _double(x) * response_scale(x, size, alpha, k) ** -beta


def relu(x: npt.ArrayLike) -> Array:
    x = _double(x)
    return np.where(x <= 0, 0.0, x)  # NaN passes through


def relu_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    return np.where(_double(out) <= 0, 0.0, _double(grad))


def sigmoid(x: npt.ArrayLike) -> Array:
    x = _double(x)
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def sigmoid_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    out = _double(out)
    return _double(grad) * out * (1.0 - out)


def tanh(x: npt.ArrayLike) -> Array:
    return np.tanh(_double(x))


def tanh_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    return _double(grad) * (1.0 - _double(out) ** 2)


def leaky_relu(x: npt.ArrayLike, negative_slope: float = 0.01) -> Array:
    x = _double(x)
    return np.where(x <= 0, negative_slope * x, x)


def leaky_relu_backward(
    grad: npt.ArrayLike, out: npt.ArrayLike, negative_slope: float = 0.01
) -> Array:
    return _double(grad) * np.where(_double(out) <= 0, negative_slope, 1.0)


def elu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    x = _double(x)
    return np.where(x <= 0, alpha * np.expm1(np.minimum(x, 0)), x)


def elu_backward(grad: npt.ArrayLike, out: npt.ArrayLike, alpha: float = 1.0) -> Array:
    out = _double(out)
    return _double(grad) * np.where(out <= 0, out + alpha, 1.0)


def relu6(x: npt.ArrayLike) -> Array:
    return np.clip(_double(x), 0.0, 6.0)


def relu6_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    out = _double(out)
    return np.where((out <= 0) | (out >= 6), 0.0, _double(grad))


def silu(x: npt.ArrayLike) -> Array:
    x = _double(x)
    return np.where(np.isneginf(x), 0.0, x * sigmoid(x))


def silu_backward(grad: npt.ArrayLike, x: npt.ArrayLike) -> Array:
    x = _double(x)
    return _double(grad) * sigmoid(x) * (1 + x * sigmoid(-x))


def gelu(x: npt.ArrayLike, approximate: str = "none") -> Array:
    x = _double(x)
    share = sigmoid(2 * _gelu_u(x)) if approximate == "tanh" else _normal_below(x)
    return np.where(np.isneginf(x), 0.0, x * share)


def gelu_backward(grad: npt.ArrayLike, x: npt.ArrayLike, approximate: str = "none") -> Array:
    x = _double(x)
    if approximate == "tanh":
        share, du = sigmoid(2 * _gelu_u(x)), math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        slope = share + x * share * sigmoid(-2 * _gelu_u(x)) * 2 * du
    else:
        slope = _normal_below(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return np.asarray(_double(grad) * slope)


def _gelu_u(x: Array) -> Array:
    return np.asarray(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def _normal_below(x: Array) -> Array:
    erfc = np.vectorize(math.erfc, otypes=[np.float64])
    return np.asarray(erfc(-x / math.sqrt(2)) / 2)


def hard_sigmoid(x: npt.ArrayLike) -> Array:
    return relu6(_double(x) + 3) / 6


def hard_sigmoid_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    out = _double(out)
    return np.where((out <= 0) | (out >= 1), 0.0, _double(grad) / 6)


def hard_swish(x: npt.ArrayLike) -> Array:
    x = _double(x)
    return np.where(x <= -3, 0.0, x * hard_sigmoid(x))


def hard_swish_backward(grad: npt.ArrayLike, x: npt.ArrayLike) -> Array:
    x = _double(x)
    return _double(grad) * np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x / 3 + 0.5))


def prelu(x: npt.ArrayLike, weight: npt.ArrayLike) -> Array:
    x = _double(x)
    return np.where(x <= 0, _slopes(x, weight) * x, x)


def prelu_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike
) -> tuple[Array, Array]:
    x, grad, weight = _double(x), _double(grad), _double(weight)
    terms = np.where(x > 0, 0.0, grad * x)
    others = tuple(axis for axis in range(x.ndim) if axis != 1 or len(weight) == 1)
    dweight = terms.sum(axis=others).reshape(weight.shape)
    return grad * np.where(x <= 0, _slopes(x, weight), 1.0), dweight


def _slopes(x: Array, weight: npt.ArrayLike) -> Array:
    weight = _double(weight)
    return weight if len(weight) == 1 else weight.reshape(-1, *[1] * (x.ndim - 2))


def softmax(x: npt.ArrayLike, axis: int = 1) -> Array:
    return np.exp(log_softmax(x, axis))


def softmax_backward(grad: npt.ArrayLike, out: npt.ArrayLike, axis: int = 1) -> Array:
    grad, out = _double(grad), _double(out)
    return out * (grad - (grad * out).sum(axis=axis, keepdims=True))


def log_softmax(x: npt.ArrayLike, axis: int = 1) -> Array:
    x = _double(x)
    if x.shape[axis] == 0:
        return x.copy()
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def log_softmax_backward(grad: npt.ArrayLike, out: npt.ArrayLike, axis: int = 1) -> Array:
    grad = _double(grad)
    return grad - np.exp(_double(out)) * grad.sum(axis=axis, keepdims=True)


def cross_entropy(
    logits: npt.ArrayLike, target: npt.NDArray[Any], label_smoothing: float = 0.0
) -> tuple[float, Array]:
    logits = _double(logits)
    n, k = logits.shape
    probabilities = np.eye(k)[target] if target.ndim == 1 else _double(target)
    probabilities = (1.0 - label_smoothing) * probabilities + label_smoothing / k
    log_p = log_softmax(logits, axis=1)
    loss = -(probabilities * log_p).sum() / n
    dlogits = np.exp(log_p) * probabilities.sum(axis=1, keepdims=True) - probabilities
    return float(loss), dlogits / n
