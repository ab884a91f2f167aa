"""``inference``: predictions of one image and of 32."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.contests import OURS, TITLES, Peer, flop, race, with_weights
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Race, Table, race_tables

_GROUP = "inference"
_BATCHES = (1, 32)
_PYTORCH = {
    "PyTorch/NCHW": Peer("pytorch.inference", "NCHW"),
    "PyTorch/NHWC": Peer("pytorch.inference", "NHWC"),
}
_ONNX = {"ONNX Runtime/": Peer("onnx_runtime.inference")}


def run(options: Options, machine: Machine) -> list[Table]:
    """Measure the predictions that ``--filter`` selects."""
    return race_tables(_races(options), machine.peak(options.dtype))


def _races(options: Options) -> Iterator[Race]:
    # ONNX Runtime's CPU convolution supports float32 only.
    peers = _PYTORCH | (_ONNX if options.dtype == "float32" else {})
    for model, title in TITLES.items():
        for batch in (options.batch,) if options.batch else _BATCHES:
            name = f"{title} ({batch})"
            if not options.wants(_GROUP, name):
                continue
            with with_weights(model, batch, options) as network:
                ours, theirs = race(f"{OURS}.inference", network, peers, options)
            yield Race(_GROUP, name, "predict", ours, theirs, flop(network, training=False))
