"""ONNX Runtime: inference only."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.description import Network, Subject


def _node(kind: str, settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Operator and attributes."""
    if kind == "Linear":
        return "Gemm", {"transB": 1}
    if kind not in ("Conv2d", "MaxPool2d", "AvgPool2d"):
        return {"ReLU": "Relu"}.get(kind, kind), {}
    window = {
        "kernel_shape": settings["kernel_size"],
        "strides": settings["stride"],
        "pads": settings["padding"] * 2,
    }
    if kind == "AvgPool2d":
        return "AveragePool", {**window, "count_include_pad": 1}
    return {"Conv2d": "Conv", "MaxPool2d": "MaxPool"}[kind], window


def _graph(network: Network) -> bytes:
    """Write the network as a model of ONNX; dropout does nothing in inference and is left out."""
    nodes, constants, value = [], [], "images"
    for name, kind, settings in network.shapes():
        if kind == "Dropout":
            continue
        inputs = [value]
        given = network.parameters(name) if kind in ("Conv2d", "Linear") else None
        for key, array in zip(("weight", "bias"), given or (), strict=bool(given)):
            constants.append(numpy_helper.from_array(array, f"{name}.{key}"))
            inputs.append(f"{name}.{key}")
        operator, attributes = _node(kind, settings)
        nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        value = name
    element = TensorProto.FLOAT if network.dtype == "float32" else TensorProto.DOUBLE
    images = helper.make_tensor_value_info("images", element, ["N", *network.input_shape])
    scores = helper.make_tensor_value_info(value, element, ["N", network.classes])
    graph = helper.make_graph(nodes, network.model, [images], [scores], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def inference(network: Network) -> Subject:
    """Build a prediction with every optimisation of the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        _graph(network), options, providers=["CPUExecutionProvider"]
    )
    feed = {"images": network.images()}
    return Subject(lambda: session.run(None, feed), lambda: np.asarray(session.run(None, feed)[0]))
