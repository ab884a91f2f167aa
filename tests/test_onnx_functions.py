"""ONNX's node tests of Col2Im, two losses and three optimisers, beside our functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper
from scipy.special import logsumexp

import onnx_cases
import pocketcnn as pc
from pocketcnn import functional as F

NOT_APPLICABLE = {"test_col2im_5d"}  # an image of three dimensions

# ONNX's own limits.
CLOSE = {"rtol": 1e-3, "atol": 1e-7}


def cases(*modules: str) -> list[Any]:
    made = onnx_cases.node_cases(modules)
    fit = [case for case in made if case.name not in NOT_APPLICABLE]
    return [pytest.param(case, id=case.name.removeprefix("test_")) for case in fit]


def settings(case: Any) -> dict[str, Any]:
    node = case.model.graph.node[0]
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


@pytest.mark.parametrize("case", cases("col2im"))
def test_col2im(case: Any) -> None:
    """ONNX's columns are (N, C * KH * KW, OH * OW), ours (N * OH * OW, C * KH * KW)."""
    (columns, image, kernel), (expected,) = onnx_cases.data_of(case)
    given = settings(case)
    top, left, bottom, right = given.get("pads", [0, 0, 0, 0])
    channels = columns.shape[1] // int(np.prod(kernel))
    actual = F.col2im(
        columns.transpose(0, 2, 1).reshape(-1, columns.shape[1]),
        (len(columns), channels, *map(int, image)),
        tuple(map(int, kernel)),
        stride=tuple(given.get("strides", [1, 1])),
        padding=((top, bottom), (left, right)),
        dilation=tuple(given.get("dilations", [1, 1])),
    )
    np.testing.assert_array_equal(actual, expected)


def reduced(
    case: Any, loss: pc.losses.CrossEntropy, scores: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """The mean; a sum is the mean times the weight of the batch, and so is that of one place."""
    reduction = settings(case).get("reduction", b"mean")
    if reduction != b"none":
        mean = loss(scores, labels)[0]
        total = loss.batch_weight(labels, scores.shape)
        return np.array(mean if reduction == b"mean" else mean * total)
    rows = np.moveaxis(scores, 1, -1).reshape(-1, scores.shape[1])
    pairs = [(row[None], label[None]) for row, label in zip(rows, labels.reshape(-1), strict=True)]
    sums = [loss(row, label)[0] * loss.batch_weight(label, row.shape) for row, label in pairs]
    return np.array(sums).reshape(labels.shape)


@pytest.mark.parametrize("case", cases("softmax_cross_entropy_loss", "negativeloglikelihoodloss"))
def test_losses(case: Any) -> None:
    (scores, labels, *weights), expected = onnx_cases.data_of(case)
    class_weight = weights[0] if weights else np.ones(scores.shape[1])
    shift = 0.0
    if case.model.graph.node[0].op_type == "NegativeLogLikelihoodLoss":
        # Its scores are taken as logarithms of probabilities, but need not sum to 1: a class that
        # no label has gets the rest of them, after a shift that leaves a rest.
        shift = float(logsumexp(scores, axis=1).max()) + 1
        shares = np.exp(scores.astype(np.float64) - shift)
        rest = 1 - shares.sum(axis=1, keepdims=True)
        scores = np.log(np.concatenate([shares, rest], axis=1))
        class_weight = np.append(class_weight, 0)
    loss = pc.losses.CrossEntropy(
        class_weight=class_weight, ignore_index=settings(case).get("ignore_index")
    )
    found = reduced(case, loss, scores, labels)
    if shift:
        # Equal scores have a loss of log(K), so this is what ONNX makes of a loss of 1 everywhere.
        ones = reduced(case, loss, np.zeros_like(scores), labels) / np.log(scores.shape[1])
        found = found - shift * ones
    np.testing.assert_allclose(found, expected[0], **CLOSE)
    if len(expected) > 1:
        np.testing.assert_allclose(F.log_softmax(scores, axis=1), expected[1], **CLOSE)


def optimizer_of(
    kind: str, given: dict[str, Any], rate: float, step: int
) -> tuple[pc.optim.Optimizer, float]:
    """Our optimiser with ONNX's settings, and a factor of its slots."""
    decay = given["norm_coefficient"]
    if kind == "Adagrad":
        rate = rate / (1 + step * given["decay_factor"])
        return pc.optim.AdaGrad(rate, eps=given["epsilon"], weight_decay=decay), 1.0
    if kind == "Adam":
        adam = pc.optim.Adam(
            rate, beta1=given["alpha"], beta2=given["beta"], eps=given["epsilon"],
            weight_decay=decay,
        )  # fmt: skip
        assert step == 0  # ONNX then corrects no bias, as ours after many steps
        adam.steps = 10**6
        return adam, 1.0
    # v = alpha v + beta g is ours for v / beta and a rate that is beta times as large.
    beta = given["beta"] if step > 0 else 1.0
    nesterov = given["mode"] == b"nesterov"
    assert not nesterov or beta == 1
    return pc.optim.SGD(rate * beta, given["alpha"], nesterov, decay), beta


@pytest.mark.parametrize("case", cases("adam", "adagrad", "momentum"))
def test_optimizers(case: Any) -> None:
    (rate, step, *arrays), expected = onnx_cases.data_of(case)
    kind = case.model.graph.node[0].op_type
    optimizer, factor = optimizer_of(kind, settings(case), float(rate), int(step))
    count = len(arrays) // (2 + len(optimizer.slots))
    groups = [arrays[start : start + count] for start in range(0, len(arrays), count)]
    params, grads, *slots = ({str(k): a.copy() for k, a in enumerate(g)} for g in groups)
    for slot, values in zip(optimizer.slots, slots, strict=True):
        optimizer.state[slot] = {key: value / np.float32(factor) for key, value in values.items()}
    optimizer.update(params, grads)
    results = list(params.values())
    for slot in optimizer.slots:
        results += [value * factor for value in optimizer.state[slot].values()]
    for actual, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, **CLOSE)
