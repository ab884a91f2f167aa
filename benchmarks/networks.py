"""``networks``: whole training steps, forward, loss, backward and SGD update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.contests import OURS, TITLES, TRAINING_PEERS, Peer, flop, race, with_weights
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.races import Race, race_tables
from benchmarks.report import Table

_GROUP = "training steps"
_SCRATCH_GROUP = "steps of the book's Trainer, float64"
# Models with their batch sizes, and whether NumPy takes part: it is too slow for large ones.
_NETWORKS = (
    ("simple_convnet", 100, True),
    ("lenet5", 100, True),
    ("deep_convnet", 100, True),
    ("alexnet", 32, False),
    ("vgg16", 4, False),
    ("resnet18", 8, False),
    ("resnet50", 8, False),
    ("mobilenet_v2", 8, False),
    ("compact_resnet", 128, False),
)
_NUMPY = {
    f"NumPy {dtype}/": Peer("numpy_book.training", dtype=dtype) for dtype in ("float32", "float64")
}
_NUMPY_TRAINER = {"NumPy float64/": Peer("numpy_book.trainer", dtype="float64")}
# The book's networks through the book's interface, in the book's float64.
_SCRATCH = (("simple_convnet", 100), ("deep_convnet", 100))


def run(options: Options, machine: Machine) -> list[Table]:
    """Measure the training steps that ``--filter`` selects."""
    tables = race_tables(_races(options), machine.peak(options.dtype))
    return tables + race_tables(_scratch_races(options), machine.peak("float64"))


def _races(options: Options) -> Iterator[Race]:
    for model, batch, with_numpy in _NETWORKS:
        count = options.batch or batch
        name = f"{TITLES[model]} ({count})"
        if not options.wants(_GROUP, name):
            continue
        peers = TRAINING_PEERS | (_NUMPY if with_numpy else {})
        with with_weights(model, batch, options) as network:
            result = race({"step": Peer(f"{OURS}.training")}, network, peers, options)
        yield Race.of(_GROUP, name, result, flop(network, training=True))


def _scratch_races(options: Options) -> Iterator[Race]:
    for model, batch in _SCRATCH:
        count = options.batch or batch
        name = f"scratch, {TITLES[model]} ({count})"
        if not options.wants(_SCRATCH_GROUP, name):
            continue
        double = replace(options, dtype="float64")
        with with_weights(model, batch, double) as network:
            ours = {"step": Peer("scratch.training")}
            result = race(ours, network, _NUMPY_TRAINER, double)
        # The Trainer computes the loss once more behind the gradient.
        work = flop(network, training=True) + flop(network, training=False)
        yield Race.of(_SCRATCH_GROUP, name, result, work)
