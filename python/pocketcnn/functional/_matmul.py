"""Products of two matrices, either of them transposed, for :mod:`pocketcnn.scratch`.

A fully connected layer and its gradients are the three products ``a @ b.T``, ``a @ b`` and
``a.T @ b``. Code that keeps its weights as (in, out) needs the same three in other places.
"""

from __future__ import annotations

import numpy.typing as npt

from pocketcnn import _core
from pocketcnn._arguments import Array, array, compute_dtypes, contiguous, restore


def matmul(
    a: npt.ArrayLike, b: npt.ArrayLike, *, transpose_a: bool = False, transpose_b: bool = False
) -> Array:
    """Multiply two matrices; no transposed copy is made of either.

    Parameters
    ----------
    a : array_like (M, K), or (K, M) with `transpose_a`
    b : array_like (K, N), or (N, K) with `transpose_b`
    transpose_a, transpose_b : bool
        At most one of them.

    Returns
    -------
    ndarray (M, N)

    Raises
    ------
    ValueError
        Where the sizes do not meet, or both are to be transposed.

    Examples
    --------
    >>> matmul([[1.0, 2.0]], [[3.0, 4.0]], transpose_b=True)
    array([[11.]])
    """
    if transpose_a and transpose_b:
        raise ValueError("transpose_a and transpose_b are both True, but only one may be")
    a, b = array("a", a, 2), array("b", b, 2)
    if a.shape[0 if transpose_a else 1] != b.shape[1 if transpose_b else 0]:
        sides = f"a{'.T' * transpose_a} @ b{'.T' * transpose_b}"
        raise ValueError(f"a has shape {a.shape} and b {b.shape}, which do not fit {sides}")
    compute, result = compute_dtypes(a, b)
    product = _core.matmul(contiguous(a, compute), contiguous(b, compute), transpose_a, transpose_b)
    return restore(product, result)
