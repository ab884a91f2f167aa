"""Training in several processes: measured, beside what ``pocketcnn bench --scale`` would predict.

    mpiexec -n 2 python -m benchmarks.distributed --network resnet18 --batch-size 4

The network between the ranks is measured, and what it should allow is predicted. Networks of less
bandwidth are imitated: each sum of gradients takes as long as the model of
`pocketcnn.distributed.scaling` says, at least. `benchmarks.links` has real ones.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

import pocketcnn as pc
from pocketcnn._arguments import Array
from pocketcnn.commands.recipe import MODELS
from pocketcnn.distributed.communicator import Communicator, Span
from pocketcnn.distributed.scaling import MeasuredStep, Network, measure_step

_LONG = 2**22  # bytes of the messages whose time tells the bandwidth


class Slowed(Communicator):
    """A communicator whose sums of gradients take as long as over a given network."""

    network: Network | None = None

    def _sum(self, piece: Array, result: Array, onto: bool) -> Array:
        start = time.perf_counter()
        summed = super()._sum(piece, result, onto)
        if self.network is not None:
            due = start + self.network.sum_seconds(piece.nbytes, self.size)
            time.sleep(max(0.0, due - time.perf_counter()))
        return summed


def main() -> None:
    """Measure, and print on rank 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=MODELS, default="resnet18")
    parser.add_argument("--batch-size", type=int, default=4, help="of each rank")
    parser.add_argument("--size", type=int, default=224, help="of the images")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--bandwidths", default="10,1,0.1", help="in Gbit/s")
    parser.add_argument("--timeline", type=Path, help="draw the last steps of all ranks")
    options = parser.parse_args()
    pc.distributed.init()  # threads, and an end for all if one fails
    from mpi4py import MPI

    comm = Slowed(MPI.COMM_WORLD)
    channels = 1 if options.size == 28 else 3
    shape = (channels, options.size, options.size)
    net = MODELS[options.network](10, input_shape=shape, seed=0)
    alone = measure_step(net, pc.optim.SGD(0.001, 0.9), options.batch_size, options.steps)
    trainer = pc.Trainer(
        net, pc.optim.SGD(0.001, 0.9), batch_size=options.batch_size, comm=comm, clip_norm=1e9
    )
    rng = np.random.default_rng(comm.rank)
    x = rng.random((options.batch_size, *shape), dtype=np.float32)
    t = rng.integers(0, 10, len(x))
    real = _measured(MPI.COMM_WORLD)
    networks: list[tuple[Network | None, Network]] = [(None, real)]
    for gbit in map(float, filter(None, options.bandwidths.split(","))):
        imitated = Network(gbit * 1e9 / 8, 50e-6)
        networks.append((imitated, imitated))
    for comm.network, network in networks:
        spans, fastest = _fastest(comm, trainer, x, t, options.steps)
        if comm.rank == 0:
            _report(comm.size, alone, network, fastest, real=comm.network is None)
    if options.timeline is not None and comm.rank == 0:
        pc.plot.timeline(spans, fastest).savefig(options.timeline)


def _measured(mpi: Any) -> Network:
    """Return what connects rank 0 with the last: the best of some messages there and back."""
    rank, last = mpi.Get_rank(), mpi.Get_size() - 1
    if last == 0:
        return Network(1e12, 0.0)
    seconds: list[list[float]] = []
    for size in (1, _LONG):
        sent, received = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        trips = []
        for _ in range(50 if size == 1 else 5):
            mpi.Barrier()
            start = time.perf_counter()
            if size > 1 and rank in (0, last):  # both directions at once, as in a sum
                mpi.Sendrecv(sent, last - rank, recvbuf=received)
            elif rank == 0:
                mpi.Send(sent, last)
                mpi.Recv(received, last)
            elif rank == last:
                mpi.Recv(received, 0)
                mpi.Send(sent, 0)
            trips.append(time.perf_counter() - start)
        seconds.append(trips)
    latency, transfer = min(seconds[0]) / 2, min(seconds[1])
    found = Network(_LONG / max(transfer - latency, 1e-9), latency)
    shared: Network = mpi.bcast(found)
    return shared


def _fastest(
    comm: Slowed, trainer: pc.Trainer, x: Array, t: Array, steps: int
) -> tuple[list[Span], float]:
    """Return what all ranks did in the fastest of some steps, and its seconds."""
    best: tuple[float, list[Span]] = (np.inf, [])
    for _ in range(steps + 1):
        with comm.recording() as spans:
            start = time.perf_counter()
            trainer.step(x, t)
            own = time.perf_counter() - start
        seconds = max(comm.gather(own))
        every = [span for part in comm.gather(spans) for span in part]
        best = min(best, (seconds, every), key=lambda found: found[0])
    return best[1], best[0]


def _report(
    ranks: int, alone: MeasuredStep, network: Network, seconds: float, *, real: bool
) -> None:
    gbit, latency = network.bandwidth * 8e-9, network.latency * 1e6
    told = f"{'measured' if real else 'imitated'}: {gbit:.3g} Gbit/s, {latency:.0f} us"
    speed, predicted = ranks * alone.images / seconds, alone.images_per_second(ranks, network)
    print(f"{told:<36}{speed:>10,.1f} images/s, predicted {predicted:,.1f}", flush=True)


if __name__ == "__main__":
    main()
