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
        x_train, x_test = (arrays[f"x_{name}"][:, np.newaxis] for name in ("train", "test"))
        t_train, t_test = (arrays[f"t_{name}"].astype(np.int64) for name in ("train", "test"))
    return (x_train, t_train), (x_test, t_test)
