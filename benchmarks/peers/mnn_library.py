"""MNN: inference only, in float32 ("precision: high")."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import MNN
import numpy as np

from benchmarks.description import Array, Network, Subject

_CONVERTER = Path(sys.executable).with_name("mnnconvert")


def _load(network: Network) -> Any:
    """The network in MNN's own format, as a session's interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.mnn"
        source = ("-f", "ONNX", "--modelFile", str(network.onnx))
        command = [str(_CONVERTER), *source, "--MNNModel", model, "--bizCode", "benchmark"]
        subprocess.run(command, check=True)
        return MNN.Interpreter(model)


def inference(network: Network) -> Subject:
    """Build a prediction of a session whose shapes are all known."""
    interpreter = _load(network)
    settings = {"backend": "CPU", "numThread": network.threads, "precision": "high"}
    session = interpreter.createSession(settings)
    first = interpreter.getSessionInput(session)
    shape = (network.batch, *network.input_shape)
    interpreter.resizeTensor(first, shape)
    interpreter.resizeSession(session)
    kind, layout = MNN.Halide_Type_Float, MNN.Tensor_DimensionType_Caffe
    images = MNN.Tensor(shape, kind, network.images(), layout)

    def predict() -> Any:
        first.copyFrom(images)
        interpreter.runSession(session)
        scores = interpreter.getSessionOutput(session)
        answer = MNN.Tensor(
            scores.getShape(), kind, np.empty(scores.getShape(), np.float32), layout
        )
        scores.copyToHostTensor(answer)
        return answer

    def logits() -> Array:
        answer = predict()
        return np.array(answer.getData(), np.float32).reshape(answer.getShape())

    return Subject(predict, logits)
