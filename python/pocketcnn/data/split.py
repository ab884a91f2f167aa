"""A data set in two parts, with the same share of every class."""

from __future__ import annotations

from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments
from pocketcnn.data.dataset import Dataset, Subset

Pair: TypeAlias = "tuple[NDArray[Any], NDArray[Any]]"

# How many samples are read at a time where a data set does not know its labels.
_READ = 256


@overload
def split(dataset: tuple[Any, Any], share: float, seed: int = 0) -> tuple[Pair, Pair]: ...
@overload
def split(dataset: Dataset, share: float, seed: int = 0) -> tuple[Subset, Subset]: ...
def split(dataset: Dataset | tuple[Any, Any], share: float, seed: int = 0) -> tuple[Any, Any]:
    """Split a data set at random into two parts, the second with `share` of the samples.

    Of every class both parts have their share, as nearly as whole samples allow, and at least one
    sample if the class has two or more; a class of one is in the first part. The order of the
    samples stays. Targets that are not labels (floating point numbers, or several for a sample)
    are split without regard to them.

    Parameters
    ----------
    dataset : Dataset or (x, t)
        A data set, or arrays. Of a data set without `labels` all batches are read once.
    share : float
        The second part's share, more than 0 and less than 1.
    seed : int, default 0
        The same seed splits the same way, on every machine.

    Returns
    -------
    first, second : Subset, or (x, t)
        As `dataset` is; the arrays are copies.

    Raises
    ------
    TypeError, ValueError
        A part would be empty, or an argument is not as above.

    Examples
    --------
    >>> t = np.repeat([0, 1], [90, 10])
    >>> (x_train, t_train), (x_val, t_val) = split((np.zeros((100, 1, 2, 2)), t), 0.2)
    >>> np.bincount(t_train).tolist(), np.bincount(t_val).tolist()
    ([72, 8], [18, 2])
    """
    share = _arguments.share("share", share)
    if share == 0:
        raise ValueError("share is 0, but must be more")
    rng = np.random.default_rng(_arguments.integer("seed", seed, 0))
    if not isinstance(dataset, tuple):
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"dataset is a {type(dataset).__name__}, but must be (x, t) or a data set"
            )
        held = _draw(_labels(dataset), share, rng)
        return Subset(dataset, np.flatnonzero(~held)), Subset(dataset, np.flatnonzero(held))
    if len(dataset) != 2:
        raise ValueError(f"dataset is a tuple of {len(dataset)}, but must be (x, t)")
    x, t = _arguments.as_array("x", dataset[0]), _arguments.as_array("t", dataset[1])
    if x.ndim == 0 or t.ndim == 0 or len(x) != len(t):
        raise ValueError(f"t has shape {t.shape}, but x has shape {x.shape}")
    held = _draw(t, share, rng)
    return (x[~held], t[~held]), (x[held], t[held])


def _labels(dataset: Dataset) -> NDArray[Any]:
    """The targets of a data set, known or read."""
    known = getattr(dataset, "labels", None)
    if known is not None:
        return np.asarray(known)
    starts = range(0, len(dataset), _READ)
    ends = [min(start + _READ, len(dataset)) for start in starts]
    parts = [dataset.batch(np.arange(*part))[1] for part in zip(starts, ends, strict=True)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _draw(t: NDArray[Any], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which samples are in the second part."""
    stratified = t.ndim == 1 and t.dtype.kind != "f"
    if stratified:
        classes, counts = np.unique(t, return_inverse=True, return_counts=True)[1:]
    else:
        classes, counts = np.zeros(len(t), np.intp), np.array([len(t)])
    held = np.zeros(len(t), bool)
    for label, count in enumerate(_apportion(counts, share)):
        members = np.flatnonzero(classes == label)
        held[rng.permutation(members)[:count]] = True
    if not 0 < held.sum() < len(t):
        raise ValueError(f"share is {share}: of {len(t)} samples that leaves a part empty")
    return held


def _apportion(counts: NDArray[np.integer[Any]], share: float) -> list[int]:
    """How many of each class are in the second part.

    The numbers sum up to that share of all, rounded: rounded down for each class, one more where
    most was lost; then both parts get one of every class that has two.
    """
    exact = counts * share
    wanted = np.floor(exact).astype(np.int64)
    missing = int(np.rint(counts.sum() * share)) - int(wanted.sum())
    wanted[np.argsort(wanted - exact, kind="stable")[: max(0, missing)]] += 1
    least, most = np.minimum(1, counts - 1), np.maximum(counts - 1, 0)
    return [int(number) for number in np.clip(wanted, least, most)]
