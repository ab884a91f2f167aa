"""OpenVINO: inference only, for latency, in float32 also where the processor has bfloat16."""

from __future__ import annotations

import openvino

from benchmarks.description import Array, Network, Subject


def inference(network: Network) -> Subject:
    """Build a prediction of a model whose shapes are all known, with its input shared."""
    core = openvino.Core()
    model = core.read_model(str(network.onnx))
    model.reshape([network.batch, *network.input_shape])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": network.threads,
        "NUM_STREAMS": 1,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    images = network.images()  # kept, because the tensor does not hold the array
    request.set_input_tensor(openvino.Tensor(images, shared_memory=True))

    def logits() -> Array:
        request.infer()
        scores: Array = request.get_output_tensor().data
        return scores.reshape(len(images), *scores.shape[1:]).copy()

    return Subject(request.infer, logits)
