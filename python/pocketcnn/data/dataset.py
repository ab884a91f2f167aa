"""What a data set is: samples that are asked for by number, a batch at a time.

Whoever trains or measures decides the order. A data set that reads files needs no memory but for
the batches that are asked for.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pocketcnn import _arguments
from pocketcnn._arguments import Array
from pocketcnn.data.digest import digest

Indices = NDArray[np.integer[Any]]


@runtime_checkable
class Dataset(Protocol):
    """Anything with a length and batches.

    A data set may also have

    - `labels`, int64 (N,), or None: the label of every sample, known without reading one;
    - `classes`, a list of str, or None: their names;
    - `digest()`, a str that changes with the images, and with targets that are not labels, such as
      one made of the files' names and sizes: a checkpoint recognises its data by it. Without one,
      it knows their number and their labels.
    """

    def __len__(self) -> int:
        """How many samples there are."""

    def batch(self, indices: Indices, /) -> tuple[Array, Array]:
        """Return the images (n, C, H, W) and targets (n, ...) of some samples.

        A training calls it in a thread of its own, one call at a time, and may change the arrays.

        Parameters
        ----------
        indices : ndarray of int (n,)
            Numbers from 0 to the length, in any order.
        """


class Arrays:
    """Arrays in memory as a data set, without a copy.

    Parameters
    ----------
    x : array_like (N, C, H, W)
        Images of any type.
    t : array_like (N, ...)
        Targets.
    classes : list of str, optional
        Names of the classes.

    Examples
    --------
    >>> data = Arrays(np.zeros((5, 1, 2, 2), np.uint8), [0, 1, 0, 1, 0])
    >>> len(data), data.labels
    (5, array([0, 1, 0, 1, 0]))
    """

    def __init__(self, x: ArrayLike, t: ArrayLike, classes: list[str] | None = None) -> None:
        self.x, self.t = _arguments.as_array("x", x), _arguments.as_array("t", t)
        for name, array in (("x", self.x), ("t", self.t)):
            if array.ndim == 0:
                raise ValueError(f"{name} is one number, but must have a sample in every row")
        if len(self.x) != len(self.t):
            raise ValueError(f"t has shape {self.t.shape}, but x has {len(self.x)} images")
        self.classes = classes

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The targets if they are labels, int (N,); None if they are something else."""
        return self.t.astype(np.int64, copy=False) if _are_labels(self.t) else None

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: Indices, /) -> tuple[Array, Array]:
        """Copy some samples."""
        # np.take would copy the whole of an array that is not contiguous.
        return np.ascontiguousarray(self.x[indices]), self.t[indices]

    def digest(self) -> str:
        """Return a digest of the images, and of targets that are no labels."""
        return digest(self.x) if _are_labels(self.t) else f"{digest(self.x)} {digest(self.t)}"


class Subset:
    """Some samples of a data set, in an order of their own.

    Parameters
    ----------
    dataset : Dataset
    indices : array_like of int (n,)
        Which samples.

    Examples
    --------
    >>> data = Subset(Arrays(np.zeros((5, 1, 2, 2)), [0, 1, 2, 3, 4]), [3, 1])
    >>> data.batch(np.array([1, 0]))[1]
    array([1, 3])
    """

    def __init__(self, dataset: Dataset, indices: ArrayLike) -> None:
        found = _arguments.as_array("indices", indices)
        if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size > 0):
            raise TypeError(f"indices is {found.dtype} {found.shape}, but must be int (n,)")
        if found.size and not 0 <= int(found.min()) <= int(found.max()) < len(dataset):
            raise ValueError(
                f"indices has {int(found.min())} to {int(found.max())}, but the data set has "
                f"{len(dataset)} samples"
            )
        self.dataset = dataset
        self.indices = found.astype(np.intp)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The labels of the samples, if the data set knows them."""
        labels = getattr(self.dataset, "labels", None)
        return None if labels is None else np.asarray(labels, np.int64)[self.indices]

    @property
    def classes(self) -> list[str] | None:
        """The names of the classes, if the data set knows them."""
        return getattr(self.dataset, "classes", None)

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Indices, /) -> tuple[Array, Array]:
        """Take some of the samples from the data set."""
        return self.dataset.batch(self.indices[indices])

    def digest(self) -> str:
        """Return a digest of the data set and the indices."""
        return f"{identify(self.dataset)[0]} {digest(self.indices)}"


def identify(dataset: Dataset) -> tuple[str | None, str | None]:
    """Return digests of the images and of the labels, each None where the data set has none.

    Examples
    --------
    >>> data = Arrays([[1.0], [2.0]], [0, 1])
    >>> identify(data) == (digest(data.x), digest(data.t))
    True
    """
    own, labels = getattr(dataset, "digest", None), getattr(dataset, "labels", None)
    return (
        str(own()) if callable(own) else None,
        None if labels is None else digest(np.asarray(labels)),
    )


def _are_labels(t: Array) -> bool:
    return t.ndim == 1 and t.dtype.kind in "iu"
