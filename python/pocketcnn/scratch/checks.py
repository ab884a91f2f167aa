"""Checks and conversions of the arguments of the book's functions and layers."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pocketcnn._arguments import Array, array

_T = TypeVar("_T")


def as_float(name: str, value: npt.ArrayLike) -> Array:
    """Return `value` as an array of floats: integers become float64, as in NumPy's arithmetic."""
    a = array(name, value)
    return a if a.dtype.kind == "f" else a.astype(np.float64)


def class_indices(t: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Find the right class of each row, from labels or from one-hot rows.

    Parameters
    ----------
    t : array_like of integers (N,), or one-hot (N, K)
        A scalar, (1, 1) or (N, 1) counts as labels too.
    shape : (N, K)

    Raises
    ------
    ValueError
        If there are not as many labels as rows, or a label is not a class.
    TypeError
        For labels that are not integers.
    """
    t = np.asarray(t)
    rows, classes = shape
    if t.size == rows * classes:
        winners: npt.NDArray[np.intp] = t.reshape(rows, classes).argmax(axis=1)
        return winners
    if t.size != rows:
        raise ValueError(
            f"t has shape {t.shape}, but {rows} rows of {classes} classes take labels ({rows},) "
            f"or one-hot rows ({rows}, {classes})"
        )
    if t.dtype.kind not in "iu":
        raise TypeError(f"t has dtype {t.dtype}, but labels must be integers")
    labels = t.reshape(rows)
    if labels.min() < 0 or labels.max() >= classes:
        bad = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(f"t has the label {bad}, but there are {classes} classes")
    return labels


def recall(kept: _T | None) -> _T:
    """Return what ``forward`` stored; raise RuntimeError if none has run."""
    if kept is None:
        raise RuntimeError("backward needs a forward before it")
    return kept
