"""What a program may ask of, and tell, the library as a whole: threads, instruction set, memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pocketcnn import _core
from pocketcnn.arguments import integer


def get_num_threads() -> int:
    """Threads that a large operation uses when called from here, now.

    :func:`set_num_threads` if it was called, else ``OMP_NUM_THREADS``, else the smaller of the
    process's CPU affinity and its control group's CPU quota; never more than a limit that
    threadpoolctl sets. In a forked child 1. Results do not depend on it, to the last bit.
    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Use up to `n` threads (1 to 1024) in large operations, in the whole process.

    Raises
    ------
    TypeError, ValueError
        If n is not an int, or outside 1 to 1024.
    """
    n = integer("n", n, 1)
    if n > 1024:
        raise ValueError(f"n is {n}, but at most 1024 threads can be asked for")
    _core.set_num_threads(n)


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use up to `n` threads within a ``with`` block.

    Examples
    --------
    >>> with num_threads(1):
    ...     get_num_threads()
    1
    """
    before = _core.get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        _core.set_num_threads(before)


def isa() -> str:
    """The instruction set in use: "avx512", "avx2" or "baseline".

    The best that the machine has, or the one that the environment variable ``POCKETCNN_ISA``
    names when the package is imported.
    """
    return _core.isa()


def available_isas() -> list[str]:
    """The instruction sets that this machine can run, best first."""
    return _core.available_isas()


def show_config() -> None:
    """Print what this installation is and what it runs on."""
    # Imported here: these two would cost the package's import more than all the rest.
    import platform
    from importlib.metadata import version

    in_use, cached = _core.memory_use()
    rows = {
        "pocketcnn": version("pocketcnn"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.machine()}, {platform.system()}",
        "instruction set": f"{isa()} (available: {', '.join(available_isas())})",
        "threads": str(get_num_threads()),
        "memory pool": f"{in_use / 2**20:.1f} MiB in use, {cached / 2**20:.1f} MiB kept for reuse",
    }
    for name, value in rows.items():
        print(f"{name:<16} {value}")
