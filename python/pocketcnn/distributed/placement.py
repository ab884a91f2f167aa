"""Cores and threads: how the ranks of one machine divide its cores."""

from __future__ import annotations

import os
import socket
import warnings
from typing import NamedTuple

from pocketcnn.config import get_num_threads, set_num_threads
from pocketcnn.distributed.communicator import Communicator


class Place(NamedTuple):
    """Where a rank runs: its machine, the cores that it may use, and how many it has time for."""

    machine: str
    cores: frozenset[int]
    usable: int


def settle(comm: Communicator, threads: int | None) -> None:
    """Say if ranks are bound to too few cores, and choose how many threads this one uses.

    Parameters
    ----------
    comm : Communicator
    threads : int or None
        As the user wishes.
    """
    own = Place(socket.gethostname(), frozenset(os.sched_getaffinity(0)), get_num_threads())
    beside = [place for place in comm.gather(own) if place.machine == own.machine]
    if (complaint := crowded(beside, os.cpu_count() or 1)) and comm.rank == 0:
        warnings.warn(complaint, stacklevel=3)
    if threads is not None:
        set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        set_num_threads(threads_of(own, beside))


def crowded(places: list[Place], cores: int) -> str | None:
    """Say if the ranks of a machine may together use fewer cores than they are, and it has more.

    >>> bound = Place("node1", frozenset({0}), 1)
    >>> crowded([bound, bound], 8)  # doctest: +ELLIPSIS
    '2 ranks on node1 may use only 1 of its 8 cores: ...'
    >>> crowded([bound, Place("node1", frozenset({1}), 1)], 8)
    """
    allowed = frozenset[int]().union(*(place.cores for place in places))
    if len(allowed) >= min(len(places), cores):
        return None
    return (
        f"{len(places)} ranks on {places[0].machine} may use only {len(allowed)} of its {cores} "
        "cores: tell the launcher not to bind them to the same (Open MPI: --bind-to none; MPICH: "
        "-bind-to none; Slurm: --cpus-per-task)"
    )


def threads_of(own: Place, places: list[Place]) -> int:
    """Return a rank's part of the cores that it shares with others, at least 1.

    >>> free = Place("node1", frozenset(range(8)), 8)
    >>> threads_of(free, [free] * 2)
    4
    """
    sharing = sum(not own.cores.isdisjoint(place.cores) for place in places)
    return max(1, own.usable // max(1, sharing))
