"""How a job ends when something goes wrong: at once, on all ranks, and with one message.

A rank that fails ends the others, which would wait for it for ever. A rank that is killed cannot
say so, and the launcher kills the others: so beside each rank there is a shell that waits for its
end. The first on a machine that sees one without a word says which it was; where the launcher was
faster than the shell, it is one of the others.
"""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pocketcnn.distributed.communicator import Communicator
from pocketcnn.training.ranks import from_first

# Lines that come in are hints for the message, "done" a good end, "told" one whose reason is
# printed. A file that only one process can make tells who was the first: the launcher is about to
# kill the others, so the shell makes it without starting a program.
_WATCH = """
while read -r line; do
    case $line in
        done) exit ;;
        told) sleep 2; rm -f "$1"; exit ;;
        *) hint="; $line" ;;
    esac
done
set -C
if { true >"$1"; } 2>/dev/null; then
    echo "pocketcnn: $2 was killed$hint" >&2
    sleep 2
    rm -f "$1"
fi
"""

_PATIENCE = 1.0
"""Seconds for which ranks other than 0 wait before they report an error: if all ranks have the
same, rank 0 has reported it by then."""


class _Job:
    """The job of this process, once it has several ranks."""

    def __init__(self, world: Any, comm: Communicator) -> None:
        self._world, self._rank = world, comm.rank
        name = from_first(comm, lambda: f"pocketcnn-{secrets.token_hex(8)}")
        self._mark = Path(tempfile.gettempdir()) / name
        who = f"rank {comm.rank} (process {os.getpid()} on {socket.gethostname()})"
        self._watch = subprocess.Popen(
            ["sh", "-c", _WATCH, "sh", str(self._mark), who],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # the launcher and Ctrl-C end this process, not the watch
        )

    @property
    def told(self) -> bool:
        """Whether a rank of this machine has said why all end."""
        return self._mark.exists()

    def say(self, line: str) -> None:
        """Tell the watch."""
        assert self._watch.stdin is not None
        with suppress(OSError, ValueError):
            self._watch.stdin.write(f"{line}\n".encode())
            self._watch.stdin.flush()

    def end(self, code: int) -> None:
        """End all ranks, when the reason is printed."""
        with suppress(OSError):
            self._mark.touch(exist_ok=False)
        self.say("told")
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        with suppress(OSError):  # MPI would add lines of its own
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self._world.Abort(code)

    def close(self) -> None:
        """End the watch."""
        self.say("done")
        assert self._watch.stdin is not None
        with suppress(OSError, ValueError):
            self._watch.stdin.close()
        self._watch.wait()


_job: _Job | None = None


def prepare(world: Any, comm: Communicator) -> None:
    """Let errors of this process end all ranks from now on, and watch it."""
    global _job
    if _job is not None:
        return
    _job = job = _Job(world, comm)
    atexit.register(job.close)
    report = sys.excepthook

    def end_all(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        hold_back(comm.rank)
        with suppress(OSError, ValueError):
            print(f"pocketcnn: rank {comm.rank} of {comm.size} failed:", file=sys.stderr)
        report(kind, error, trace)
        job.end(1)

    sys.excepthook = end_all


def hold_back(rank: int) -> None:
    """Wait before an error is reported, for rank 0 to report the same, which then ends this."""
    if rank == 0:
        return
    with suppress(KeyboardInterrupt):  # some launchers terminate before they kill
        time.sleep(_PATIENCE)
    if _job is not None and _job.told:
        os._exit(1)


def end_at_exit(code: int) -> None:
    """End all ranks when this process ends, which prints its error before."""
    if _job is not None:
        atexit.register(_job.end, code)


def advise(text: str) -> None:
    """Add to the message about a rank that is killed what to do then."""
    if _job is not None:
        _job.say(text)
