"""What operations that move, resize or normalise feature maps must compute, as `reference.py` does.

Plain NumPy in float64: one loop per definition, no code of the package, arguments assumed valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from reference import Array, pair


def _double(x: npt.ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def sides(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """((top, bottom), (left, right)) of an int, of (h, w), or of itself."""
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    rows, cols = padding
    return pair(rows), pair(cols)


def zero_pad2d(x: npt.ArrayLike, padding: Any) -> Array:
    x = _double(x)
    (top, bottom), (left, right) = sides(padding)
    n, c, h, w = x.shape
    out = np.zeros((n, c, h + top + bottom, w + left + right))
    for i in range(h):
        for j in range(w):
            if 0 <= i + top < out.shape[2] and 0 <= j + left < out.shape[3]:
                out[:, :, i + top, j + left] = x[:, :, i, j]
    return out


def zero_pad2d_backward(grad: npt.ArrayLike, padding: Any) -> Array:
    grad = _double(grad)
    (top, bottom), (left, right) = sides(padding)
    n, c, h, w = grad.shape
    dx = np.zeros((n, c, h - top - bottom, w - left - right))
    for i in range(dx.shape[2]):
        for j in range(dx.shape[3]):
            if 0 <= i + top < h and 0 <= j + left < w:
                dx[:, :, i, j] = grad[:, :, i + top, j + left]
    return dx


def _shuffled(channels: int, groups: int) -> list[int]:
    """Which channel of the input each channel of the output is."""
    per = channels // groups
    return [k % groups * per + k // groups for k in range(channels)]


def channel_shuffle(x: npt.ArrayLike, groups: int) -> Array:
    x = _double(x)
    return x[:, _shuffled(x.shape[1], groups)]


def channel_shuffle_backward(grad: npt.ArrayLike, groups: int) -> Array:
    grad = _double(grad)
    dx = np.zeros_like(grad)
    dx[:, _shuffled(grad.shape[1], groups)] = grad
    return dx


def normalize(x: npt.ArrayLike, mean: Sequence[float], std: Sequence[float]) -> Array:
    x = _double(x)
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        out[:, c] = (x[:, c] - mean[c]) / std[c]
    return out


def _transposed_axis(
    size: int, kernel: int, stride: int, dilation: int, padding: Any, extra: int, axis: int
) -> tuple[int, int]:
    """Pixels cut off before the output, and its size."""
    span = dilation * (kernel - 1) + 1
    if padding == "same":
        return max(0, span - stride) // 2, size * stride + extra
    before, after = (0, 0) if padding == "valid" else sides(padding)[axis]
    return before, (size - 1) * stride - before - after + span + extra


def _meetings(
    shape: tuple[int, ...], kernel: tuple[int, ...], out: tuple[int, ...], options: Any
) -> Any:
    """Every (i, j, u, v, oh, ow): pixel (i, j) times tap (u, v) is added to output (oh, ow)."""
    strides, dilations = pair(options["stride"]), pair(options["dilation"])
    cut = options["cut"]
    for i, j, u, v in np.ndindex(*shape[2:], *kernel):
        oh = i * strides[0] + u * dilations[0] - cut[0]
        ow = j * strides[1] + v * dilations[1] - cut[1]
        if 0 <= oh < out[0] and 0 <= ow < out[1]:
            yield i, j, u, v, oh, ow


def transposed_sizes(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """What is cut off at the top and on the left, and the output's size."""
    strides, dilations, extra = pair(stride), pair(dilation), pair(output_padding)
    (top, height), (left, width) = (
        _transposed_axis(shape[2 + k], kernel[k], strides[k], dilations[k], padding, extra[k], k)
        for k in (0, 1)
    )
    return (top, left), (height, width)


def conv_transpose2d(
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    x, weight = _double(x), _double(weight)
    kernel = weight.shape[2:]
    cut, size = transposed_sizes(x.shape, kernel, stride, padding, output_padding, dilation)
    per_in, per_out = len(weight) // groups, weight.shape[1]
    out = np.zeros((len(x), per_out * groups, *size))
    options = {"stride": stride, "dilation": dilation, "cut": cut}
    for i, j, u, v, oh, ow in _meetings(x.shape, kernel, size, options):
        for g in range(groups):
            c, f = slice(g * per_in, (g + 1) * per_in), slice(g * per_out, (g + 1) * per_out)
            out[:, f, oh, ow] += x[:, c, i, j] @ weight[c, :, u, v]
    return out if bias is None else out + _double(bias)[:, None, None]


def conv_transpose2d_backward(
    grad: npt.ArrayLike,
    x: npt.ArrayLike,
    weight: npt.ArrayLike,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    grad, x, weight = _double(grad), _double(x), _double(weight)
    kernel = weight.shape[2:]
    cut, size = transposed_sizes(x.shape, kernel, stride, padding, output_padding, dilation)
    per_in, per_out = len(weight) // groups, weight.shape[1]
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    options = {"stride": stride, "dilation": dilation, "cut": cut}
    for i, j, u, v, oh, ow in _meetings(x.shape, kernel, size, options):
        for g in range(groups):
            c, f = slice(g * per_in, (g + 1) * per_in), slice(g * per_out, (g + 1) * per_out)
            dx[:, c, i, j] += grad[:, f, oh, ow] @ weight[c, :, u, v].T
            dweight[c, :, u, v] += x[:, c, i, j].T @ grad[:, f, oh, ow]
    return dx, dweight, grad.sum(axis=(0, 2, 3))


def _places(size: int, scale: float, mode: str, align_corners: bool) -> list[dict[int, float]]:
    """The shares of the inputs along one axis in each output."""
    outputs = int(np.floor(size * scale))
    shares: list[dict[int, float]] = []
    for o in range(outputs):
        if mode == "nearest":
            # As PyTorch: these sizes whatever the scale, and places in single precision.
            if outputs in (size, 2 * size):
                low = o * size // outputs
            elif scale == int(scale):
                low = o // int(scale)
            else:
                low = int(np.float32(o) * np.float32(1 / scale))
            shares.append({min(low, size - 1): 1.0})
            continue
        if align_corners:
            at = o * (size - 1) / (outputs - 1) if outputs > 1 else 0.0
        else:
            at = (o + 0.5) / scale - 0.5
        at = min(max(at, 0.0), size - 1.0)
        low = int(at)
        shares.append({low: 1 - (at - low)})
        if at > low:
            shares[-1][low + 1] = at - low
    return shares


def _scales(shape: tuple[int, ...], scale_factor: Any, mode: str, align_corners: bool) -> Any:
    scales = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * 2
    return [
        _places(size, scale, mode, align_corners)
        for size, scale in zip(shape[2:], scales, strict=True)
    ]


def upsample2d(
    x: npt.ArrayLike, scale_factor: Any, mode: str = "nearest", align_corners: bool = False
) -> Array:
    x = _double(x)
    rows, cols = _scales(x.shape, scale_factor, mode, align_corners)
    out = np.zeros((*x.shape[:2], len(rows), len(cols)))
    for oh, ow in np.ndindex(*out.shape[2:]):
        for i, row_share in rows[oh].items():
            for j, col_share in cols[ow].items():
                out[:, :, oh, ow] += row_share * col_share * x[:, :, i, j]
    return out


def upsample2d_backward(
    grad: npt.ArrayLike,
    input_shape: tuple[int, ...],
    scale_factor: Any,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Array:
    grad = _double(grad)
    rows, cols = _scales(input_shape, scale_factor, mode, align_corners)
    dx = np.zeros(input_shape)
    for oh, ow in np.ndindex(*grad.shape[2:]):
        for i, row_share in rows[oh].items():
            for j, col_share in cols[ow].items():
                dx[:, :, i, j] += row_share * col_share * grad[:, :, oh, ow]
    return dx


def group_norm(
    x: npt.ArrayLike, groups: int, gamma: npt.ArrayLike, beta: npt.ArrayLike, eps: float = 1e-5
) -> Array:
    x, gamma, beta = _double(x), _double(gamma), _double(beta)
    out, per = np.zeros_like(x), x.shape[1] // groups
    for n, c in np.ndindex(*x.shape[:2]):
        group = x[n, c // per * per : (c // per + 1) * per]
        normal = (x[n, c] - group.mean()) / np.sqrt(((group - group.mean()) ** 2).mean() + eps)
        out[n, c] = normal * gamma[c] + beta[c]
    return out


def group_norm_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, groups: int, gamma: npt.ArrayLike, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    grad, x, gamma = _double(grad), _double(x), _double(gamma)
    channels = x.shape[1]
    dx, dgamma, dbeta = np.zeros_like(x), np.zeros(channels), np.zeros(channels)
    per = channels // groups
    for n, g in np.ndindex(len(x), groups):
        part = slice(g * per, (g + 1) * per)
        group, flowing = x[n, part], grad[n, part]
        deviation = np.sqrt(((group - group.mean()) ** 2).mean() + eps)
        normal = (group - group.mean()) / deviation
        over = tuple(range(1, group.ndim))
        dgamma[part] += (flowing * normal).sum(axis=over)
        dbeta[part] += flowing.sum(axis=over)
        scaled = flowing * gamma[part].reshape(-1, *(1,) * (group.ndim - 1))
        along = normal * (scaled * normal).mean()
        dx[n, part] = (scaled - scaled.mean() - along) / deviation
    return dx, dgamma, dbeta
