"""Files that are complete or absent: everything that the package writes is written here."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file to write, and rename it to `path` at the end.

    The bytes are written to a new file in the same folder and flushed to the disk, and only then
    renamed to `path`. If the process is killed at any moment, or the disk is full, the previous
    file stays complete; of several writers the last one wins. A symbolic link's target is replaced,
    not the link. A write-protected file is not replaced. What is not a regular file, such as a
    pipe, cannot be replaced: it is written directly. A process that is killed may leave the
    temporary file behind.

    Parameters
    ----------
    path : path-like
        The file; its folder exists.

    Yields
    ------
    Path
        An empty file with a unique name that ends in ``.tmp``.

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
    ...     Path(folder, "a.txt").read_text()
    'whole'
    """
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode):
            raise _error(errno.EISDIR, path)
        with _naming(path):
            yield Path(path)
        return
    if mode is not None and not os.access(path, os.W_OK):
        raise _error(errno.EACCES, path)
    target = Path(os.path.realpath(path))
    # Short and independent of the name: a name may be as long as the file system allows.
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    with _naming(path, temporary):
        try:
            # O_EXCL: never through an existing link. The mode is the previous file's, or what the
            # umask allows.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            if mode is not None and mode != temporary.stat().st_mode:
                temporary.chmod(stat.S_IMODE(mode))
            yield temporary
            _sync(temporary)
            temporary.replace(target)
            _sync_names(target.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def _mode(path: str | os.PathLike[str]) -> int | None:
    try:
        return Path(path).stat().st_mode
    except FileNotFoundError:
        return None


@contextmanager
def _naming(path: str | os.PathLike[str], temporary: Path | None = None) -> Iterator[None]:
    """Make errors name `path` instead of the temporary file.

    An error about something else, such as another file that is needed, is left alone.
    """
    try:
        yield
    except OSError as error:
        named = error.filename is not None and str(error.filename) != str(temporary)
        if error.errno is None or named:
            raise
        raise _error(error.errno, path) from error


def _error(number: int, path: str | os.PathLike[str]) -> OSError:
    return OSError(number, os.strerror(number), os.fspath(path))


def _sync(path: Path) -> None:
    """Force a file's bytes to the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_names(folder: Path) -> None:
    """Force a folder's list of names to the disk, if system and permissions allow it."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EBADF):  # no such thing on this file system
                raise
        finally:
            os.close(descriptor)
