"""How a job begins: the communicator, cores and threads, and the samples of each rank."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import ArrayLike

from pocketcnn import _arguments
from pocketcnn.data import Arrays, Dataset
from pocketcnn.distributed import failure, placement
from pocketcnn.distributed.communicator import Communicator
from pocketcnn.training.ranks import from_first, require_same
from pocketcnn.training.shares import Shard


def init(
    *, compression: Literal["bfloat16"] | None = None, threads: int | None = None
) -> Communicator:
    """Begin to work with the other processes that ``mpiexec`` has started; all must call it.

    From then on an exception that nothing catches ends all ranks, after its traceback; and if a
    rank is killed, a line on standard error says which.

    Parameters
    ----------
    compression : "bfloat16", optional
        Send gradients rounded to bfloat16: half the bytes, and a relative error of up to 0.4% in
        each term and in the sum.
    threads : int, optional
        How many threads each rank computes with; the cores of the machine divided by its ranks when
        not given, unless ``OMP_NUM_THREADS`` is set.

    Returns
    -------
    Communicator
        For ``Trainer(..., comm=comm)``; `comm.rank` and `comm.size` say which process this is.
        Without ``mpiexec`` there is one rank.

    Raises
    ------
    ImportError
        There is no mpi4py, or no MPI for it.

    Warns
    -----
    UserWarning
        The launcher has bound several ranks to the same core while others are free.
    """
    if compression not in (None, "bfloat16"):
        raise ValueError(f"compression is {compression!r}: wanted 'bfloat16' or None")
    if threads is not None:
        threads = _arguments.integer("threads", threads, 1)
    mpi = _mpi()
    several = mpi.Query_thread() == mpi.THREAD_MULTIPLE
    comm = Communicator(mpi.COMM_WORLD, compression=compression, threads=several)
    if comm.size > 1:
        failure.prepare(mpi.COMM_WORLD, comm)
        placement.settle(comm, threads)
    return comm


def scatter(dataset: Dataset | tuple[ArrayLike, ArrayLike] | None, comm: Communicator) -> Shard:
    """Divide a data set among the ranks; all must call it.

    A `Trainer` draws one order of the whole, and divides each batch: N ranks with batches of B
    train as one does with N * B. A rank reads only the samples of its own batches.

    Parameters
    ----------
    dataset : Dataset or (x, t)
        The same on all ranks. Ranks other than 0 may give None, and get a copy of rank 0's.
    comm : Communicator

    Returns
    -------
    Shard
        A data set of this rank's part: as many samples as the others', or one more or less.

    Examples
    --------
    >>> import numpy as np
    >>> len(scatter((np.zeros((5, 1, 2, 2)), [0, 1, 0, 1, 0]), init()))
    5
    """
    if dataset is not None and not isinstance(dataset, Dataset):
        dataset = Arrays(*dataset)
    given: Dataset | None = dataset
    if None in comm.gather(None if given is None else len(given)):
        given = from_first(comm, lambda: given)
        if given is None:
            raise ValueError("dataset is None on rank 0, which must have one")
    assert given is not None
    require_same(comm, {"the number of samples": len(given)})
    return Shard(given, comm.rank, comm.size)


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter if there is no library of MPI
        raise ImportError(
            "pocketcnn.distributed needs mpi4py and an MPI: pip install pocketcnn[mpi], or mpi4py "
            f"alone where the cluster has one ({error})"
        ) from error
    return MPI
