"""`pocketcnn train --distributed`: processes that train together, of which the first speaks.

Rank 0 has the folder of the run, and prints. What all ranks raise, it reports; what one rank alone
raises, that one does, and all end.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from pocketcnn import distributed
from pocketcnn.commands import console
from pocketcnn.commands.options import Options
from pocketcnn.distributed import failure
from pocketcnn.training.ranks import Alone, from_first

Ranks: TypeAlias = "Alone | distributed.Communicator"


class Paused(Exception):  # noqa: N818  # it is no error
    """One of the ranks was asked to stop, and all have, after the same step."""


@contextmanager
def ranks(arguments: argparse.Namespace) -> Iterator[Ranks]:
    """Begin to work with the other ranks, if that is asked for; if one fails, all end."""
    if not arguments.distributed:
        yield Alone()
        return
    comm = distributed.init(threads=arguments.threads)
    try:
        yield comm
    except BaseException as error:
        if isinstance(error.__cause__, Paused):
            raise
        failure.hold_back(comm.rank)
        code = console.describe_stop(error)[1] if isinstance(error, KeyboardInterrupt) else 1
        failure.end_at_exit(code)
        raise


def end_after(code: int, words: Sequence[str]) -> None:
    """End all ranks after this one has reported that it does not take these words.

    If all ranks have them, rank 0 reports it.
    """
    if "--distributed" in words:
        with suppress(ImportError):
            failure.hold_back(distributed.init().rank)
            failure.end_at_exit(code)


def apply(options: Options, comm: Ranks) -> None:
    """Let the ranks sum gradients as the options say."""
    if isinstance(comm, distributed.Communicator):
        comm.compression = "bfloat16" if options.compress else None


@contextmanager
def folder_of(comm: Ranks, made: AbstractContextManager[Path]) -> Iterator[Path]:
    """Make or hold the folder of a run on rank 0, and tell it to all ranks."""
    if comm.rank > 0:
        yield from_first(comm, Path)
        return
    with made as folder:
        yield from_first(comm, lambda: folder)


def again(comm: Ranks, folder: Path) -> str:
    """Return the command with which the run goes on."""
    if comm.size == 1:
        return console.command("train", "--resume", str(folder))
    command = console.command("train", "--distributed", "--resume", str(folder))
    return f"mpiexec -n {comm.size} {command}"


def advise(comm: Ranks, folder: Path) -> None:
    """Let the line about a killed rank say how the run goes on."""
    failure.advise(f"continue with: {again(comm, folder)}")
