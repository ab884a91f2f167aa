"""ncnn: inference only, in float32. It has no batches: its images go one after the other."""

from __future__ import annotations

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ncnn
import numpy as np

from benchmarks.description import Array, Network, Subject

if (_converter := find_spec("pnnx")) is None or _converter.origin is None:
    raise ModuleNotFoundError(name="pnnx")
_PNNX = Path(_converter.origin).with_name("pnnx")


def _load(network: Network) -> Any:
    """The network in ncnn's own format, which pnnx makes of the ONNX file."""
    shape = ",".join(map(str, (1, *network.input_shape)))
    net = ncnn.Net()
    net.opt.num_threads = network.threads
    for choice in (
        "use_bf16_storage",
        "use_fp16_packed",
        "use_fp16_storage",
        "use_fp16_arithmetic",
    ):
        setattr(net.opt, choice, False)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        model.symlink_to(network.onnx)
        command = [str(_PNNX), model.name, f"inputshape=[{shape}]", "fp16=0"]
        subprocess.run(command, cwd=folder, check=True)
        net.load_param(f"{folder}/model.ncnn.param")
        net.load_model(f"{folder}/model.ncnn.bin")
    return net


def inference(network: Network) -> Subject:
    """Build a prediction."""
    net = _load(network)
    batch = network.images()  # kept, because a Mat does not hold the array whose memory it is
    images = [ncnn.Mat(image) for image in batch]

    def predict() -> list[Any]:
        scores = []
        for image in images:
            extractor = net.create_extractor()
            extractor.input("in0", image)
            scores.append(extractor.extract("out0")[1])
        return scores

    def logits() -> Array:
        scores: Array = np.stack([np.array(one) for one in predict()])
        return scores.reshape(len(batch), *scores.shape[1:])

    return Subject(predict, logits)
