"""ONNX's own reference evaluator, which shares no code with this package."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import pocketcnn.functional as F
import reference
from conv_cases import GROUPS, LARGER, WINDOWS, ConvCase
from tolerance import assert_relative_close, assert_sum_close

Arrays = dict[str, npt.NDArray[Any]]


def _run(op: str, inputs: Arrays, outputs: int = 1, **attributes: Any) -> list[npt.NDArray[Any]]:
    """Evaluate one ONNX node."""
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, list(inputs), names, **attributes)
    types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE}
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info(n, types[a.dtype], a.shape) for n, a in inputs.items()],
        [helper.make_empty_tensor_value_info(n) for n in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    return list(ReferenceEvaluator(model).run(None, inputs))


def _pads(rows: reference.Axis, cols: reference.Axis) -> list[int]:
    return [rows.before, cols.before, rows.after, cols.after]


def _window(shape: tuple[int, ...], kernel: reference.Pair, **window: Any) -> dict[str, Any]:
    """ONNX's attributes of a window given by our arguments."""
    rows, cols = reference.axes(shape, kernel, **window)
    return {
        "kernel_shape": [rows.kernel, cols.kernel],
        "strides": [rows.stride, cols.stride],
        "dilations": [rows.dilation, cols.dilation],
        "pads": _pads(rows, cols),
    }


CONVOLUTIONS = WINDOWS + GROUPS + LARGER[:2]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv(case: ConvCase) -> None:
    arrays = case.arrays(np.float64)
    inputs = {name: arrays[name] for name in ("x", "weight", "bias")}
    attributes = _window(case.x, case.kernel, **case.window)
    (expected,) = _run("Conv", inputs, group=case.groups, **attributes)
    magnitude = reference.conv2d(*(np.abs(a) for a in inputs.values()), **case.options)
    terms = math.prod(case.weight[1:])
    for dtype in (np.float64, np.float32):
        operands = [a.astype(dtype) for a in inputs.values()]
        assert_sum_close(F.conv2d(*operands, **case.options), expected, magnitude, terms)


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_input_gradient_is_conv_transpose(case: ConvCase) -> None:
    arrays = case.arrays(np.float64)
    rows, cols = reference.axes(case.x, case.kernel, **case.window)
    # Input rows that no window reaches: the transposed convolution calls them output padding.
    unreached = [
        a.size + a.before + a.after
        - ((a.outputs - 1) * a.stride + a.dilation * (a.kernel - 1) + 1)
        for a in (rows, cols)
    ]  # fmt: skip
    dx, _, _ = F.conv2d_backward(arrays["grad"], arrays["x"], arrays["weight"], **case.options)
    magnitude, _, _ = reference.conv2d_backward(
        np.abs(arrays["grad"]), arrays["x"], np.abs(arrays["weight"]), **case.options
    )
    per_group, channels = case.filters // case.groups, case.weight[1]
    for g in range(case.groups):
        f, c = slice(g * per_group, (g + 1) * per_group), slice(g * channels, (g + 1) * channels)
        (expected,) = _run(
            "ConvTranspose",
            {"grad": np.ascontiguousarray(arrays["grad"][:, f]), "weight": arrays["weight"][f]},
            output_padding=unreached,
            **_window(case.x, case.kernel, **case.window),
        )
        terms = per_group * math.prod(case.kernel)
        assert_sum_close(dx[:, c], expected, magnitude[:, c], terms)


POOLS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 8, 9), {"kernel_size": 2}),
    ((2, 3, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((2, 3, 9, 8), {"kernel_size": (3, 2), "stride": (1, 3), "padding": ((0, 2), (1, 0))}),
    ((2, 3, 7, 7), {"kernel_size": 3, "stride": 1, "padding": "same"}),
    ((1, 2, 5, 5), {"kernel_size": 5}),
    ((2, 3, 11, 10), {"kernel_size": 2, "stride": 4}),
]


def _pool_arguments(shape: tuple[int, ...], window: dict[str, Any]) -> dict[str, Any]:
    window = {"stride": window["kernel_size"], "padding": 0, **window}
    return _window(shape, window.pop("kernel_size"), **window)


@pytest.mark.parametrize(("shape", "window"), POOLS, ids=str)
def test_max_pool(shape: tuple[int, ...], window: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    attributes = _pool_arguments(shape, window)
    del attributes["dilations"]
    (expected,) = _run("MaxPool", {"x": x}, **attributes)
    np.testing.assert_array_equal(F.max_pool2d(x, **window)[0], expected)


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize(("shape", "window"), POOLS, ids=str)
def test_average_pool(shape: tuple[int, ...], window: dict[str, Any], include: bool) -> None:
    x = np.random.default_rng(1).normal(size=shape)
    attributes = _pool_arguments(shape, window)
    (expected,) = _run("AveragePool", {"x": x}, count_include_pad=int(include), **attributes)
    actual = F.avg_pool2d(x, **window, count_include_pad=include)
    magnitude = reference.avg_pool2d(np.abs(x), **window, count_include_pad=include)
    assert_sum_close(actual, expected, magnitude, math.prod(attributes["kernel_shape"]) + 1)


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 4), (9, 31, 49), (17, 300, 10)], ids=str)
def test_gemm(size: tuple[int, int, int]) -> None:
    n, features, outputs = size
    rng = np.random.default_rng(size)
    inputs = {
        "x": rng.normal(size=(n, features)),
        "weight": rng.normal(size=(outputs, features)),
        "bias": rng.normal(size=outputs),
    }
    (expected,) = _run("Gemm", inputs, transB=1)
    magnitude = reference.linear(*(np.abs(a) for a in inputs.values()))
    assert_sum_close(F.linear(*inputs.values()), expected, magnitude, features)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_softmax(axis: int) -> None:
    x = np.random.default_rng(2).normal(scale=3, size=(4, 7, 5))
    spread = np.abs(x - x.max(axis=axis, keepdims=True)) + 32
    (expected,) = _run("Softmax", {"x": x}, axis=axis)
    assert_relative_close(F.softmax(x, axis=axis), expected, spread)
    (expected,) = _run("LogSoftmax", {"x": x}, axis=axis)
    assert_sum_close(F.log_softmax(x, axis=axis), expected, np.abs(expected) + 1, 32)


@pytest.mark.parametrize(
    ("name", "op", "attributes", "settings"),
    [
        ("relu", "Relu", {}, {}),
        ("sigmoid", "Sigmoid", {}, {}),
        ("tanh", "Tanh", {}, {}),
        ("leaky_relu", "LeakyRelu", {"alpha": 0.25}, {"negative_slope": 0.25}),
        ("elu", "Elu", {"alpha": 1.5}, {"alpha": 1.5}),
        ("hard_sigmoid", "HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, {}),
        ("hard_swish", "HardSwish", {}, {}),
        ("gelu", "Gelu", {}, {}),
        ("gelu", "Gelu", {"approximate": "tanh"}, {"approximate": "tanh"}),
    ],
)
def test_elementwise(
    name: str, op: str, attributes: dict[str, Any], settings: dict[str, Any]
) -> None:
    x = np.random.default_rng(3).normal(scale=3, size=(4, 7, 5))
    (expected,) = _run(op, {"x": x}, **attributes)
    # ONNX has constants of these in single precision.
    least = 1e-6 if op in ("HardSigmoid", "HardSwish", "Gelu") else 1e-14
    np.testing.assert_allclose(getattr(F, name)(x, **settings), expected, 4e-15, least)


def test_prelu() -> None:
    rng = np.random.default_rng(4)
    x, slope = rng.normal(size=(4, 7, 5)), rng.normal(size=7)
    (expected,) = _run("PRelu", {"x": x, "slope": slope[:, None]})
    np.testing.assert_array_equal(F.prelu(x, slope), expected)
