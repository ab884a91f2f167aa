"""The fully connected layer and its gradients."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from pocketcnn import _core
from pocketcnn._arguments import (
    Array,
    array,
    compute_dtypes,
    contiguous,
    require_shape,
    restore,
)


def _check_features(x: Array, weight: Array) -> None:
    if x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x has {x.shape[1]} features, but weight {weight.shape} takes {weight.shape[1]}"
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
    >>> import numpy as np
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
    return restore(_core.linear(contiguous(x, compute), contiguous(weight, compute), bias), result)


def linear_backward(
    grad: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike, *, input_grad: bool = True
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
    dx, dweight, dbias = _core.linear_backward(
        contiguous(grad, compute), contiguous(x, compute), contiguous(weight, compute), input_grad
    )
    if dx is not None:
        dx = restore(dx, result)
    return dx, restore(dweight, result), restore(dbias, result)


class LinearWeightGrad(NDArrayOperatorsMixin):
    """The gradient of a :func:`linear`'s weight, ``grad.T @ x``, before it is computed.

    The functions that update a parameter compute it bit by bit as they use it, so that it never
    is in memory as a whole. To NumPy it is the array, computed each time it is used.

    Parameters
    ----------
    grad : array_like (N, out)
    x : array_like (N, in)

    Attributes
    ----------
    factors : (ndarray, ndarray)
        `grad` and `x`.

    Examples
    --------
    >>> LinearWeightGrad([[1.0, 2.0]], [[3.0, 4.0]]) + 0.5
    array([[3.5, 4.5],
           [6.5, 8.5]])
    """

    def __init__(self, grad: npt.ArrayLike, x: npt.ArrayLike) -> None:
        grad, x = array("grad", grad, 2), array("x", x, 2)
        if len(grad) != len(x):
            raise ValueError(f"grad has {len(grad)} rows, but x {len(x)}")
        compute, _ = compute_dtypes(grad, x)
        self.factors = contiguous(grad, compute), contiguous(x, compute)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        """Compute the gradient."""
        grad, x = self.factors
        return np.asarray(_core.matmul(grad, x, True, False), dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """Compute the gradient and what is done with it."""
        arrays = [np.asarray(a) if isinstance(a, LinearWeightGrad) else a for a in inputs]
        return getattr(ufunc, method)(*arrays, **options)


Grad: TypeAlias = Array | LinearWeightGrad
"""The gradient of a parameter, computed or not yet."""
