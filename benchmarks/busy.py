"""Other processes that use the cores."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_ENDLESS = "while True: pass"


@contextmanager
def one_core_taken() -> Iterator[None]:
    """Let another process compute endlessly on the last CPU that this one may use."""
    cpu = max(os.sched_getaffinity(0))
    with _process(f"import os\nos.sched_setaffinity(0, {{{cpu}}})\n{_ENDLESS}"):
        yield


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Let `processes` other processes compute endlessly, on any CPUs."""
    with ExitStack() as stack:
        for _ in range(processes):
            stack.enter_context(_process(_ENDLESS))
        yield


@contextmanager
def _process(program: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            yield
        finally:
            process.kill()
