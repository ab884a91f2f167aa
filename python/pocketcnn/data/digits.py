"""The handwritten digits that are part of the package, so that a first run needs no download.

They are the first 5,000 training and the first 1,000 test images of MNIST by Yann LeCun,
Corinna Cortes and Christopher J. C. Burges (http://yann.lecun.com/exdb/mnist/), available under
the Creative Commons Attribution-Share Alike 3.0 licence; `digits.LICENSE.txt` beside the file
says so too. The images and labels are unchanged. `tools/make_digits.py` rebuilds the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TRAIN = 5_000

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]


def digits() -> tuple[Split, Split]:
    """Return the 6,000 built-in MNIST images.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of tuples of arrays
        `x_train` uint8 (5000, 1, 28, 28), `t_train` int64 (5000,),
        `x_test` uint8 (1000, 1, 28, 28), `t_test` int64 (1000,); fresh arrays at every call.

    Examples
    --------
    >>> from pocketcnn import data
    >>> (x_train, t_train), (x_test, t_test) = data.digits()
    >>> x_train.shape, t_train[:8].tolist()
    ((5000, 1, 28, 28), [5, 0, 4, 1, 9, 2, 1, 3])
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as arrays:
        labels = arrays["labels"].astype(np.int64)
        bits = np.unpackbits(arrays["ink"], count=labels.size * 28 * 28)
        ink = bits.reshape(labels.size, 28, 28).astype(bool)
        images = np.zeros((labels.size, 1, 28, 28), np.uint8)
        grey = np.empty(arrays["grey"].size, np.uint8)
        grey[by_neighbours(ink)] = arrays["grey"]
    images[:, 0][ink] = grey
    train, test = slice(_TRAIN), slice(_TRAIN, None)
    return (images[train].copy(), labels[train].copy()), (images[test].copy(), labels[test].copy())


def by_neighbours(ink: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Order the pixels with ink by how many of their eight neighbours have some.

    The file stores their grey values in this order, because those within a stroke are nearly all
    253, and those at its edge are not: it is a fifth smaller than with the images as they are.

    Parameters
    ----------
    ink : ndarray of bool, (N, H, W)

    Returns
    -------
    ndarray of int
        Places among the pixels with ink, which are numbered as in memory.
    """
    height, width = ink.shape[1:]
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1))).view(np.uint8)
    neighbours = np.zeros(ink.shape, np.uint8)
    for top, left in np.ndindex(3, 3):
        neighbours += padded[:, top : top + height, left : left + width]
    return np.argsort(neighbours[ink], kind="stable")
