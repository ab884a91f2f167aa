"""Functions, column matrices and numerical gradients of ``pocketcnn.scratch``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
import reference_scratch
from pocketcnn import scratch

RNG = np.random.default_rng(71)
X = RNG.standard_normal((4, 5))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(71)


@pytest.mark.parametrize("name", ["sigmoid", "relu", "softmax"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_activations_keep_the_dtype(name: str, dtype: Any) -> None:
    x = X.astype(dtype)
    out = getattr(scratch, name)(x)
    assert out.dtype == dtype
    limit = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(out, getattr(reference, name)(x), rtol=limit, atol=limit)


def test_activations_of_integers_and_numbers_are_numpys() -> None:
    assert scratch.sigmoid(np.array([0, 1])).dtype == np.float64
    assert scratch.softmax([1, 2]).dtype == np.float64
    assert scratch.relu(np.array([-1, 2])).tolist() == [0, 2]
    assert isinstance(scratch.sigmoid(0), float)
    assert scratch.sigmoid(0) == 0.5
    assert scratch.identity_function(3) == 3
    assert scratch.step_function(np.array([-1.0, 0.0, 2.0])).tolist() == [0, 0, 1]


def test_sigmoid_does_not_overflow() -> None:
    assert scratch.sigmoid(np.array([-1e3, 1e3])).tolist() == [0.0, 1.0]


def test_derivatives_of_activations() -> None:
    step = 1e-6
    slope = (reference.sigmoid(X + step) - reference.sigmoid(X - step)) / (2 * step)
    np.testing.assert_allclose(scratch.sigmoid_grad(X), slope, atol=1e-9)
    assert scratch.relu_grad(np.array([-1.0, 0.0, 2.0])).tolist() == [0.0, 1.0, 1.0]


def test_errors() -> None:
    y, labels = reference.softmax(X), np.array([1, 4, 0, 2])
    expected = reference_scratch.cross_entropy_error(y, labels)
    one_hot = np.eye(5)[labels]
    for t in (labels, labels[:, None], labels.astype(np.uint8), one_hot):
        assert scratch.cross_entropy_error(y, t) == pytest.approx(expected, rel=1e-14)
    assert scratch.cross_entropy_error(y[0], one_hot[0]) == pytest.approx(-np.log(y[0, 1] + 1e-7))
    assert scratch.softmax_loss(X, labels) == pytest.approx(expected, rel=1e-14)
    assert scratch.sum_squared_error(y, one_hot) == pytest.approx(((y - one_hot) ** 2).sum() / 2)
    assert scratch.mean_squared_error is scratch.sum_squared_error


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        ([0, 1, 2, 5], ValueError, "t has the label 5"),
        ([0, 1, 2, -1], ValueError, "t has the label -1"),
        ([0, 1], ValueError, r"t has shape \(2,\)"),
        ([0.0, 1.0, 2.0, 3.0], TypeError, "t has dtype float64"),
    ],
)
def test_wrong_labels_are_refused(t: list[float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        scratch.cross_entropy_error(X, t)


def test_numerical_gradient() -> None:
    x = X.copy()
    kept = x.copy()
    np.testing.assert_allclose(
        scratch.numerical_gradient(lambda v: np.sum(v**3), x), 3 * x**2, atol=1e-7
    )
    assert np.array_equal(x, kept)
    rows = scratch.numerical_gradient_2d(lambda row: np.sum(row**2), x)
    np.testing.assert_allclose(rows, 2 * x, atol=1e-8)
    with pytest.raises(TypeError, match="x is of int64"):
        scratch.numerical_gradient(np.sum, np.array([1, 2], np.int64))


def test_numerical_gradient_puts_the_value_back_when_f_fails() -> None:
    x = np.array([1.0, 2.0])

    def fails(_: Any) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scratch.numerical_gradient(fails, x)
    assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_column_matrices(dtype: Any, rng: np.random.Generator) -> None:
    x = (10 * np.abs(rng.standard_normal((2, 3, 6, 7)))).astype(dtype)
    col = scratch.im2col(x, 3, 2, stride=2, pad=1)
    assert col.dtype == (dtype if dtype != np.uint8 else np.float64)
    assert np.array_equal(col, reference.im2col(x, (3, 2), 2, 1))
    image = scratch.col2im(col, x.shape, 3, 2, stride=2, pad=1)
    expected = reference.col2im(col, x.shape, (3, 2), 2, 1)
    np.testing.assert_allclose(image, expected, rtol=1e-6)


def test_output_size_is_not_rounded() -> None:
    assert scratch.conv_output_size(28, 5, stride=1, pad=0) == 24
    assert scratch.conv_output_size(7, 2, stride=2) == 3.5


@pytest.mark.parametrize("points", [1, 5, 11, 40])
def test_smooth_curve(points: int, rng: np.random.Generator) -> None:
    y = rng.standard_normal(points)
    smooth = scratch.smooth_curve(list(y))
    assert smooth.shape == y.shape
    weights = np.kaiser(11, 2)
    if points == 40:
        middle = [(y[i - 5 : i + 6] * weights).sum() / weights.sum() for i in range(5, 35)]
        np.testing.assert_allclose(smooth[5:35], middle, rtol=1e-12)
        first = np.concatenate([y[5:0:-1], y[:6]])
        last = np.concatenate([y[-6:], y[:-6:-1]])
        assert smooth[0] == pytest.approx((first * weights).sum() / weights.sum())
        assert smooth[-1] == pytest.approx((last * weights).sum() / weights.sum())


def test_shuffle_dataset_draws_one_permutation() -> None:
    x, t = np.arange(12.0).reshape(6, 2), np.arange(6)
    np.random.seed(3)
    order = np.random.permutation(6)
    np.random.seed(3)
    shuffled, labels = scratch.shuffle_dataset(x, t)
    assert np.array_equal(shuffled, x[order])
    assert np.array_equal(labels, order)
