"""ONNX Runtime: inference only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.description import Network, Subject, inside


def _node(kind: str, settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Operator and attributes."""
    if kind == "Linear":
        return "Gemm", {"transB": 1}
    if kind == "BatchNorm2d":
        return "BatchNormalization", {"epsilon": settings["eps"]}
    if kind == "LocalResponseNorm":
        renamed = {"k": "bias"}
        return "LRN", {renamed.get(key, key): value for key, value in settings.items()}
    if kind not in ("Conv2d", "MaxPool2d", "AvgPool2d"):
        return {"ReLU": "Relu", "GlobalAvgPool2d": "GlobalAveragePool"}.get(kind, kind), {}
    window = {
        "kernel_shape": settings["kernel_size"],
        "strides": settings["stride"],
        "pads": settings["padding"] * 2,
    }
    if kind == "AvgPool2d":
        return "AveragePool", {**window, "count_include_pad": 1}
    if kind == "Conv2d":
        return "Conv", {**window, "group": settings["groups"]}
    return "MaxPool", window


class _Graph:
    """Nodes and constants, one layer after the other."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def chain(self, value: str, layers: Iterable[tuple[str, str, dict[str, Any]]]) -> str:
        """Add layers that begin with a value; return the name of the last one's."""
        for name, kind, settings in layers:
            if kind == "Dropout":
                continue  # it does nothing in inference
            if kind == "Residual":
                ends = [
                    self.chain(value, inside(name, settings, branch))
                    for branch in ("body", "shortcut")
                ]
                self.nodes.append(helper.make_node("Add", ends, [name]))
            else:
                operator, attributes = _node(kind, settings)
                inputs = [value, *self._parameters(name, kind)]
                self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
            value = name
        return value

    def _parameters(self, layer: str, kind: str) -> list[str]:
        arrays = self.network.parameters(layer)
        if kind == "BatchNorm2d":  # with the running means of a layer that was never trained
            arrays += [np.zeros_like(arrays[0]), np.ones_like(arrays[0])]
        names = [f"{layer}.{number}" for number in range(len(arrays))]
        self.constants += [
            numpy_helper.from_array(a, name) for a, name in zip(arrays, names, strict=True)
        ]
        return names


def _model(network: Network) -> bytes:
    """Write the network as a model of ONNX."""
    parts = _Graph(network)
    value = parts.chain("images", network.shapes())
    element = TensorProto.FLOAT if network.dtype == "float32" else TensorProto.DOUBLE
    images = helper.make_tensor_value_info("images", element, ["N", *network.input_shape])
    scores = helper.make_tensor_value_info(value, element, ["N", network.classes])
    graph = helper.make_graph(parts.nodes, network.model, [images], [scores], parts.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def inference(network: Network) -> Subject:
    """Build a prediction with every optimisation of the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.threads
    options.inter_op_num_threads = 1
    # Otherwise its threads would keep looking for work after a call, on the next library's cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        _model(network), options, providers=["CPUExecutionProvider"]
    )
    feed = {"images": network.images()}
    return Subject(lambda: session.run(None, feed), lambda: np.asarray(session.run(None, feed)[0]))
