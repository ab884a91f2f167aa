"""The first moments of the command `pocketcnn`: Ctrl-C while it is still being imported.

Python would print a traceback out of some import. Instead the process ends with one line and the
exit code of an interrupted run; there is nothing to undo yet.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Exit at once, with one line, if the user interrupts the block."""
    import signal  # only the command needs it

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # ignored, as in a script's background job, or the user's own handler
        return
    with suppress(ValueError):  # only the main thread gets signals
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(signum: int, _frame: object) -> None:
    # Not an exception: an import interrupted in C code may turn it into another exception.
    with suppress(OSError):
        os.write(2, b"pocketcnn: interrupted\n")
    os._exit(128 + signum)


# The package is imported before the first line of `__main__.py` runs. While `python -m` looks for
# that file, the program is called "-m".
if (getattr(sys, "argv", None) or [""])[0].rpartition(os.sep)[2] in ("pocketcnn", "-m"):
    with quiet_interrupts():
        import_module("pocketcnn.config")
