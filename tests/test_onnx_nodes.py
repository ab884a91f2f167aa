"""ONNX's own node tests of the operators that networks are read with."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnx_cases
import pocketcnn as pc

MODULES = [
    *("add", "averagepool", "batch_normalization", "cast", "celu", "clip", "concat", "conv"),
    *("convtranspose", "depthtospace", "div", "dropout", "elu", "erf", "expand", "flatten"),
    *("gather", "gelu", "gemm", "globalaveragepool", "globalmaxpool", "groupnormalization"),
    *("hardsigmoid", "hardswish", "identity", "instance_normalization", "leakyrelu", "logsoftmax"),
    *("lrn", "matmul", "max", "maxpool", "mean", "min", "mul", "neg", "pad", "prelu", "reducemax"),
    *("reducemean", "reducesum", "relu", "reshape", "resize", "selu", "sigmoid", "slice"),
    *("softmax", "split", "squeeze", "sub", "sum", "swish", "tanh", "transpose", "unsqueeze"),
    "upsample",
]

# Tests that no network can pass, by what they ask for.
NOT_APPLICABLE = {
    "windows in three dimensions": r"(average|max)pool_3d|convtranspose_3d",
    "pools with dilation": r"(average|max)pool_2d_dilations$",
    "numbers other than float, double, float16": r"cast_(?!FLOAT8E5M2_to).*"
    r"(FLOAT8|FLOAT4|INT4|INT2|BFLOAT16|E8M0)|celu_bfloat16|identity_(sequence|opt)|(max|min)_u?int\d",
    "quotients of branches": r"div(_example|_u?int\d+(_trunc)?)?$",
    "the larger or smaller of branches": r"(max|min)_(example|two_inputs|float\d+)",
    "the error function by itself": r"erf$",
    "repeating other axes than pixels": r"expand_dim_",
    "merging the batch axis with others": r"flatten_axis[023]|flatten_negative_axis[124]|"
    r"reshape_(negative_extended_dims)$",
    "several places of an axis": r"gather_(0|1|2d_indices|negative_indices)",
    "products of two batches, or with weights of three axes": r"gemm_(transposeA|all_attributes)|"
    r"gemm_default_matrix_bias|matmul_(3d|4d|bcast|1d_3d|4d_1d|1d_1d)$",
    "empty tensors": r"reduce_.*empty_set|slice_start_out_of_bounds|split_zero_size|"
    r"reshape_allowzero",
    "negative steps": r"slice_neg_steps",
    "padding by pixels": r"(edge|reflect|wrap)_pad",
    "interpolation by splines, or by weights of the whole window": r"resize_.*(cubic|antialias)",
    "resizing a part of the image": r"resize_tf_crop",
    "other pixels than PyTorch's Upsample takes": r"resize_downsample_s(cales|izes)_nearest$|"
    r"resize_downsample_scales_linear_align_corners|resize_.*pytorch_half_pixel|"
    r"resize_.*nearest_(floor_align_corners|round_prefer_ceil_asymmetric|ceil_half_pixel)|"
    r"resize_downsample_sizes_nearest_not_smaller|resize_.*half_pixel_symmetric",
    "draws of dropout": r"training_dropout(_default)?(_mask)?$",
}

# Tests that act along the first axis; they are run with a batch axis before it.
BATCHED = (
    r"(add|div|mul|sub|sum|mean)_(example|two_inputs|one_input|int32_trunc)$|concat_1d|concat_.*(axis_0|negative_2|"
    r"negative_3)$|(log)?softmax_axis_0|prelu_example|reduce_.*default_axes|"
    r"reshape_(reordered_all|one_dim)|slice$|split_|squeeze$|transpose_|unsqueeze_axis_0"
)
TRAINING = "batchnorm_.*training_mode"


def reason_against(name: str) -> str | None:
    """Why a test does not apply."""
    for reason, pattern in NOT_APPLICABLE.items():
        if re.search(rf"^test_({pattern})", name):
            return reason
    return None


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    return {case.name: case for case in onnx_cases.node_cases(MODULES)}


def as_network(case: Any) -> onnx_cases.Case:
    """A node test as a model of one input."""
    inputs, outputs = onnx_cases.data_of(case)
    if re.search(f"^test_({BATCHED})", case.name):
        return onnx_cases.batched(case.name, case.model, inputs, outputs)
    return onnx_cases.as_network(case.name, case.model, inputs, outputs)


def check(case: onnx_cases.Case, folder: Path, *, training: bool = False) -> None:
    """Read the model, and compare what it gives with what ONNX expects."""
    path = folder / "model.onnx"
    onnx.save(case.model, path)
    net = pc.onnx.load(path)
    actual = net.forward(case.x, training=True) if training else net.predict(case.x)
    assert actual.shape == case.expected.shape
    expected = np.asarray(case.expected).astype(np.float64)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-7)  # ONNX's own limits


def test_node_tests_of_the_operators(cases: dict[str, Any], tmp_path: Path) -> None:
    failed, passed = [], 0
    for name, case in cases.items():
        if reason_against(name):
            continue
        try:
            check(as_network(case), tmp_path, training=bool(re.search(TRAINING, name)))
            passed += 1
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
    assert not failed, "\n".join(failed)
    print(f"{passed} node tests")


def test_what_does_not_apply_is_refused_with_a_reason(
    cases: dict[str, Any], tmp_path: Path
) -> None:
    """The table above has no test that would pass."""
    counts: Counter[str] = Counter()
    passed = []
    for name, case in cases.items():
        if (reason := reason_against(name)) is None:
            continue
        counts[reason] += 1
        try:
            check(as_network(case), tmp_path)
        except (ValueError, TypeError, AssertionError, AttributeError):
            continue
        passed.append(name)
    assert not passed, " ".join(passed)
    assert counts.keys() == NOT_APPLICABLE.keys()
    print(dict(counts))
