"""Files that are complete or absent: everything that the package writes is written here."""

from __future__ import annotations

import errno
import os
import stat
import sys
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
    pipe, cannot be replaced: it is written directly.

    The new file has no name until it is complete, so that a killed process leaves nothing behind
    (O_TMPFILE in open(2) of Linux). File systems that cannot do this, such as NFS, give it a name
    of 16 random digits from the start; there a killed process may leave it.

    Parameters
    ----------
    path : path-like
        The file; its folder exists.

    Yields
    ------
    Path
        An empty file, which this process can open by this path, but not rename.

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
    named = target.with_name(f".{os.urandom(8).hex()}.tmp")
    with _naming(path, named):
        descriptor, temporary = _create(named)
    with _naming(path, named, temporary):
        try:
            if sys.platform != "win32":  # which has no such modes
                if mode is not None and mode != os.fstat(descriptor).st_mode:
                    os.fchmod(descriptor, stat.S_IMODE(mode))
            yield temporary
            os.fsync(descriptor)
            if temporary != named:
                _link(descriptor, temporary, named)
            if sys.platform == "win32":  # a file that is open cannot be renamed
                os.close(descriptor)
                descriptor = -1
            named.replace(target)
            _sync_names(target.parent)
        except BaseException:
            with suppress(OSError):
                named.unlink()
            raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)


def _create(named: Path) -> tuple[int, Path]:
    """Create a file and open it, without a name if the file system can; return its path too.

    The mode is what the umask allows.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            descriptor = os.open(named.parent, os.O_TMPFILE | os.O_RDWR, 0o666)
            unnamed = Path(f"/proc/self/fd/{descriptor}")
            if unnamed.exists():
                return descriptor, unnamed
            os.close(descriptor)  # without /proc it could neither be opened again nor named
    # O_EXCL: never through an existing link. Windows would write other ends of lines.
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    return os.open(named, flags, 0o666), named


def _link(descriptor: int, unnamed: Path, named: Path) -> None:
    """Give a complete file its first name."""
    try:
        # Only with the descriptor of a folder, which an absolute path has no use for, does Python
        # make a link to the file and not to the symbolic link under /proc.
        os.link(unnamed, named, src_dir_fd=descriptor)
    except OSError:  # links may be forbidden
        import shutil

        shutil.copy(unnamed, named)
        with named.open("rb") as file:
            os.fsync(file.fileno())


def _mode(path: str | os.PathLike[str]) -> int | None:
    try:
        return Path(path).stat().st_mode
    except FileNotFoundError:
        return None


@contextmanager
def _naming(path: str | os.PathLike[str], *temporary: Path) -> Iterator[None]:
    """Make errors name `path` instead of the temporary file, whose paths are given.

    An error about something else, such as another file that is needed, is left alone.
    """
    names = [str(name) for name in temporary]
    try:
        yield
    except OSError as error:
        named = error.filename is not None and str(error.filename) not in names
        if error.errno is None or named:
            raise
        raise _error(error.errno, path) from error


def _error(number: int, path: str | os.PathLike[str]) -> OSError:
    return OSError(number, os.strerror(number), os.fspath(path))


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
