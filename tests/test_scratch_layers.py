"""The layers of ``pocketcnn.scratch``: outputs, gradients, attributes, and what was fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import reference
import reference_scratch
from pocketcnn import scratch

RNG = np.random.default_rng(72)
W, B = RNG.standard_normal((4, 2, 3, 3)), RNG.standard_normal(4)
AFFINE_W, AFFINE_B = RNG.standard_normal((6, 5)), RNG.standard_normal(5)
GAMMA, BETA = RNG.standard_normal(12), RNG.standard_normal(12)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(72)


# A layer, the shape of its input, and what it computes from the input.
CASES: dict[str, tuple[Callable[[], Any], tuple[int, ...], Callable[[Any], Any]]] = {
    "Relu": (scratch.Relu, (3, 4), reference.relu),
    "Sigmoid": (scratch.Sigmoid, (3, 4), reference.sigmoid),
    "Affine": (
        lambda: scratch.Affine(AFFINE_W, AFFINE_B),
        (3, 6),
        lambda x: reference_scratch.affine(x, AFFINE_W, AFFINE_B),
    ),
    "Affine of images": (
        lambda: scratch.Affine(AFFINE_W, AFFINE_B),
        (3, 1, 2, 3),
        lambda x: reference_scratch.affine(x, AFFINE_W, AFFINE_B),
    ),
    "Convolution": (
        lambda: scratch.Convolution(W, B),
        (2, 2, 5, 6),
        lambda x: reference.conv2d(x, W, B),
    ),
    "Convolution, stride and pad": (
        lambda: scratch.Convolution(W, B, stride=2, pad=1),
        (2, 2, 7, 6),
        lambda x: reference.conv2d(x, W, B, 2, 1),
    ),
    "Convolution, number as bias": (
        lambda: scratch.Convolution(W, 0),
        (1, 2, 5, 5),
        lambda x: reference.conv2d(x, W),
    ),
    "Pooling": (
        lambda: scratch.Pooling(2, 2, stride=2),
        (2, 2, 5, 4),
        lambda x: reference.max_pool2d(x, 2)[0],
    ),
    "Pooling, overlapping windows": (
        lambda: scratch.Pooling(3, 2),
        (2, 2, 5, 4),
        lambda x: reference.max_pool2d(x, (3, 2), 1)[0],
    ),
    "Pooling, pad": (
        lambda: scratch.Pooling(3, 3, stride=2, pad=1),
        (1, 2, 5, 5),
        lambda x: reference.max_pool2d(x, 3, 2, 1)[0],
    ),
    "BatchNormalization": (
        lambda: scratch.BatchNormalization(GAMMA, BETA),
        (5, 12),
        lambda x: reference_scratch.batch_norm(x, GAMMA, BETA),
    ),
    "BatchNormalization of images": (
        lambda: scratch.BatchNormalization(GAMMA, BETA),
        (5, 2, 2, 3),
        lambda x: reference_scratch.batch_norm(x, GAMMA, BETA),
    ),
}

each_case = pytest.mark.parametrize("name", CASES)


@each_case
def test_output_and_gradient_of_the_input(name: str, rng: np.random.Generator) -> None:
    make, shape, compute = CASES[name]
    x = rng.standard_normal(shape)
    layer, kept = make(), x.copy()
    out = layer.forward(x)
    np.testing.assert_allclose(out, compute(x), rtol=1e-12, atol=1e-12)
    dout = rng.standard_normal(out.shape)
    kept_dout = dout.copy()
    dx = layer.backward(dout)
    places = list(np.ndindex(x.shape))
    slopes = reference_scratch.central_differences(lambda: np.sum(compute(x) * dout), x, places)
    np.testing.assert_allclose(dx.ravel(), slopes, rtol=1e-6, atol=1e-7)
    # Arguments are not changed, unlike dout in the book's Relu.
    assert np.array_equal(x, kept)
    assert np.array_equal(dout, kept_dout)


@each_case
def test_a_layer_of_float32_stays_float32(name: str, rng: np.random.Generator) -> None:
    make, shape, _ = CASES[name]
    layer = make()
    for attribute in ("W", "b", "gamma", "beta"):
        if hasattr(layer, attribute):
            setattr(layer, attribute, np.float32(getattr(layer, attribute)))
    x = rng.standard_normal(shape).astype(np.float32)
    out = layer.forward(x)
    assert out.dtype == np.float32
    assert layer.backward(out).dtype == np.float32


@each_case
def test_backward_needs_a_forward(name: str) -> None:
    make, _, _ = CASES[name]
    with pytest.raises(RuntimeError, match="forward"):
        make().backward(np.ones((1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("make", "names", "shape"),
    [
        (lambda: scratch.Affine(AFFINE_W.copy(), AFFINE_B.copy()), ("W", "b"), (3, 6)),
        (lambda: scratch.Convolution(W.copy(), B.copy(), 2, 1), ("W", "b"), (2, 2, 5, 6)),
        (
            lambda: scratch.BatchNormalization(GAMMA.copy(), BETA.copy()),
            ("gamma", "beta"),
            (5, 12),
        ),
    ],
)
def test_gradients_of_parameters(
    make: Callable[[], Any],
    names: tuple[str, str],
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> None:
    layer, x = make(), rng.standard_normal(shape)
    dout = rng.standard_normal(layer.forward(x).shape)
    layer.backward(dout)
    gradients = {name: getattr(layer, f"d{name}") for name in names}
    for name, gradient in gradients.items():
        variable = getattr(layer, name)
        assert gradient.shape == variable.shape
        slopes = reference_scratch.central_differences(
            lambda: float(np.sum(layer.forward(x) * dout)),
            variable,
            list(np.ndindex(variable.shape)),
        )
        np.testing.assert_allclose(gradient.ravel(), slopes, rtol=1e-6, atol=1e-7)


def test_float32_images_and_float64_weights_make_float64(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 2, 5, 5)).astype(np.float32)
    assert scratch.Convolution(W, B).forward(x).dtype == np.float64


def test_what_convolution_keeps(rng: np.random.Generator) -> None:
    layer = scratch.Convolution(W, B, stride=2, pad=1)
    assert layer.x is layer.col is layer.col_W is layer.dW is layer.db is None
    x = rng.standard_normal((2, 2, 5, 6))
    layer.forward(x)
    assert layer.x is x
    assert layer.W is W
    assert np.array_equal(layer.col, reference.im2col(x, 3, 2, 1))
    assert np.array_equal(layer.col_W, W.reshape(4, 18).T)
    assert layer.backward(layer.forward(x), input_grad=False) is None
    assert layer.dW.shape == W.shape


def test_what_relu_and_pooling_keep(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 5, 7))
    relu, pooling = scratch.Relu(), scratch.Pooling(3, 2, stride=2, pad=1)
    assert relu.mask is None
    assert pooling.arg_max is None
    relu.forward(x)
    assert np.array_equal(relu.mask, x <= 0)
    out = pooling.forward(x)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    expected = [
        padded[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 2].argmax()
        for n in range(2)
        for i in range(out.shape[2])
        for j in range(out.shape[3])
        for c in range(3)
    ]
    assert pooling.arg_max.tolist() == expected


def test_softmax_with_loss(rng: np.random.Generator) -> None:
    x, labels = rng.standard_normal((4, 5)), np.array([1, 4, 0, 2])
    for t in (labels, np.eye(5)[labels], labels[:, None]):
        layer = scratch.SoftmaxWithLoss()
        loss = layer.forward(x, t)
        y = reference.softmax(x)
        assert loss == layer.loss == pytest.approx(reference_scratch.cross_entropy_error(y, labels))
        np.testing.assert_allclose(layer.y, y, rtol=1e-14)
        np.testing.assert_allclose(layer.backward(), (y - np.eye(5)[labels]) / 4, atol=1e-15)


def test_dropout_draws_from_numpys_global_generator(rng: np.random.Generator) -> None:
    x, layer = rng.standard_normal((30, 20)), scratch.Dropout(0.3)
    np.random.seed(5)
    kept = np.random.rand(30, 20) > 0.3
    np.random.seed(5)
    assert np.array_equal(layer.forward(x), x * kept)
    assert np.array_equal(layer.mask, kept)
    assert np.array_equal(layer.backward(x), x * kept)
    np.testing.assert_allclose(layer.forward(x, train_flg=False), 0.7 * x)


def test_batch_normalization_outside_training_uses_the_running_averages(
    rng: np.random.Generator,
) -> None:
    layer = scratch.BatchNormalization(GAMMA, BETA)
    mean, variance = np.zeros(12), np.zeros(12)
    for _ in range(3):
        x = rng.standard_normal((6, 12))
        layer.forward(x)
        mean, variance = 0.9 * mean + 0.1 * x.mean(axis=0), 0.9 * variance + 0.1 * x.var(axis=0)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, variance, rtol=1e-12)
    expected = GAMMA * (x - mean) / np.sqrt(variance + 1e-6) + BETA
    np.testing.assert_allclose(layer.forward(x, train_flg=False), expected, rtol=1e-12)
