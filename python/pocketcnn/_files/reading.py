"""Files that somebody else wrote: opened without waiting, and quoted in one line."""

from __future__ import annotations

import errno
import json
import os
import stat
from io import BufferedReader
from typing import Any

from pocketcnn._text import printable


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading bytes.

    A pipe that nobody writes to would keep its reader waiting for ever, and a device has no end.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    OSError
        There is no such file, or it cannot be opened.
    ValueError
        It is a pipe or a device.
    """
    name = os.fspath(path)
    descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    raise ValueError(f"{name} is a pipe or a device, but must be a regular file")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    OSError
        As `open_regular`.
    ValueError
        As `open_regular`, or the file holds no JSON; the message names the file.
    """
    with open_regular(path) as file:
        content = file.read()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is not valid JSON: {excerpt(error)}") from error


def excerpt(text: object, limit: int = 200) -> str:
    r"""Return foreign text as one line that may be shown: escaped, and cut in the middle.

    Names and messages that come out of a file may hold line ends, commands to a terminal, or
    megabytes.

    Parameters
    ----------
    text : object
        A string, or what `str` makes one of, such as an error.
    limit : int
        The most characters that are returned.

    Examples
    --------
    >>> print(excerpt("cat\x1b[2J\n"), excerpt("x" * 1000, 20))
    cat\x1b[2J\n xxxxxxxxxx ... xxxxx
    """
    # First cut: a megabyte is not escaped to be thrown away.
    return _cut(printable(_cut(str(text), limit)), limit)


def _cut(text: str, limit: int) -> str:
    """Leave out the middle of a text: what an error wanted stands at its end."""
    if len(text) <= limit:
        return text
    gap = " ... "
    tail = (limit - len(gap)) // 3
    return text[: limit - len(gap) - tail] + gap + text[len(text) - tail :]
