"""``networks``: whole training steps, forward, loss, backward and SGD update."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contests import TITLES, TRAINING_PEERS, Peer, flop, race, with_weights
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Race, Table, race_tables

_GROUP = "training steps"
# Models with their batch sizes, and whether NumPy takes part: the large ones take it too long.
_NETWORKS = (
    ("simple_convnet", 100, True),
    ("lenet5", 100, True),
    ("deep_convnet", 100, True),
    ("alexnet", 32, False),
    ("vgg16", 4, False),
    ("resnet18", 8, False),
)
_BOOK = {
    "NumPy float32/": Peer("numpy_book.training", dtype="float32"),
    "NumPy float64/": Peer("numpy_book.training", dtype="float64"),
}


def run(options: Options, machine: Machine) -> list[Table]:
    """Measure the training steps that ``--filter`` leaves."""
    return race_tables(_races(options), machine.peak(options.dtype))


def _races(options: Options) -> Iterator[Race]:
    for model, batch, with_numpy in _NETWORKS:
        count = options.batch or batch
        name = f"{TITLES[model]} ({count})"
        if not options.wants(_GROUP, name):
            continue
        peers = TRAINING_PEERS | (_BOOK if with_numpy else {})
        with with_weights(model, batch, options) as network:
            ours, theirs = race("training", network, peers, options)
        yield Race(_GROUP, name, "step", ours, theirs, flop(network, training=True))
