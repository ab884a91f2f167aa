"""Files that are whole or not there: everything that the package writes is written here."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary file to write, and put it in the place of `path` at the end.

    The bytes go to a new file in the same folder, to the disk, and only then under the name
    `path`. A process that is killed, or a disk that is full, at any moment leaves the previous
    file whole, and of several writers the last one wins. Through a symbolic link its target is
    written. What is not a regular file, such as a pipe, cannot be replaced: the bytes go
    straight into it.

    Parameters
    ----------
    path : path-like
        The file; its folder exists.

    Yields
    ------
    Path
        An empty file, of a name that nobody else uses and that ends in ``.tmp``.

    Raises
    ------
    OSError
        The file cannot be written; the error names `path`, and the temporary file is gone.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with write_atomically(Path(folder, "a.txt")) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     print(Path(folder, "a.txt").read_text(), os.listdir(folder))
    whole ['a.txt']
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        yield target
        return
    # Short and independent of the name: a name may be as long as the file system allows.
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        # O_EXCL: never through a link that somebody has put there. The mode is the previous
        # file's, or what the umask leaves.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = (target if target.exists() else temporary).stat().st_mode
        yield temporary
        temporary.chmod(mode)
        _sync(temporary)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno is None:
            raise  # about something else than this file, such as a connection
        raise _naming(error.errno, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _naming(number: int, path: str | os.PathLike[str]) -> OSError:
    """Return the error about `path`: the temporary name tells nobody anything."""
    return OSError(number, os.strerror(number), os.fspath(path))


def _sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to the disk."""
    if path.is_dir() and os.name != "posix":
        return  # other systems do not open folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
