"""Settings and state of the whole library: threads, teams, instruction set."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pocketcnn import _core
from pocketcnn._arguments import integer

_MOST_THREADS = 1024

if _complaint := _core.num_threads_complaint():
    warnings.warn(_complaint, RuntimeWarning, stacklevel=2)


def get_num_threads() -> int:
    """Threads that a large operation would use if it were called here and now.

    The number of the innermost enclosing :func:`num_threads` block, else that of
    :func:`set_num_threads` if it was called, else ``OMP_NUM_THREADS``, else the smaller of the
    calling thread's CPU affinity and the control group's CPU quota. Never more than a limit set by
    threadpoolctl, if that is lower than the number of threads OpenMP began with (an equal limit
    cannot be told from none). In a forked child 1. Results have the same bits for any number.

    The affinity may change at any time, and running loops follow within a tenth of a second; the
    quota and ``OMP_NUM_THREADS`` are read once, when the package is imported. A value of
    ``OMP_NUM_THREADS`` above 1024 means 1024, and one that is not a number is ignored, both with a
    RuntimeWarning.
    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Use up to `n` threads (1 to 1024) in large operations, in the whole process.

    Inside a :func:`num_threads` block of the same thread it changes the number of the block, until
    the block ends.

    Raises
    ------
    TypeError, ValueError
        If n is not an int, or is outside 1 to 1024.
    """
    _core.set_num_threads(_checked(n))


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use up to `n` threads within a ``with`` block.

    Blocks of several threads may overlap in any order: each has its own number. A thread without a
    block follows the latest request that has not ended: a block of another thread or
    `set_num_threads`.

    Examples
    --------
    >>> with num_threads(1):
    ...     get_num_threads()
    1
    """
    block = _core.begin_thread_block(_checked(n))
    try:
        yield
    finally:
        _core.end_thread_block(block)


def _checked(n: int) -> int:
    n = integer("n", n, 1)
    if n > _MOST_THREADS:
        raise ValueError(f"n is {n}, but at most {_MOST_THREADS} threads can be asked for")
    return n


def team() -> str:
    """The team of threads that shares the work with the calling thread: "openmp" or "own".

    The default of this build, or the one that the environment variable ``POCKETCNN_TEAM`` names
    when the package is imported, or that :func:`set_team` chose. Both give the same bits.

    "openmp" are the threads of OpenMP's runtime, one team per calling thread, shared with other
    libraries that use the same runtime from that thread; each loop ends only when every thread of
    the team has finished. "own" are the library's own helpers, one team per process; a loop does
    not wait for helpers whose cores other processes use.
    """
    return _core.team()


def available_teams() -> list[str]:
    """The teams of threads in this build; without OpenMP there is only "own"."""
    return _core.available_teams()


def set_team(name: str) -> None:
    """Use another team of :func:`available_teams` for large operations, in the whole process.

    It is used from the next loop on, in all threads. The threads of the previous team sleep.

    Raises
    ------
    TypeError, ValueError
        If name is not a str, or not a team of this build.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, but is {type(name).__name__}")
    if name not in available_teams():
        raise ValueError(f"name is {name!r}, but this build has: {', '.join(available_teams())}")
    _core.use_team(name)


def isa() -> str:
    """The instruction set in use: "avx512", "avx2" or "baseline".

    The best that the machine supports, or the one that the environment variable ``POCKETCNN_ISA``
    names when the package is imported.
    """
    return _core.isa()


def available_isas() -> list[str]:
    """The instruction sets that this machine can run, best first."""
    return _core.available_isas()


def show_config() -> None:
    """Print what this installation is and what it runs on."""
    # Imported here: these two would take longer to import than the rest of the package.
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
        "thread team": f"{team()} (available: {', '.join(available_teams())})",
        "memory pool": f"{in_use / 2**20:.1f} MiB in use, {cached / 2**20:.1f} MiB kept for reuse",
    }
    for name, value in rows.items():
        print(f"{name:<16} {value}")
