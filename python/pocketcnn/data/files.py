"""Foreign files: only regular files are opened, and errors in their content name the file."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def as_path(name: str, value: str | os.PathLike[str]) -> Path:
    """Return the argument `name` as a path."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is {value!r}, but must be a str or path-like")
    path = os.fspath(value)
    if not path or "\0" in path:
        raise ValueError(f"{name} is {value!r}, but must name a file or a folder")
    return Path(path)


def as_folder(name: str, value: str | os.PathLike[str]) -> Path:
    """Return the argument `name` as a folder that exists."""
    folder = as_path(name, value)
    if not folder.is_dir():
        raise FileNotFoundError(f"{name} {os.fspath(value)!r} is not a folder")
    return folder


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading; a pipe or a device might block or never end.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is a folder, a pipe or a device.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is not a regular file")
    return path.open("rb")


@contextmanager
def blaming(path: Path, kind: str) -> Iterator[None]:
    """Turn any error that the content of a file causes into a ValueError that names the file.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What it is read as, with its article.
    """
    try:
        yield
    except Exception as error:
        # A bad offset makes a seek invalid (EINVAL); all other numbers are real system errors.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as {kind}: {reason:.200}") from error
