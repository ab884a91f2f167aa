"""Files that come with the package onnx: PyTorch's exports, and whole networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnx_cases
import pocketcnn as pc

# Models that are no network of images, by what they ask for.
NOT_APPLICABLE = {
    "windows in three dimensions": [
        *("AvgPool3d", "AvgPool3d_stride", "AvgPool3d_stride1_pad0_gpu_input"),
        *("Conv3d", "Conv3d_dilated", "Conv3d_dilated_strided", "Conv3d_groups"),
        *("Conv3d_no_bias", "Conv3d_stride", "Conv3d_stride_padding"),
        *("MaxPool3d", "MaxPool3d_stride", "MaxPool3d_stride_padding"),
    ],
    "pools with dilation": [
        *("MaxPool1d_stride_padding_dilation", "MaxPool2d_stride_padding_dilation"),
    ],
    "a table of words": ["Embedding", "Embedding_sparse"],
    "padding by pixels": ["ReflectionPad2d", "ReplicationPad2d", "operator_pad"],
    "functions that no layer has": [
        *("PoissonNLLLLoss_no_reduce", "Softplus", "Softsign"),
        *("operator_exp", "operator_pow", "operator_sqrt"),
    ],
    "the larger or smaller of branches": ["operator_max", "operator_min"],
    "acting along the batch axis": ["operator_chunk", "operator_index"],
    "constants that differ along the batch axis": [
        *("operator_add_size1_broadcast", "operator_non_float_params", "operator_params"),
    ],
    "repeating a tensor": ["operator_repeat", "operator_repeat_dim_overflow"],
}
REASONS = {f"test_{name}": reason for reason, names in NOT_APPLICABLE.items() for name in names}


@pytest.mark.parametrize(
    ("kind", "applicable"), [("pytorch-converted", 60), ("pytorch-operator", 22)]
)
def test_what_pytorch_exported(kind: str, applicable: int, tmp_path: Path) -> None:
    failed, passed = [], 0
    for name, model, inputs, outputs in onnx_cases.file_cases(kind):
        case = onnx_cases.as_network(name, model, inputs, outputs)
        path = tmp_path / "model.onnx"
        onnx.save(case.model, path)
        if name in REASONS:
            with pytest.raises(ValueError, match=r"node '.+' \(.+\): "):
                pc.onnx.load(path)
            continue
        try:
            actual = pc.onnx.load(path).predict(case.x)
            np.testing.assert_allclose(actual, case.expected, rtol=1e-3, atol=1e-7)
            passed += 1
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
    assert not failed, "\n".join(failed)
    assert passed == applicable


LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NETWORKS = {
    "bvlc_alexnet": (24, "Conv2d 5, Linear 3, LocalResponseNorm 2"),
    "densenet121": (426, "BatchNorm2d 121, Concat 58, Conv2d 121"),
    "inception_v1": (143, "Concat 9, Conv2d 57, LocalResponseNorm 2"),
    "inception_v2": (233, "BatchNorm2d 69, Concat 10, Conv2d 69"),
    "resnet50": (176, "Add 16, BatchNorm2d 53, Conv2d 53"),
    "shufflenet": (171, "Add 13, ChannelShuffle 16, Concat 3"),
    "squeezenet": (66, "Concat 8, Conv2d 26"),
    "vgg19": (46, "Conv2d 16, Linear 3, MaxPool2d 5"),
    "zfnet512": (22, "Conv2d 5, Linear 3, LocalResponseNorm 2"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name: str) -> None:
    """The nine networks: their structure, and the scores that the file beside each holds."""
    path = LIGHT / f"light_{name}.onnx"
    net = pc.onnx.load(path)
    count, kinds = NETWORKS[name]
    assert len(net.layers) == count
    made = [type(layer).__name__ for layer in net.layers.values()]
    for kind, number in (part.split() for part in kinds.split(", ")):
        assert made.count(kind) == int(number)
    assert net.input_shape == (3, 224, 224)
    # The input that ONNX's runner makes.
    size = 3 * 224 * 224
    x = (np.arange(size) / size).astype(np.float32).reshape(1, 3, 224, 224)
    expected = onnx_cases.read_tensor(LIGHT / f"light_{name}_output_0.pb")
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-3, atol=1e-7)


def with_random_weights(name: str, size: int, nodes: int, rng: np.random.Generator) -> Any:
    """The first nodes of a light network, with weights that differ, for images of another size.

    In opset 17 and without the softmax: of those of opset 9, and of the batch norms, onnx.reference
    has other definitions than ONNX.
    """
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            shape = tuple(weights[node.input[0]])
            # Scales and variances are positive.
            weight = rng.uniform(0.5, 1.5, shape)
            if len(shape) > 1:
                weight = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
            weights[node.output[0]] = weight.astype(np.float32)
        elif node.op_type == "Unsqueeze":
            weights[node.output[0]] = weights[node.input[0]][:, None, None]
        elif node.op_type != "Softmax":
            if node.op_type == "Dropout":
                node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output[:1]))
            kept.append(node)
    del kept[nodes:]
    read = {name for node in kept for name in node.input}
    (image,) = read & {item.name for item in graph.input} - weights.keys()
    del graph.node[:], graph.input[:], graph.output[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(a, key) for key, a in weights.items())
    graph.input.append(helper.make_tensor_value_info(image, 1, ("N", 3, size, size)))
    graph.output.append(helper.make_empty_tensor_value_info(kept[-1].output[0]))
    model.opset_import[0].version = 17
    model.ir_version = 8
    return model


@pytest.mark.parametrize(
    ("name", "size", "nodes"),
    [
        ("squeezenet", 63, 65),
        ("densenet121", 40, 80),
        ("shufflenet", 224, 35),
    ],
)
def test_networks_with_weights_that_differ(
    name: str, size: int, nodes: int, tmp_path: Path
) -> None:
    """Equal weights, as the nine have, give equal scores whatever the graph."""
    rng = np.random.default_rng(7)
    model = with_random_weights(name, size, nodes, rng)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    x = rng.normal(size=(1, 3, size, size)).astype(np.float32)
    (expected,) = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})
    actual = pc.onnx.load(path).predict(x)
    assert expected.std() > 0.01 * np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-4 * np.abs(expected).max())
