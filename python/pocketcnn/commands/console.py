"""What the command line prints, and the streams and signals around it.

Results go to standard output, everything else to standard error. Either may be closed or full, or
have an encoding that lacks a letter. Names from foreign files may contain control characters.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TextIO

from pocketcnn._text import printable
from pocketcnn.training.progress import ProgressBar

# Longer messages quote a foreign file at length.
_LONGEST = 1000

# What the library documents; any other exception is a bug in it.
_FORESEEN = (ValueError, TypeError, OSError, ImportError, FloatingPointError, RuntimeError)


def say(text: str = "", *, flush: bool = False) -> None:
    """Print lines of results.

    Raises
    ------
    BrokenPipeError
        The reader has closed the pipe.
    OSError
        Standard output cannot be written; the error says so.
    """
    _write("\n".join(map(printable, text.split("\n"))) + "\n")
    if flush:
        flush_output()


def flush_output() -> None:
    """Flush standard output; raises as `say` does."""
    if sys.stdout is not None:
        with _named():
            sys.stdout.flush()


def warn(text: str) -> None:
    """Print one line on standard error, if there is one to print to."""
    complain(f"pocketcnn: {text}")


def complain(line: str) -> None:
    """Print a line on standard error, and ignore failures."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"{_encodable(one_line(line), sys.stderr)}\n")
            sys.stderr.flush()


def one_line(text: str) -> str:
    """Return `text` as one line of moderate length without control characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def explain(error: BaseException) -> str:
    """Return what went wrong: the library's own message, or the type of an unexpected error."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, _FORESEEN) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"


def command(*words: str) -> str:
    """Return a command of this program as it is typed in a shell."""
    return f"pocketcnn {shlex.join(words)}"


def line_length() -> int | None:
    """Return how many columns a line of results may take; None if output is not a terminal."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def progress() -> ProgressBar:
    """Make the table of epochs, which is a result, and the progress bar, which is not."""
    nowhere = io.StringIO()
    return ProgressBar(stream=sys.stderr or nowhere, table=sys.stdout or nowhere)


@contextlib.contextmanager
def counter(total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` things are done, while results go somewhere else than a terminal.

    In a terminal the results themselves show it.

    Yields
    ------
    callable
        To be told how many are done.
    """
    seen = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if not seen or line_length() is not None or total < 2:
        yield lambda _done: None
        return
    from tqdm import tqdm  # type: ignore[import-untyped]  # here, because importing it is slow

    with tqdm(
        total=total,
        unit=f" {unit}s",
        file=sys.stderr,
        leave=False,
        dynamic_ncols=True,
        ascii=True if os.environ.get("NO_COLOR") else None,
    ) as bar:
        yield lambda done: bar.update(done - bar.n)


def abandon_output() -> None:
    """Discard what is still to be printed: Python would fail on it again when it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fill_standard_streams() -> None:
    """Open those of the descriptors 0 to 2 that are closed, so that no file takes their numbers."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


class Terminated(KeyboardInterrupt):
    """A request to end this process: by a scheduler, `kill`, or a closed terminal."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


def describe_stop(interrupt: KeyboardInterrupt) -> tuple[str, int]:
    """Return the word for what happened, and the exit code that shells give it."""
    if isinstance(interrupt, Terminated):
        return "terminated", 128 + interrupt.signum
    return "interrupted", 128 + signal.SIGINT


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn requests to end into `Terminated` and Python's warnings into single lines."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _terminate)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def pausing(pause: Callable[[], None]) -> Iterator[list[KeyboardInterrupt]]:
    """Let the first request to end this process call `pause`, and only the next one end it.

    Yields
    ------
    list of KeyboardInterrupt
        What the first request would have raised, once there was one.
    """
    asked: list[KeyboardInterrupt] = []

    def answer(signum: int, _frame: object) -> None:
        request = KeyboardInterrupt() if signum == signal.SIGINT else Terminated(signum)
        if asked:
            raise request
        asked.append(request)
        pause()
        if signum == signal.SIGINT and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # the bar is being written
                sys.stderr.write("\nstopping after this step; Ctrl-C again stops at once\n")

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # A program in the background ignores SIGINT.
            if number and signal.getsignal(number) in (signal.default_int_handler, _terminate):
                before[number] = signal.signal(number, answer)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(signum: int, _frame: object) -> None:
    raise Terminated(signum)


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    warn(f"warning: {message}")


def _write(text: str) -> None:
    if sys.stdout is not None:
        with _named():
            sys.stdout.write(_encodable(text, sys.stdout))


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        abandon_output()
        raise OSError(error.errno, error.strerror, "standard output") from error
