"""The book's parameter files: a pickled dict of NumPy arrays.

A pickle is a program for a small stack machine, and Python's own machine calls whatever the program
names. The one in :mod:`pocketcnn._files.pickle_machine`, with the names in
:mod:`pocketcnn.scratch.pickled`, can do nothing but put a file's bytes into arrays.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from os import PathLike, fspath

import numpy as np

from pocketcnn._arguments import Array
from pocketcnn._files.atomic import write_atomically
from pocketcnn._files.reading import open_regular
from pocketcnn._text import excerpt
from pocketcnn.scratch.pickled import read_arrays


def load_params(file_name: str | PathLike[str] = "params.pkl") -> dict[str, Array]:
    """Read a file of parameters, such as the book's ``params.pkl``.

    Parameters
    ----------
    file_name : path
        A pickled dict of names and NumPy arrays, of any protocol and version of NumPy.

    Returns
    -------
    dict of str to ndarray
        C-contiguous, writeable, in the dtype of the file.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If the file contains, or calls, anything but numbers in arrays; none of it is run.
    """
    with open_regular(file_name) as file:
        content = file.read()
    try:
        return read_arrays(content)
    # A damaged file can make the reader fail in any way; all mean the same to the caller.
    except Exception as error:
        raise ValueError(
            f"{fspath(file_name)} is not a file of NumPy arrays by name: {excerpt(error)}"
        ) from error


def save_params(params: Mapping[str, Array], file_name: str | PathLike[str] = "params.pkl") -> None:
    """Write parameters as the book's own code does, which can read them.

    Parameters
    ----------
    params : mapping of str to ndarray
    file_name : path
        An existing file is replaced in one step.

    Raises
    ------
    OSError
        If the file cannot be written; it is left as it was.
    """
    with write_atomically(file_name) as temporary, temporary.open("wb") as file:
        pickle.dump({name: np.asarray(value) for name, value in params.items()}, file)
