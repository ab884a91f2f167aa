"""Activations and their gradients against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
import reference
from operations import ACTIVATIONS, FROM_INPUT
from tolerance import assert_relative_close, assert_sum_close

FLOATS = [np.float16, np.float32, np.float64]
EXACT = ("relu", "relu6")

# A good exp or tanh errs by less than two units in the last place, that is four roundings;
# the addition and the division around it make six.
FEW = 8

SHAPES: list[tuple[int, ...]] = [
    (1,), (7,), (0,), (3, 0, 2), (4, 33), (2, 3, 5, 7), (1000,), (3, 70, 11, 13), (2, 1, 3, 1, 2),
]  # fmt: skip


def _numbers(shape: tuple[int, ...], dtype: npt.DTypeLike, scale: float = 3.0) -> npt.NDArray[Any]:
    rng = np.random.default_rng([len(shape), *shape])
    return np.asarray(rng.normal(scale=scale, size=shape)).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("row", ACTIVATIONS)
def test_elementwise(row: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    name, settings = ACTIVATIONS[row]
    x, grad = _numbers(shape, dtype), _numbers((*shape, 1), dtype)[..., 0]
    out = getattr(F, name)(x, **settings)
    assert out.dtype == dtype
    assert_relative_close(out, getattr(reference, name)(x, **settings), _roundings(row, x))
    kept = x if name in FROM_INPUT else out
    dx = getattr(F, f"{name}_backward")(grad, kept, **settings)
    assert dx.dtype == dtype
    # 1 - out is exact or rounded once, and so is each product; 1 - out**2 cancels.
    exact, exact_grad = kept.astype(np.float64), grad.astype(np.float64)
    expected = getattr(reference, f"{name}_backward")(exact_grad, exact, **settings)
    terms = FEW if name in FROM_INPUT else 3
    assert_sum_close(dx, expected, np.abs(exact_grad) * (1 + np.minimum(exact**2, 1)), terms)


def _roundings(row: str, x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Where an exponent is a product, the reference's is rounded, and exp magnifies that."""
    roundings = np.full(x.shape, 0.0 if row in EXACT else float(FEW))
    if x.dtype == np.float64 and row in ("gelu", "gelu_tanh"):
        size = np.minimum(np.abs(x), 40)
        roundings += 4 * (size**2 if row == "gelu" else size + size**3 / 4)
    return roundings


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", ["sigmoid", "tanh", "elu", "silu", "gelu", "gelu_tanh"])
def test_accuracy_over_the_whole_range(row: str, dtype: npt.DTypeLike) -> None:
    """Relative accuracy near zero and in both tails, where a naive formula loses it."""
    name, settings = ACTIVATIONS[row]
    limit = 0.98 * np.log(float(np.finfo(dtype).max))
    ends = {"gelu": np.sqrt(2 * limit) - 0.2, "gelu_tanh": np.cbrt(12 * limit)}
    magnitudes = np.geomspace(1e-30, ends.get(row, limit), 4001)
    x = np.concatenate([-magnitudes[::-1], [0.0], magnitudes]).astype(dtype)
    out = getattr(F, name)(x, **settings)
    assert_relative_close(out, getattr(reference, name)(x, **settings), _roundings(row, x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_values_at_the_ends(dtype: npt.DTypeLike) -> None:
    largest = np.finfo(dtype).max
    x = np.array([-np.inf, -largest, -0.0, 0.0, largest, np.inf, np.nan], dtype=dtype)
    np.testing.assert_array_equal(F.relu(x), np.array([0, 0, 0, 0, largest, np.inf, np.nan], dtype))
    np.testing.assert_array_equal(F.sigmoid(x), np.array([0, 0, 0.5, 0.5, 1, 1, np.nan], dtype))
    np.testing.assert_array_equal(F.tanh(x), np.array([-1, -1, 0, 0, 1, 1, np.nan], dtype))
    np.testing.assert_array_equal(F.relu6(x), np.array([0, 0, 0, 0, 6, 6, np.nan], dtype))
    np.testing.assert_array_equal(
        F.hard_sigmoid(x), np.array([0, 0, 0.5, 0.5, 1, 1, np.nan], dtype)
    )
    right = np.array([largest, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(F.elu(x), [-1, -1, 0, 0, *right])
    np.testing.assert_array_equal(F.leaky_relu(x), [-np.inf, x[1] * dtype(0.01), 0, 0, *right])
    for out in (F.silu(x), F.hard_swish(x), F.gelu(x), F.gelu(x, "tanh")):
        np.testing.assert_array_equal(out, [0, 0, 0, 0, *right])
    one, gates = np.ones_like(x), (F.silu_backward, F.hard_swish_backward, F.gelu_backward)
    for dx in (*(gradient(one, x) for gradient in gates), F.gelu_backward(one, x, "tanh")):
        np.testing.assert_array_equal(dx[:6], [0, 0, 0.5, 0.5, 1, 1])
        assert np.isnan(dx[6])


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradients_at_the_kinks(dtype: npt.DTypeLike) -> None:
    """As PyTorch's: the slope on the left, but for flat pieces, which are flat at both ends."""
    two = np.full(2, 2, dtype)
    np.testing.assert_array_equal(F.relu6_backward(two, [0, 6]), [0, 0])
    np.testing.assert_array_equal(F.hard_sigmoid_backward(two, [0, 1]), [0, 0])
    np.testing.assert_array_equal(F.hard_swish_backward(two, [-3, 3]), [0, 2])
    np.testing.assert_array_equal(F.leaky_relu_backward(two, [0, -0.0], 0.5), [1, 1])
    np.testing.assert_array_equal(F.elu_backward(two, [0, -1], 1.0), [2, 0])
    dx, dweight = F.prelu_backward(two, np.array([0, -3], dtype), np.array([0.5], dtype))
    np.testing.assert_array_equal(dx, [1, 1])
    np.testing.assert_array_equal(dweight, [-6])


def test_slopes_see_nan() -> None:
    """A NaN shows in the slopes that are trained."""
    _, dweight = F.prelu_backward(np.ones((2, 3)), [[1, np.nan, -1], [2, 3, -4]], np.ones(3))
    np.testing.assert_array_equal(dweight, [0, np.nan, -5])


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5, 7), (1, 3, 70, 300), (500, 3), (0, 3, 2)])
@pytest.mark.parametrize("slopes", [1, None])
def test_prelu(shape: tuple[int, ...], slopes: int | None) -> None:
    x, grad = _numbers(shape, np.float32), _numbers((*shape, 1), np.float32)[..., 0]
    weight = _numbers((slopes or shape[1],), np.float32)
    assert_relative_close(F.prelu(x, weight), reference.prelu(x, weight), 1)
    dx, dweight = F.prelu_backward(grad, x, weight)
    right, right_weight = reference.prelu_backward(grad, x, weight)
    assert_relative_close(dx, right, 1)
    magnitude = reference.prelu_backward(np.abs(grad), -np.abs(x), weight)[1]
    assert_sum_close(dweight, right_weight, np.abs(magnitude), 2 + int(np.sqrt(x.size)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormals_are_kept(dtype: npt.DTypeLike) -> None:
    """No operation may leave flush-to-zero switched on."""
    tiny = np.full(65, np.finfo(dtype).smallest_subnormal, dtype=dtype)
    np.testing.assert_array_equal(F.relu(tiny), tiny)
    F.conv2d(np.ones((2, 3, 20, 20), dtype), np.ones((4, 3, 3, 3), dtype))
    assert (tiny + tiny > tiny).all()


AXES = [
    ((5, 10), 1), ((5, 10), 0), ((5, 10), -1), ((7,), 0), ((3, 4, 5), 2), ((3, 4, 5), 1),
    ((2, 3, 4, 5), 1), ((2, 3, 4, 5), -2), ((2, 3, 4, 5), -4), ((1, 1), 1), ((4, 1), 1),
    ((0, 5), 1), ((3, 0), 1), ((4, 0, 2), 1), ((2, 1000), 1), ((3, 21, 17), 1), ((60, 33), 1),
]  # fmt: skip


def _softmax_roundings(x: npt.NDArray[Any], axis: int) -> npt.NDArray[np.float64]:
    """Relative error of softmax in roundings: x - max rounds once and exp magnifies that."""
    exact = x.astype(np.float64)
    if exact.size == 0:
        return np.zeros(exact.shape)
    return np.abs(exact - exact.max(axis=axis, keepdims=True)) + FEW + 8 * np.sqrt(x.shape[axis])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("shape", "axis"), AXES, ids=str)
def test_softmax(shape: tuple[int, ...], axis: int, dtype: npt.DTypeLike) -> None:
    x, grad = _numbers(shape, dtype), _numbers((*shape, 1), dtype)[..., 0]
    terms = shape[axis]
    out, log_out = F.softmax(x, axis=axis), F.log_softmax(x, axis=axis)
    assert out.dtype == log_out.dtype == dtype
    roundings = _softmax_roundings(x, axis)
    assert_relative_close(out, reference.softmax(x, axis), roundings)
    expected = reference.log_softmax(x, axis)
    assert_sum_close(log_out, expected, np.abs(expected) + 1, terms + FEW)

    exact_grad, exact_out = grad.astype(np.float64), out.astype(np.float64)
    dx = F.softmax_backward(grad, out, axis=axis)
    assert dx.dtype == dtype
    total = np.abs(exact_grad * exact_out).sum(axis=axis, keepdims=True)
    magnitude = exact_out * (np.abs(exact_grad) + total)
    assert_sum_close(
        dx, reference.softmax_backward(exact_grad, exact_out, axis), magnitude, terms + 2
    )

    exact_log = log_out.astype(np.float64)
    dx = F.log_softmax_backward(grad, log_out, axis=axis)
    assert dx.dtype == dtype
    total = np.abs(exact_grad).sum(axis=axis, keepdims=True)
    magnitude = np.abs(exact_grad) + np.exp(exact_log) * total * np.maximum(1, np.abs(exact_log))
    assert_sum_close(
        dx, reference.log_softmax_backward(exact_grad, exact_log, axis), magnitude, terms + FEW
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_huge_numbers_does_not_overflow(axis: int, dtype: npt.DTypeLike) -> None:
    largest = float(np.finfo(dtype).max)
    x = np.array([[largest, 0.0], [0.0, -largest], [largest / 2, -largest / 2]], dtype=dtype)
    x = np.ascontiguousarray(x if axis == 1 else x.T)
    wanted = np.array([[1, 0]] * 3, dtype=dtype)
    np.testing.assert_array_equal(F.softmax(x, axis=axis), wanted if axis == 1 else wanted.T)
    log = F.log_softmax(x, axis=axis)
    log = log if axis == 1 else log.T
    np.testing.assert_array_equal(log[:, 0], 0)
    assert (log[:2, 1] == -largest).all()


def test_softmax_admits_minus_infinity() -> None:
    """A masked class has probability zero; a row of NaN stays NaN and affects no other row."""
    x = np.array([[0.0, -np.inf, 0.0], [np.nan, 0.0, 0.0], [1.0, 1.0, 1.0]])
    out = F.softmax(x)
    np.testing.assert_array_equal(out[0], [0.5, 0, 0.5])
    assert np.isnan(out[1]).all()
    assert_relative_close(out[2], np.full(3, 1 / 3), FEW)
