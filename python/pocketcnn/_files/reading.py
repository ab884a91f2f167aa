"""Foreign files, opened without blocking."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from io import BufferedReader
from typing import Any

from pocketcnn._text import excerpt


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading bytes.

    A pipe without a writer would block its reader for ever, and a device has no end.

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
        As `open_regular`, or the file is not JSON; the message names the file.
    """
    with open_regular(path) as file:
        content = file.read()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is not valid JSON: {excerpt(error)}") from error


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    OSError
        As `open_regular`.
    ValueError
        As `open_regular`, or the file is not TOML; the message names the file.
    ImportError
        This is Python 3.10, whose standard library cannot read TOML, and tomli is not installed.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            raise ImportError("TOML files need Python 3.11 or tomli: pip install tomli") from None
    with open_regular(path) as file:
        content = file.read()
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is not valid TOML: {excerpt(error)}") from error
