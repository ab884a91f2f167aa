"""``inference``: predictions of one image and of 32."""

from __future__ import annotations

from collections.abc import Iterator

import pocketcnn as pc
from benchmarks.contests import JAX_ONEDNN, OURS, TITLES, Peer, flop, race, with_weights
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.races import Race, race_tables
from benchmarks.report import Table

_GROUP = "inference"
_BATCHES = (1, 32)
_OURS = {"predict": Peer(f"{OURS}.inference")}
if hasattr(pc.ConvNet, "compile"):
    _OURS["compiled"] = Peer(f"{OURS}.compiled")
_PYTORCH = {
    "PyTorch/NCHW": Peer("pytorch.inference", "NCHW"),
    "PyTorch/NHWC": Peer("pytorch.inference", "NHWC"),
    "torch.compile/frozen": Peer("inductor.inference", "frozen"),
    "torch.compile/max-autotune": Peer("inductor.inference", "max-autotune"),
    "JAX/XLA": Peer("jax_xla.inference"),
    "JAX/oneDNN": Peer("jax_xla.inference", environment=JAX_ONEDNN),
}
# From the ONNX file; most compute convolutions in float32 only.
_FILES = {
    "ONNX Runtime/spinning": Peer("onnx_runtime.inference", "spinning"),
    "ONNX Runtime/stopped": Peer("onnx_runtime.inference", "stopped"),
    "ONNX Runtime/bound": Peer("onnx_runtime.inference", "bound"),
    "OpenVINO/": Peer("openvino_runtime.inference"),
    "ncnn/": Peer("ncnn_library.inference"),
    "MNN/": Peer("mnn_library.inference"),
    "OpenCV/new": Peer("opencv_dnn.inference", "new"),
    "OpenCV/classic": Peer("opencv_dnn.inference", "classic"),
}


def run(options: Options, machine: Machine) -> list[Table]:
    """Measure the predictions that ``--filter`` selects."""
    return race_tables(_races(options), machine.peak(options.dtype))


def _races(options: Options) -> Iterator[Race]:
    peers = _PYTORCH | (_FILES if options.dtype == "float32" else {})
    for model, title in TITLES.items():
        for batch in (options.batch,) if options.batch else _BATCHES:
            name = f"{title} ({batch})"
            if not options.wants(_GROUP, name):
                continue
            with with_weights(model, batch, options) as network:
                result = race(_OURS, network, peers, options)
            yield Race.of(_GROUP, name, result, flop(network, training=False))
