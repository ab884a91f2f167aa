"""Batch, group and local response normalisation against their definitions, and against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
import reference
import reference_maps
from operations import NORMALISATIONS
from tolerance import compute_roundoff, unit_roundoff

FLOATS = [np.float16, np.float32, np.float64]
# Planes that are gathered, that are not, that take several blocks; no multiples of a vector.
SHAPES = [(5, 3), (2, 1, 1, 1), (700, 2, 3, 3), (4, 5, 7, 9), (3, 2, 65, 66), (1, 33, 1, 71)]
SIZES = [1, 2, 3, 4, 5, 8, 100]


def _close(actual: Any, expected: Any, dtype: npt.DTypeLike, roundings: float) -> None:
    """Within so many roundings of the largest magnitude, and float16's own at the end."""
    assert actual.dtype == dtype
    scale = max(float(np.abs(expected).max(initial=0)), 1e-3)
    bound = roundings * compute_roundoff(dtype) * scale
    if dtype == np.float16:
        bound += 2 * unit_roundoff(dtype) * scale
    np.testing.assert_allclose(actual.astype(np.float64), expected, rtol=0, atol=bound)


def _inputs(shape: tuple[int, ...], dtype: npt.DTypeLike, mean: float = 0.5) -> list[Any]:
    rng = np.random.default_rng(len(shape) + sum(shape))
    x = (mean + rng.normal(size=shape)).astype(dtype)
    return [x, *rng.normal(size=(2, shape[1])).astype(dtype)]


def _statistics(x: Any) -> tuple[Any, Any]:
    axes = tuple(i for i in range(x.ndim) if i != 1)
    exact = x.astype(np.longdouble)
    return exact.mean(axes), exact.var(axes)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_in_training(shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    x, gamma, beta = _inputs(shape, dtype)
    mean, var = _statistics(x)
    out, _ = F.batch_norm(x, gamma, beta, None, None, True, eps=1e-3)
    expected = reference.batch_norm(x, gamma, beta, mean, var, 1e-3)
    _close(out, expected, dtype, 16)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_in_inference(shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    x, gamma, beta = _inputs(shape, dtype)
    rng = np.random.default_rng(3)
    mean, var = rng.normal(size=shape[1]), rng.uniform(0.5, 2, size=shape[1])
    kept = mean.copy(), var.copy()
    out, cache = F.batch_norm(x, gamma, beta, mean, var, False)
    _close(out, reference.batch_norm(x, gamma, beta, mean, var, 1e-5), dtype, 16)
    np.testing.assert_array_equal((mean, var), kept)
    # The running means do not depend on x: the gradient only scales.
    dx, dgamma, dbeta = F.batch_norm_backward(np.ones_like(out), cache)
    scale = gamma.astype(np.float64) / np.sqrt(var + 1e-5)
    _close(dx[:1].reshape(shape[1], -1)[:, 0], scale, dtype, 16)
    count = x.size / shape[1]
    _close(dbeta, np.full(shape[1], count), dtype, 16)
    assert dgamma.shape == (shape[1],)


@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_running_means_move_in_place(momentum: float) -> None:
    x, gamma, beta = _inputs((4, 3, 5, 6), np.float32)
    mean, var = np.full(3, 2.0, np.float32), np.full(3, 3.0, np.float32)
    F.batch_norm(x, gamma, beta, mean, var, True, momentum)
    batch_mean, batch_var = _statistics(x)
    unbiased = batch_var * 120 / 119
    rtol = 8 * float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(mean, (1 - momentum) * 2 + momentum * batch_mean, rtol)
    np.testing.assert_allclose(var, (1 - momentum) * 3 + momentum * unbiased, rtol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [1e2, 1e4, -3e4])
@pytest.mark.parametrize("shape", [(6, 2, 3, 3), (2, 2, 90, 91)], ids=str)
def test_batch_norm_far_from_zero(shape: Any, mean: float, dtype: npt.DTypeLike) -> None:
    """A mean so large that float32 sums would lose the variance."""
    x, gamma, beta = _inputs(shape, dtype, mean)
    # The second half of the batch is elsewhere: a shift by the first elements does not help.
    x[len(x) // 2 :] -= 3
    running = np.zeros(2), np.ones(2)
    out, cache = F.batch_norm(x, gamma, beta, *running, True, momentum=1)
    exact_mean, exact_var = _statistics(x)
    count = x.size // 2
    roundoff = compute_roundoff(dtype)
    # Means are kept in float64, whose rounding matters for float64 only.
    lost = abs(mean) * unit_roundoff(np.float64) / roundoff
    unbiased, rtol = exact_var * count / (count - 1), 16 * roundoff
    np.testing.assert_allclose(running[0], exact_mean, rtol)
    np.testing.assert_allclose(running[1], unbiased, rtol * (1 + lost))
    expected_out = reference.batch_norm(x, gamma, beta, exact_mean, exact_var, 1e-5)
    _close(out, expected_out, dtype, 16 * (1 + lost))
    # The gradient does not depend on the offset.
    grad = np.random.default_rng(1).normal(size=shape).astype(dtype)
    dx, dgamma, _ = F.batch_norm_backward(grad, cache)
    centered = (x - exact_mean[:, None, None]).astype(np.float64)
    near = F.batch_norm(centered, gamma, beta, None, None, True)[1]
    expected = F.batch_norm_backward(grad.astype(np.float64), near)
    _close(dx, expected[0], dtype, 64 * (1 + lost))
    _close(dgamma, expected[1], dtype, 64 * (1 + lost))


def test_nan_spoils_its_channel_only() -> None:
    x, gamma, beta = _inputs((2, 3, 9, 9), np.float32)
    x[1, 1, 4, 4] = np.nan
    for rectify in (False, True):
        out, _ = F.batch_norm(x, gamma, beta, None, None, True, rectify=rectify)
        assert np.isnan(out[:, 1]).all()
        assert np.isfinite(out[:, [0, 2]]).all()


def test_a_constant_channel_gives_beta() -> None:
    x = np.full((2, 2, 5, 5), 1e4, np.float32)
    out, cache = F.batch_norm(x, [2.0, 3.0], [0.5, -0.5], None, None, True)
    np.testing.assert_array_equal(out[:, 0], np.float32(0.5))
    np.testing.assert_array_equal(out[:, 1], np.float32(-0.5))
    dx, _, _ = F.batch_norm_backward(np.ones_like(x), cache)
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES[2:], ids=str)
def test_rectify_is_a_relu_behind(shape: Any, dtype: npt.DTypeLike, training: bool) -> None:
    x, gamma, beta = _inputs(shape, dtype)
    running = np.zeros(shape[1]), np.ones(shape[1])
    grad = np.random.default_rng(2).normal(size=shape).astype(dtype)
    out, cache = F.batch_norm(x, gamma, beta, *running, training)
    fused, fused_cache = F.batch_norm(x, gamma, beta, *running, training, rectify=True)
    np.testing.assert_array_equal(fused, F.relu(out)) if not training else None
    expected = F.batch_norm_backward(F.relu_backward(grad, F.relu(out)), cache)
    for a, e in zip(F.batch_norm_backward(grad, fused_cache), expected, strict=True):
        np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES[2:], ids=str)
def test_a_ceiling_bounds_the_relu(shape: Any, dtype: npt.DTypeLike, training: bool) -> None:
    x, gamma, beta = _inputs(shape, dtype)
    running = np.zeros(shape[1]), np.ones(shape[1])
    grad = np.random.default_rng(2).normal(size=shape).astype(dtype)
    ceiling = 0.75
    out, cache = F.batch_norm(x, gamma, beta, *running, training, momentum=0)
    fused, fused_cache = F.batch_norm(
        x, gamma, beta, *running, training, momentum=0, rectify=True, ceiling=ceiling
    )
    np.testing.assert_array_equal(fused, np.clip(out, 0, ceiling))
    passed = np.where((out > 0) & (out < ceiling), grad, 0).astype(dtype)
    expected = F.batch_norm_backward(passed, cache)
    for a, e in zip(F.batch_norm_backward(grad, fused_cache), expected, strict=True):
        np.testing.assert_array_equal(a, e)


def test_empty_batch_leaves_the_running_means() -> None:
    running = np.full(3, 2.0), np.full(3, 3.0)
    out, cache = F.batch_norm(np.empty((0, 3, 4, 4)), np.ones(3), np.zeros(3), *running, True)
    assert out.shape == (0, 3, 4, 4)
    np.testing.assert_array_equal(running, [[2.0] * 3, [3.0] * 3])
    dx, dgamma, dbeta = F.batch_norm_backward(out, cache)
    assert dx.shape == (0, 3, 4, 4)
    assert not dgamma.any()
    assert not dbeta.any()


# The parameters of PyTorch, of the paper (its alpha times the size), and some that amplify.
SETTINGS = [
    (1e-4, 0.75, 1.0),
    (5e-4, 0.75, 2.0),
    (3.0, 0.75, 0.5),
    (2.0, 0.6, 1.0),
    (1.0, 3.0, 2.0),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("alpha", "beta", "k"), SETTINGS)
def test_local_response_norm(
    size: int, alpha: float, beta: float, k: float, dtype: npt.DTypeLike
) -> None:
    x = np.random.default_rng(size).normal(size=(2, 7, 5, 9)).astype(dtype)
    out, _ = F.local_response_norm(x, size, alpha, beta, k)
    expected = reference.local_response_norm(x, size, alpha, beta, k)
    _close(out, expected, dtype, 16 * max(1, beta))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 1, 2), (2, 6, 23, 47), (1, 9, 40, 41)])
def test_local_response_norm_of_any_shape(shape: Any, dtype: npt.DTypeLike) -> None:
    rng = np.random.default_rng(1)
    x, grad = rng.normal(size=(2, *shape)).astype(dtype)
    out, cache = F.local_response_norm(x, 5, 0.7, 0.75, 2.0)
    _close(out, reference.local_response_norm(x, 5, 0.7, 0.75, 2.0), dtype, 16)
    s = reference.response_scale(x, 5, 0.7, 2.0)
    grad64, x64 = grad.astype(np.float64), x.astype(np.float64)
    expected = grad64 * s**-0.75
    shares = 2 * 0.7 / 5 * 0.75 * grad64 * x64 * s**-1.75
    for c in range(shape[1]):
        # A window of odd size is symmetric: channels damp each other.
        expected[:, c] -= x64[:, c] * shares[:, max(0, c - 2) : c + 3].sum(axis=1)
    _close(F.local_response_norm_backward(grad, cache), expected, dtype, 32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.75, 1.0, 2.5, 7.0])
def test_powers_of_all_magnitudes(beta: float, dtype: npt.DTypeLike) -> None:
    """Relative errors of a few roundings, and the limits, from the least s to the largest."""
    limit = {np.float32: 18, np.float64: 140}[dtype]
    x = (10.0 ** np.linspace(-limit, limit, 4001)).astype(dtype).reshape(1, 1, 1, -1)
    s = x.astype(np.float64) ** 2
    with np.errstate(over="ignore"):
        factor = s**-beta
        expected = x.astype(np.float64) * factor
    out, _ = F.local_response_norm(x, 1, 1.0, beta, 0.0)
    normal = np.ones(x.shape, bool)
    for values in (factor, expected):
        normal &= (values > np.finfo(dtype).tiny) & (values < np.finfo(dtype).max)
    assert normal.sum() > 500
    # Squaring rounds once, which the power multiplies by beta; beta itself is rounded, times log s.
    roundings = 8 + beta * (2 + np.abs(np.log(s[normal])))
    error = np.abs(out[normal].astype(np.float64) / expected[normal] - 1)
    assert (error <= roundings * unit_roundoff(dtype) + 1e-15).all()


def test_values_that_are_not_finite() -> None:
    x = np.ones((1, 7, 1, 3), np.float32)
    x[0, 3, 0, 1] = np.nan
    x[0, 3, 0, 2] = np.inf
    for beta in (0.75, 0.6):
        out, _ = F.local_response_norm(x, 3, 1.0, beta)
        assert np.isfinite(out[..., 0]).all()
        np.testing.assert_array_equal(np.isnan(out[0, :, 0, 1]), [0, 0, 1, 1, 1, 0, 0])
        np.testing.assert_array_equal(out[0, [2, 4], 0, 2], 0)
        assert np.isnan(out[0, 3, 0, 2])


def test_a_gradient_needs_its_own_cache() -> None:
    x = np.ones((2, 3, 2, 2))
    _, batch = F.batch_norm(x, np.ones(3), np.ones(3), None, None, True)
    _, response = F.local_response_norm(x, 3)
    with pytest.raises(TypeError, match=r"cache is .* must be the BatchNormCache"):
        F.batch_norm_backward(x, response)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"cache is .* must be the ResponseNormCache"):
        F.local_response_norm_backward(x, (batch,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"cache is .* must be the GroupNormCache"):
        F.group_norm_backward(x, batch)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(NORMALISATIONS))
def test_pytorch_computes_the_same(name: str) -> None:
    torch: Any = pytest.importorskip("torch")
    arguments = NORMALISATIONS[name].arguments(np.float64, seed=4)
    ours = NORMALISATIONS[name](dict(arguments))
    grad = arguments.pop("grad", None)
    tensors = {
        key: torch.tensor(value, requires_grad=True)
        for key, value in arguments.items()
        if isinstance(value, np.ndarray)
    }
    settings = {key: value for key, value in arguments.items() if key not in tensors}
    if name.startswith("batch_norm"):
        x, gamma, beta = tensors.values()
        out = torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True)
    elif name.startswith("group_norm"):
        x, gamma, beta = tensors.values()
        out = torch.nn.functional.group_norm(x, settings["groups"], gamma, beta, settings["eps"])
    else:
        (x,) = tensors.values()
        out = torch.nn.functional.local_response_norm(x, **settings)
    if grad is not None:
        out.backward(torch.tensor(grad))
    theirs = [out.detach()] if grad is None else [t.grad for t in tensors.values()]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-12, atol=1e-12)


GROUPED: list[tuple[tuple[int, ...], int]] = [
    ((2, 6, 4, 5), 2),
    ((2, 6, 4, 5), 1),
    ((2, 6, 4, 5), 6),
    ((3, 4, 1, 1), 2),
    ((3, 4), 2),
    ((2, 4, 3), 2),
    ((1, 3, 70, 67), 1),
    ((1, 4, 90, 50), 2),
    ((1, 1, 1, 1), 1),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize(("shape", "groups"), GROUPED, ids=str)
def test_group_norm_is_the_definition(
    shape: tuple[int, ...], groups: int, mean: float, dtype: Any
) -> None:
    """A mean far larger than the deviations costs no more than the rounding of x itself."""
    rng = np.random.default_rng(11)
    x = (rng.standard_normal(shape) + mean).astype(dtype)
    grad = rng.standard_normal(shape).astype(dtype)
    gamma, beta = rng.standard_normal((2, shape[1])).astype(dtype)
    out, cache = F.group_norm(x, groups, gamma, beta, eps=1e-3)
    got = F.group_norm_backward(grad, cache)
    assert {a.dtype for a in (out, *got)} == {np.dtype(dtype)}
    wanted = reference_maps.group_norm(x, groups, gamma, beta, 1e-3)
    eps = float(np.finfo(dtype).eps) + mean * float(np.finfo(np.float64).eps)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=200 * eps)
    back = reference_maps.group_norm_backward(grad, x, groups, gamma, 1e-3)
    for actual, right in zip(got, back, strict=True):
        scale = max(1.0, float(np.abs(right).max()))
        np.testing.assert_allclose(actual, right, rtol=0, atol=2000 * eps * scale)


def test_nan_spoils_its_group_of_its_image_only() -> None:
    x = np.random.default_rng(3).standard_normal((2, 4, 3, 3)).astype(np.float32)
    x[1, 2, 0, 0] = np.nan
    out, _ = F.group_norm(x, 2, np.ones(4, np.float32), np.zeros(4, np.float32))
    spoilt = np.zeros(x.shape, bool)
    spoilt[1, 2:] = True
    np.testing.assert_array_equal(np.isnan(out), spoilt)


def test_group_norm_of_float16_does_not_overflow() -> None:
    """The squares of 300 are beyond float16, and the sum of so many numbers too."""
    x = np.full((1, 2, 40, 40), 300, np.float16)
    x[:, :, ::2] = -300
    out, cache = F.group_norm(x, 1, np.ones(2, np.float16), np.zeros(2, np.float16))
    np.testing.assert_array_equal(out, np.sign(x))
    dx, dgamma, _ = F.group_norm_backward(np.sign(x), cache)
    assert dx.dtype == np.float16
    np.testing.assert_allclose(dx, 0, atol=1e-3)
    np.testing.assert_array_equal(dgamma, [1600, 1600])
