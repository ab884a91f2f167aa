"""Convolution, pooling and what else a network computes, as functions of NumPy arrays.

Every function checks its arguments, then makes one native call. Images and feature maps are
(N, C, H, W). float32 and float64 are computed as they come; float16 and integers in float32,
and float16 comes back as float16; different floats are promoted as NumPy does. Inputs are never
modified; results are new C-contiguous arrays.

``kernel_size``, ``stride`` and ``dilation`` are an int or (h, w); ``padding`` is an int, (h, w),
((top, bottom), (left, right)), "same" or "valid". A window has
``floor((in + pad - dilation * (kernel - 1) - 1) / stride) + 1`` positions along an axis.

A wrong rank, size or value raises ValueError and a dtype that cannot be an image TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketcnn import _core
from pocketcnn.arguments import (
    Array,
    IntOrPair,
    Padding,
    array,
    compute_dtypes,
    contiguous,
    integer,
    number,
    require_shape,
    shape4,
    window,
)

ALGORITHMS = ("auto", "im2col")


def _as(result: Array, dtype: np.dtype[Any]) -> Array:
    return result if result.dtype == dtype else result.astype(dtype)


def im2col(
    x: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Array:
    """Unfold images into the matrix whose rows are the windows over them.

    Parameters
    ----------
    x : array_like (N, C, H, W)
        Images.
    kernel_size, stride, padding, dilation
        The window; see the module's introduction.

    Returns
    -------
    ndarray (N * OH * OW, C * KH * KW)
        Row (n, oh, ow), column (c, kh, kw). Padding reads as zero.

    Examples
    --------
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    x = array("x", x, 4)
    geometry = window(x.shape, kernel_size, stride, padding, dilation)
    compute, result = compute_dtypes(x)
    return _as(_core.im2col(contiguous(x, compute), *geometry), result)


def col2im(
    col: npt.ArrayLike,
    input_shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
) -> Array:
    """Add the rows of a column matrix back into images: the adjoint of :func:`im2col`.

    Parameters
    ----------
    col : array_like (N * OH * OW, C * KH * KW)
        Rows as im2col makes them.
    input_shape : (N, C, H, W)
        Shape of the images.
    kernel_size, stride, padding, dilation
        The window; see the module's introduction.

    Returns
    -------
    ndarray (N, C, H, W)
        Where windows overlap, their values are added.

    Examples
    --------
    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    col = array("col", col, 2)
    n, c, h, w = shape4("input_shape", input_shape)
    geometry = window((n, c, h, w), kernel_size, stride, padding, dilation, name="input_shape")
    oh, ow = _output_size(h, w, geometry)
    kernel_h, kernel_w = geometry[0]
    require_shape("col", col, (n * oh * ow, c * kernel_h * kernel_w))
    compute, result = compute_dtypes(col)
    return _as(_core.col2im(contiguous(col, compute), (n, c, h, w), *geometry), result)


def _output_size(h: int, w: int, geometry: Any) -> tuple[int, int]:
    kernel, stride, (top, bottom, left, right), dilation = geometry
    return (
        (h + top + bottom - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1,
        (w + left + right - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1,
    )


def _check_convolution(x: Array, weight: Array, groups: int, algorithm: str) -> int:
    groups = integer("groups", groups, 1)
    if 0 in weight.shape:
        raise ValueError(f"weight has shape {weight.shape}, but none of its sizes may be 0")
    if x.shape[1] != weight.shape[1] * groups:
        takes = f"{weight.shape[1]}" if groups == 1 else f"{weight.shape[1]} in {groups} groups"
        raise ValueError(f"x has {x.shape[1]} channels, but weight {weight.shape} takes {takes}")
    if weight.shape[0] % groups:
        raise ValueError(f"groups {groups} must divide the {weight.shape[0]} filters of weight")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm is {algorithm!r}, but must be one of {ALGORITHMS}")
    return groups


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
    algorithm : {"auto", "im2col"}
        How it is computed.

    Returns
    -------
    ndarray (N, FN, OH, OW)
        Feature maps.

    Examples
    --------
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> conv2d(x, np.ones((1, 1, 3, 3)))[0, 0]
    array([[45., 54.],
           [81., 90.]])
    """
    x, weight = array("x", x, 4), array("weight", weight, 4)
    groups = _check_convolution(x, weight, groups, algorithm)
    _, *geometry = window(x.shape, weight.shape[2:], stride, padding, dilation)
    if bias is None:
        compute, result = compute_dtypes(x, weight)
    else:
        bias = array("bias", bias, 1)
        require_shape("bias", bias, (weight.shape[0],))
        compute, result = compute_dtypes(x, weight, bias)
        bias = contiguous(bias, compute)
    y = _core.conv2d(contiguous(x, compute), contiguous(weight, compute), bias, *geometry, groups)
    return _as(y, result)


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
    x, weight, stride, padding, dilation, groups, algorithm
        As :func:`conv2d` took them.
    input_grad : bool
        False leaves out dx, which a first layer does not need.

    Returns
    -------
    dx : ndarray (N, C, H, W) or None
    dweight : ndarray (FN, C / groups, KH, KW)
    dbias : ndarray (FN,)
    """
    grad, x, weight = array("grad", grad, 4), array("x", x, 4), array("weight", weight, 4)
    groups = _check_convolution(x, weight, groups, algorithm)
    kernel, *geometry = window(x.shape, weight.shape[2:], stride, padding, dilation)
    output_size = _output_size(*x.shape[2:], (kernel, *geometry))
    require_shape("grad", grad, (x.shape[0], weight.shape[0], *output_size))
    compute, result = compute_dtypes(grad, x, weight)
    grad, x = contiguous(grad, compute), contiguous(x, compute)
    dx = None
    if input_grad:
        weight = contiguous(weight, compute)
        dx = _as(_core.conv2d_input_grad(grad, weight, x.shape, *geometry, groups), result)
    dweight = _core.conv2d_weight_grad(grad, x, kernel, *geometry, groups)
    return dx, _as(dweight, result), _as(_core.conv2d_bias_grad(grad), result)


def max_pool2d(
    x: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Take the largest element of each window, and where it stands.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    kernel_size, stride, padding, dilation
        The window; stride None steps by one whole kernel. Padding must be smaller than the
        dilated kernel.
    ceil_mode : bool
        Let a last window hang over the lower and right edge.

    Returns
    -------
    out : ndarray (N, C, OH, OW)
    argmax : ndarray of int64 (N, C, OH, OW)
        Index into the H * W input plane. The first maximum in row-major order wins; padding
        never wins; NaN wins over every number.

    Examples
    --------
    >>> out, argmax = max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    >>> out[0, 0].tolist(), argmax[0, 0].tolist()
    ([[5.0, 7.0], [13.0, 15.0]], [[5, 7], [13, 15]])
    """
    x = array("x", x, 4)
    geometry = window(x.shape, kernel_size, _pool_stride(stride, kernel_size), padding, dilation)
    _check_pool_padding(geometry)
    compute, result = compute_dtypes(x)
    out, argmax = _core.max_pool2d(contiguous(x, compute), *geometry, bool(ceil_mode))
    return _as(out, result), argmax


def max_pool2d_backward(
    grad: npt.ArrayLike, argmax: npt.ArrayLike, input_shape: Sequence[int]
) -> Array:
    """Send the gradient of :func:`max_pool2d` to the elements that won.

    Parameters
    ----------
    grad : array_like (N, C, OH, OW)
    argmax : array_like of integers (N, C, OH, OW)
        As max_pool2d returned it.
    input_shape : (N, C, H, W)

    Returns
    -------
    ndarray (N, C, H, W)
        Where windows overlap, their gradients are added.
    """
    grad = array("grad", grad, 4)
    argmax = array("argmax", argmax, 4)
    if argmax.dtype.kind not in "iu":
        raise TypeError(f"argmax has dtype {argmax.dtype}, but must be integers")
    require_shape("argmax", argmax, grad.shape)
    shape = shape4("input_shape", input_shape)
    if shape[:2] != grad.shape[:2]:
        raise ValueError(f"input_shape is {shape}, but grad {grad.shape} has another N or C")
    compute, result = compute_dtypes(grad)
    places = contiguous(argmax, np.dtype(np.int64))
    return _as(_core.max_pool2d_backward(contiguous(grad, compute), places, shape), result)


def avg_pool2d(
    x: npt.ArrayLike,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Take the mean of each window.

    Parameters
    ----------
    x : array_like (N, C, H, W)
    kernel_size, stride, padding, ceil_mode
        As in :func:`max_pool2d`.
    count_include_pad : bool
        Whether padding counts in the divisor.

    Returns
    -------
    ndarray (N, C, OH, OW)

    Examples
    --------
    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    x = array("x", x, 4)
    kernel, strides, sides, _ = geometry = window(
        x.shape, kernel_size, _pool_stride(stride, kernel_size), padding
    )
    _check_pool_padding(geometry)
    compute, result = compute_dtypes(x)
    out = _core.avg_pool2d(
        contiguous(x, compute), kernel, strides, sides, bool(ceil_mode), bool(count_include_pad)
    )
    return _as(out, result)


def avg_pool2d_backward(
    grad: npt.ArrayLike,
    input_shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Spread the gradient of :func:`avg_pool2d` evenly over its windows.

    Parameters
    ----------
    grad : array_like (N, C, OH, OW)
    input_shape : (N, C, H, W)
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As avg_pool2d took them.

    Returns
    -------
    ndarray (N, C, H, W)
    """
    grad = array("grad", grad, 4)
    shape = shape4("input_shape", input_shape)
    kernel, strides, sides, _ = geometry = window(
        shape, kernel_size, _pool_stride(stride, kernel_size), padding, name="input_shape"
    )
    _check_pool_padding(geometry)
    expected = _core.pool2d_output_shape(shape, kernel, strides, sides, (1, 1), bool(ceil_mode))
    require_shape("grad", grad, expected)
    compute, result = compute_dtypes(grad)
    dx = _core.avg_pool2d_backward(
        contiguous(grad, compute),
        shape,
        kernel,
        strides,
        sides,
        bool(ceil_mode),
        bool(count_include_pad),
    )
    return _as(dx, result)


def _pool_stride(stride: IntOrPair | None, kernel_size: IntOrPair) -> IntOrPair:
    return kernel_size if stride is None else stride


def _check_pool_padding(geometry: Any) -> None:
    kernel, _, sides, dilation = geometry
    for axis in (0, 1):
        span = dilation[axis] * (kernel[axis] - 1) + 1
        if max(sides[2 * axis : 2 * axis + 2]) >= span:
            raise ValueError(
                f"padding (top, bottom, left, right) is {sides}, but must be smaller than the "
                f"dilated kernel, which spans {span} along axis {axis + 2}"
            )


def linear(x: npt.ArrayLike, weight: npt.ArrayLike, bias: npt.ArrayLike | None = None) -> Array:
    """Compute ``x @ weight.T + bias``, the fully connected layer.

    Parameters
    ----------
    x : array_like (N, in)
    weight : array_like (out, in)
    bias : array_like (out,), optional

    Returns
    -------
    ndarray (N, out)

    Examples
    --------
    >>> linear([[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]], [0.5, 0.0])
    array([[11.5, 17. ]])
    """
    x, weight = array("x", x, 2), array("weight", weight, 2)
    _check_features(x, weight)
    if bias is None:
        compute, result = compute_dtypes(x, weight)
    else:
        bias = array("bias", bias, 1)
        require_shape("bias", bias, (weight.shape[0],))
        compute, result = compute_dtypes(x, weight, bias)
        bias = contiguous(bias, compute)
    return _as(_core.linear(contiguous(x, compute), contiguous(weight, compute), bias), result)


def linear_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike, input_grad: bool = True
) -> tuple[Array | None, Array, Array]:
    """Gradients of :func:`linear`.

    Parameters
    ----------
    grad : array_like (N, out)
    x : array_like (N, in)
    weight : array_like (out, in)
    input_grad : bool
        False leaves out dx, which a first layer does not need.

    Returns
    -------
    dx : ndarray (N, in) or None
    dweight : ndarray (out, in)
    dbias : ndarray (out,)
    """
    grad, x, weight = array("grad", grad, 2), array("x", x, 2), array("weight", weight, 2)
    _check_features(x, weight)
    require_shape("grad", grad, (x.shape[0], weight.shape[0]))
    compute, result = compute_dtypes(grad, x, weight)
    grad, x = contiguous(grad, compute), contiguous(x, compute)
    dx = None
    if input_grad:
        dx = _as(_core.linear_input_grad(grad, contiguous(weight, compute)), result)
    dweight, dbias = _core.linear_weight_grad(grad, x), _core.linear_bias_grad(grad)
    return dx, _as(dweight, result), _as(dbias, result)


def _check_features(x: Array, weight: Array) -> None:
    if x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x has {x.shape[1]} features, but weight {weight.shape} takes {weight.shape[1]}"
        )


def _forward(function: Callable[..., Array], x: npt.ArrayLike, *options: Any) -> Array:
    x = array("x", x)
    compute, result = compute_dtypes(x)
    return _as(function(contiguous(x, compute), *options), result)


def _backward(
    function: Callable[..., Array], grad: npt.ArrayLike, out: npt.ArrayLike, *options: Any
) -> Array:
    grad, out = array("grad", grad), array("out", out)
    require_shape("grad", grad, out.shape)
    compute, result = compute_dtypes(grad, out)
    return _as(function(contiguous(grad, compute), contiguous(out, compute), *options), result)


def relu(x: npt.ArrayLike) -> Array:
    """max(x, 0), elementwise, for an array of any shape. NaN stays NaN."""
    return _forward(_core.relu, x)


def relu_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`relu` from that of its output `out`: grad where out > 0, else 0."""
    return _backward(_core.relu_backward, grad, out)


def sigmoid(x: npt.ArrayLike) -> Array:
    """1 / (1 + exp(-x)), elementwise, without overflow."""
    return _forward(_core.sigmoid, x)


def sigmoid_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`sigmoid`: grad * out * (1 - out)."""
    return _backward(_core.sigmoid_backward, grad, out)


def tanh(x: npt.ArrayLike) -> Array:
    """Hyperbolic tangent, elementwise."""
    return _forward(_core.tanh, x)


def tanh_backward(grad: npt.ArrayLike, out: npt.ArrayLike) -> Array:
    """Gradient of :func:`tanh`: grad * (1 - out ** 2)."""
    return _backward(_core.tanh_backward, grad, out)


def _axis(a: npt.ArrayLike, axis: int, name: str = "x") -> int:
    ndim = array(name, a).ndim
    axis = integer("axis", axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis is {axis}, but {name} has {ndim} axes")
    return axis % ndim


def softmax(x: npt.ArrayLike, axis: int = 1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`, taken relative to the largest entry.

    Examples
    --------
    >>> softmax([[1000.0, 1000.0]])
    array([[0.5, 0.5]])
    """
    return _forward(_core.softmax, x, _axis(x, axis))


def softmax_backward(grad: npt.ArrayLike, out: npt.ArrayLike, axis: int = 1) -> Array:
    """Gradient of :func:`softmax`: out * (grad - sum(grad * out))."""
    return _backward(_core.softmax_backward, grad, out, _axis(out, axis, "out"))


def log_softmax(x: npt.ArrayLike, axis: int = 1) -> Array:
    """x - log(sum(exp(x))) along `axis`, accurate where :func:`softmax` underflows."""
    return _forward(_core.log_softmax, x, _axis(x, axis))


def log_softmax_backward(grad: npt.ArrayLike, out: npt.ArrayLike, axis: int = 1) -> Array:
    """Gradient of :func:`log_softmax`: grad - exp(out) * sum(grad)."""
    return _backward(_core.log_softmax_backward, grad, out, _axis(out, axis, "out"))


def cross_entropy(
    logits: npt.ArrayLike, target: npt.ArrayLike, label_smoothing: float = 0.0
) -> tuple[float, Array]:
    """Mean cross-entropy of softmax(logits) against a target, and its gradient.

    Parameters
    ----------
    logits : array_like (N, K)
        At least one row.
    target : array_like of integers (N,), or of numbers (N, K)
        Labels 0..K-1, or a probability for each class.
    label_smoothing : float
        e in 0..1: the target becomes (1 - e) * target + e / K (Szegedy et al., 2016, section 7).

    Returns
    -------
    loss : float
        Mean over the rows.
    dlogits : ndarray (N, K)
        Gradient of that mean.

    Examples
    --------
    >>> loss, dlogits = cross_entropy(np.zeros((1, 2)), [1])
    >>> round(loss, 4), dlogits
    (0.6931, array([[ 0.5, -0.5]]))
    """
    logits = array("logits", logits, 2)
    if 0 in logits.shape:
        raise ValueError(f"logits has shape {logits.shape}, but a mean needs rows and classes")
    compute, result = compute_dtypes(logits)
    smoothing = number("label_smoothing", label_smoothing, 0, 1)
    wanted = _target(array("target", target), logits.shape, compute)
    loss, dlogits = _core.cross_entropy(contiguous(logits, compute), wanted, smoothing)
    return loss, _as(dlogits, result)


def _target(target: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Labels as int64, or target weights as the logits' dtype."""
    if target.shape == shape:
        return contiguous(target, dtype)
    if target.shape != shape[:1]:
        raise ValueError(
            f"target has shape {target.shape}, but logits {shape} take labels ({shape[0]},) or "
            f"probabilities {shape}"
        )
    if target.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {target.dtype}, but labels must be integers")
    if target.min() < 0 or target.max() >= shape[1]:
        bad = target[(target < 0) | (target >= shape[1])][0]
        raise ValueError(f"target has the label {bad}, but logits {shape} have {shape[1]} classes")
    return contiguous(target, np.dtype(np.int64))


def dropout(x: npt.ArrayLike, p: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Set each element to zero with probability p and scale the others by 1 / (1 - p).

    Parameters
    ----------
    x : array_like
        Any shape.
    p : float
        Probability in 0..1 of dropping an element.
    rng : numpy.random.Generator
        Where the choice comes from.

    Returns
    -------
    out : ndarray
        ``x * mask``.
    mask : ndarray
        0 or 1 / (1 - p); the gradient is ``grad * mask`` (inverted dropout; Srivastava et al.,
        2014, section 10).
    """
    x = array("x", x)
    p = number("p", p, 0, 1)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}, but must be a numpy.random.Generator")
    compute, result = compute_dtypes(x)
    scale = 1 / (1 - p) if p < 1 else 0.0
    mask = (rng.random(x.shape, dtype=np.float32) >= p).astype(compute)
    mask *= compute.type(scale)
    out = np.where(mask != 0, contiguous(x, compute) * mask, compute.type(0))
    return _as(out, result), _as(mask, result)


def _update(
    function: Callable[..., None],
    arrays: dict[str, Array | None],
    settings: dict[str, float],
    *options: Any,
) -> None:
    """Check that the arrays can be updated in place together, then do it."""
    param = arrays["param"]
    for name, a in arrays.items():
        if a is None:
            continue
        if not isinstance(a, np.ndarray) or a.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name} must be an array of float32 or float64")
        if not isinstance(param, np.ndarray) or a.dtype != param.dtype:
            raise TypeError(f"{name} has dtype {a.dtype}, but param another")
        if a.shape != param.shape:
            raise ValueError(f"{name} has shape {a.shape}, but param has {param.shape}")
        if not a.flags.c_contiguous or not a.flags.aligned:
            raise ValueError(f"{name} must be C-contiguous to be updated in place")
        if not a.flags.writeable and name != "grad":
            raise ValueError(f"{name} is read-only, but is updated in place")
    numbers = [number(name, value, -np.inf, np.inf) for name, value in settings.items()]
    function(*arrays.values(), *numbers, *options)


def sgd_update(
    param: Array,
    grad: Array,
    velocity: Array | None,
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """One step of stochastic gradient descent, in place.

    With g = grad + weight_decay * param: ``velocity = momentum * velocity + g`` and
    ``param -= lr * velocity``, or with nesterov ``param -= lr * (g + momentum * velocity)``.
    velocity may be None where there is no momentum.
    """
    settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    if velocity is None and momentum:
        raise ValueError(f"velocity is None, but momentum is {momentum!r}")
    arrays = {"param": param, "grad": grad, "velocity": velocity}
    _update(_core.sgd_update, arrays, settings, bool(nesterov))


def adagrad_update(
    param: Array, grad: Array, square_sum: Array, *, lr: float, eps: float, weight_decay: float
) -> None:
    """One step of AdaGrad (Duchi et al., 2011), in place; see :func:`sgd_update` for g.

    ``square_sum += g ** 2; param -= lr * g / (sqrt(square_sum) + eps)``.
    """
    arrays: dict[str, Array | None] = {"param": param, "grad": grad, "square_sum": square_sum}
    settings = {"lr": lr, "eps": eps, "weight_decay": weight_decay}
    _update(_core.adagrad_update, arrays, settings)


def rmsprop_update(
    param: Array,
    grad: Array,
    square_average: Array,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
) -> None:
    """One step of RMSprop (Hinton, lecture 6e, 2012), in place; see :func:`sgd_update` for g.

    ``square_average = alpha * square_average + (1 - alpha) * g ** 2`` and
    ``param -= lr * g / (sqrt(square_average) + eps)``.
    """
    arrays: dict[str, Array | None] = {
        "param": param,
        "grad": grad,
        "square_average": square_average,
    }
    settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
    _update(_core.rmsprop_update, arrays, settings)


def adam_update(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """One step of Adam (Kingma and Ba, 2015), in place; `step` counts from 1.

    With decoupled weight decay it is AdamW (Loshchilov and Hutter, 2019): param shrinks by
    ``lr * weight_decay`` of itself, and g = grad; else see :func:`sgd_update` for g.
    """
    arrays: dict[str, Array | None] = {"param": param, "grad": grad, "m": m, "v": v}
    settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
    _update(_core.adam_update, arrays, settings, bool(decoupled), integer("step", step, 1))
