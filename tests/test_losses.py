"""Losses beside a loop over their definition, central differences and PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pocketcnn import losses
from pocketcnn.network.gradient_check import central_differences

K = 4
WEIGHTS = [0.5, 2.0, 0.0, 1.25]
CASES: dict[str, tuple[dict[str, Any], tuple[int, ...], bool]] = {
    "plain": ({}, (), False),
    "weights": ({"class_weight": WEIGHTS}, (), False),
    "ignored": ({"ignore_index": 1}, (), False),
    "ignored outside": ({"ignore_index": -100}, (), False),
    "smoothed": ({"label_smoothing": 0.2}, (), False),
    "all": ({"label_smoothing": 0.2, "class_weight": WEIGHTS, "ignore_index": 3}, (), False),
    "pixels": ({}, (2, 3), False),
    "pixels, all": (
        {"label_smoothing": 0.1, "class_weight": WEIGHTS, "ignore_index": 255},
        (2, 3),
        False,
    ),
    "pixels, weights": ({"class_weight": WEIGHTS}, (2, 3), False),
    "shares": ({}, (), True),
    "shares, weights": ({"class_weight": WEIGHTS, "label_smoothing": 0.3}, (), True),
    "shares of pixels": ({"label_smoothing": 0.3}, (2, 1), True),
}
each_case = pytest.mark.parametrize("case", CASES)
each_weighting = pytest.mark.parametrize("weighted", [False, True])


def make(case: str, dtype: Any = np.float64) -> tuple[Any, np.ndarray, np.ndarray]:
    settings, places, shares = CASES[case]
    rng = np.random.default_rng(len(case))
    output = (3 * rng.standard_normal((6, K, *places))).astype(dtype)
    if shares:
        t = np.moveaxis(rng.dirichlet(np.ones(K), size=(6, *places)), -1, 1).astype(dtype)
    else:
        t = rng.integers(0, K, (6, *places))
        if (ignored := settings.get("ignore_index")) is not None:
            t.reshape(-1)[::3] = ignored
    return losses.CrossEntropy(**settings), output, t


def by_loops(loss: Any, output: np.ndarray, t: np.ndarray, sample_weight: Any) -> float:
    """PyTorch's documentation of CrossEntropyLoss, word for word, with weights of samples."""
    classes = loss.class_weight or [1.0] * K
    smooth, total, divisor = loss.label_smoothing, 0.0, 0.0
    for n, *place in np.ndindex(len(output), *output.shape[2:]):
        scores = output[(n, slice(None), *place)]
        log_share = scores - scores.max() - math.log(np.exp(scores - scores.max()).sum())
        weight = 1.0 if sample_weight is None else sample_weight[n]
        if t.shape == output.shape:
            target = t[(n, slice(None), *place)]
            divisor += weight
        else:
            label = t[(n, *place)]
            if label == loss.ignore_index:
                continue
            target = np.eye(K)[label]
            divisor += weight * classes[label]
        for c in range(K):
            share = (1 - smooth) * target[c] + smooth / K
            total -= weight * classes[c] * share * log_share[c]
    return total / divisor


SAMPLE_WEIGHT = np.array([1, 0, 2.5, 0.5, 1, 3])


@each_case
@each_weighting
def test_cross_entropy_follows_its_definition(case: str, weighted: bool) -> None:
    loss, output, t = make(case)
    weights = SAMPLE_WEIGHT if weighted else None
    value, grad = loss(output, t, weights)
    assert value == pytest.approx(by_loops(loss, output, t, weights), rel=1e-12)
    wanted = central_differences(lambda: loss(output, t, weights)[0], {"x": output}, step=1e-5)
    np.testing.assert_allclose(grad, wanted["x"], rtol=1e-6, atol=1e-9)
    halves = [slice(0, 2), slice(2, None)]
    parts = [(output[h], t[h], None if weights is None else weights[h]) for h in halves]
    sizes = [loss.batch_weight(t, output.shape, weights) for output, t, weights in parts]
    mean = sum(loss(*part)[0] * size for part, size in zip(parts, sizes, strict=True))
    assert mean / sum(sizes) == pytest.approx(value, rel=1e-12)


@each_case
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_gradients_have_the_type_of_the_output(case: str, dtype: Any) -> None:
    loss, output, t = make(case, dtype)
    value, grad = loss(output, t)
    wanted, exact = loss(output.astype(np.float64), t)
    assert grad.dtype == dtype
    assert grad.shape == output.shape
    limit = 4 * float(np.finfo(dtype).eps)
    assert value == pytest.approx(wanted, rel=1e-5)
    np.testing.assert_allclose(grad, exact, rtol=limit, atol=limit)


@pytest.mark.parametrize("loss", [losses.BinaryCrossEntropy(), losses.MeanSquaredError()])
@pytest.mark.parametrize("shape", [(6, 1), (6, 3), (6, 2, 3, 2)])
@each_weighting
def test_losses_of_elements_follow_their_definition(
    loss: losses.Loss, shape: tuple[int, ...], weighted: bool
) -> None:
    rng = np.random.default_rng(len(shape))
    output, t = 2 * rng.standard_normal(shape), rng.random(shape)
    weights = SAMPLE_WEIGHT if weighted else None
    value, grad = loss(output, t, weights)
    total = divisor = 0.0
    for place in np.ndindex(shape):
        z, y = output[place], t[place]
        share = 1 / (1 + math.exp(-z))
        each = (z - y) ** 2
        if isinstance(loss, losses.BinaryCrossEntropy):
            each = -y * math.log(share) - (1 - y) * math.log(1 - share)
        weight = 1.0 if weights is None else weights[place[0]]
        total, divisor = total + weight * each, divisor + weight
    assert value == pytest.approx(total / divisor, rel=1e-12)
    wanted = central_differences(lambda: loss(output, t, weights)[0], {"x": output}, step=1e-5)
    np.testing.assert_allclose(grad, wanted["x"], rtol=1e-6, atol=1e-9)


def test_large_logits_are_finite() -> None:
    output = np.array([[-1e4, 1e4, 800.0]], np.float32)
    value, grad = losses.BinaryCrossEntropy()(output, np.array([[0, 1, 0]]))
    assert value == pytest.approx(800 / 3)
    np.testing.assert_allclose(grad, [[0, 0, 1 / 3]])
    value, grad = losses.CrossEntropy(class_weight=[1, 1, 1])(output, [0])
    assert value == pytest.approx(2e4)
    np.testing.assert_allclose(grad, [[-1, 1, 0]])
    output = np.array([[-np.inf, 0.0], [0.0, 0.0]])
    for loss in (losses.CrossEntropy(class_weight=[0, 1]), losses.CrossEntropy(ignore_index=0)):
        value, grad = loss(output, [0, 1])
        assert value == pytest.approx(math.log(2))
        np.testing.assert_allclose(grad, [[0, 0], [0.5, -0.5]])


def test_a_batch_in_which_nothing_counts_has_no_loss() -> None:
    output, labels = np.ones((2, 3)), np.array([1, 1])
    calls = [
        losses.CrossEntropy(ignore_index=1)(output, labels),
        losses.CrossEntropy(class_weight=[1, 0, 1])(output, labels),
        losses.CrossEntropy()(output, labels, [0, 0]),
        losses.CrossEntropy()(output, np.eye(3)[labels], [0, 0]),
        losses.MeanSquaredError()(output, output + 1, [0, 0]),
    ]
    for value, grad in calls:
        assert value == 0
        assert not grad.any()


def test_without_settings_it_is_the_loss_of_before() -> None:
    rng = np.random.default_rng(0)
    output = rng.standard_normal((5, 3)).astype(np.float32)
    for t in (rng.integers(0, 3, 5), rng.dirichlet(np.ones(3), 5)):
        value, grad = losses.CrossEntropy(0.1)(output, t)
        wanted = losses.cross_entropy(output, t, label_smoothing=0.1)
        assert value == wanted[0]
        np.testing.assert_array_equal(grad, wanted[1])


Z = np.zeros((2, 3))
PIXELS = np.zeros((2, 3, 2, 2))
REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "label too large": (lambda: losses.CrossEntropy()(PIXELS, np.full((2, 2, 2), 3)), ValueError,
                        r"^t has the label 3, but logits \(2, 3, 2, 2\) have 3 classes"),
    "labels of images": (lambda: losses.CrossEntropy()(PIXELS, [0, 1]), ValueError,
                         r"^t has shape \(2,\), .* need labels \(2, 2, 2\)"),
    "labels as floats": (lambda: losses.CrossEntropy(ignore_index=0)(Z, [0.0, 1.0]), TypeError,
                         "^t has dtype float64, but labels"),
    "shares of pixels": (lambda: losses.CrossEntropy()(PIXELS, PIXELS), ValueError,
                         "row 0 sums to 0"),
    "label beside the ignored": (lambda: losses.CrossEntropy(ignore_index=9)(Z, [9, 8]), ValueError,
                                 "^t has the label 8"),
    "shares that are ignored": (lambda: losses.CrossEntropy(ignore_index=0)(Z, np.eye(3)[:2]),
                                ValueError, "ignore_index needs labels"),
    "too few weights": (lambda: losses.CrossEntropy(class_weight=[1, 1])(Z, [0, 1]), ValueError,
                        "^class_weight has 2 numbers, but there are 3 classes"),
    "a negative weight": (lambda: losses.CrossEntropy(class_weight=[1, -1]), ValueError,
                          r"^class_weight\[1\] is -1"),
    "a weight that is NaN": (lambda: losses.CrossEntropy()(Z, [0, 1], [1, np.nan]), ValueError,
                             r"^sample_weight\[1\] is nan"),
    "one weight": (lambda: losses.CrossEntropy()(Z, [0, 1], 2.0), ValueError,
                   r"^sample_weight has shape \(\)"),
    "smoothing": (lambda: losses.CrossEntropy(1.5), ValueError, "^label_smoothing"),
    "ignore": (lambda: losses.CrossEntropy(ignore_index=0.5), TypeError, "^ignore_index"),
    "scores as labels": (lambda: losses.BinaryCrossEntropy()(Z, Z - 1), ValueError,
                         "^t has the value -1.0, but each label is 0 to 1"),
    "classes": (lambda: losses.BinaryCrossEntropy()(Z, [0, 1]), ValueError,
                r"^t has shape \(2,\), but BinaryCrossEntropy needs .* \(2, 3\)"),
    "a column": (lambda: losses.MeanSquaredError()(Z[:, :1], [0, 1]), ValueError, "reshape them"),
    "NaN": (lambda: losses.MeanSquaredError()(Z, [[0, 0, 0], [0, np.nan, 0]]), ValueError,
            "^t has a value that is not finite, first at sample 1"),
    "text": (lambda: losses.MeanSquaredError()(Z, np.full((2, 3), "a")), TypeError, "^t has dtype"),
    "empty": (lambda: losses.MeanSquaredError()(Z[:0], Z[:0]), ValueError, "^output has shape"),
    "empty scores": (lambda: losses.CrossEntropy()(PIXELS[:0], PIXELS[:0, 0]), ValueError,
                     "^output has shape"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused(what: str) -> None:
    call, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        call()


def test_settings_are_shown() -> None:
    loss = losses.CrossEntropy(class_weight=np.array([1, 2], np.float32), ignore_index=255)
    assert repr(loss) == "CrossEntropy(class_weight=(1.0, 2.0), ignore_index=255)"
    assert repr(losses.MeanSquaredError()) == "MeanSquaredError()"


@each_case
def test_cross_entropy_is_pytorchs(case: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    loss, output, t = make(case)
    z = torch.tensor(output, requires_grad=True)
    weight = None if loss.class_weight is None else torch.tensor(loss.class_weight).double()
    ignored = -100 if loss.ignore_index is None else loss.ignore_index
    theirs = torch.nn.CrossEntropyLoss(
        weight, ignore_index=ignored, label_smoothing=loss.label_smoothing
    )
    wanted = theirs(z, torch.tensor(t))
    wanted.backward()
    value, grad = loss(output, t)
    assert value == pytest.approx(float(wanted.detach()), rel=1e-12)
    np.testing.assert_allclose(grad, z.grad.numpy(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["BinaryCrossEntropy", "MeanSquaredError"])
def test_losses_of_elements_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = {"BinaryCrossEntropy": "BCEWithLogitsLoss", "MeanSquaredError": "MSELoss"}
    rng = np.random.default_rng(1)
    output, t = 9 * rng.standard_normal((4, 2, 3, 3)), rng.random((4, 2, 3, 3))
    z = torch.tensor(output, requires_grad=True)
    wanted = getattr(torch.nn, theirs[name])()(z, torch.tensor(t))
    wanted.backward()
    value, grad = getattr(losses, name)()(output, t)
    assert value == pytest.approx(float(wanted.detach()), rel=1e-12)
    np.testing.assert_allclose(grad, z.grad.numpy(), rtol=1e-10, atol=1e-14)
