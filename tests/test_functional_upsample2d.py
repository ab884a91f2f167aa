"""Resizing against the naive reference and PyTorch's: scales, edges, what is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
import reference_maps
from tolerance import assert_sum_close

MODES: list[dict[str, Any]] = [
    {},
    {"mode": "bilinear"},
    {"mode": "bilinear", "align_corners": True},
]
# Shapes that a task holds many of, and of which a plane is several tasks.
CASES: list[tuple[tuple[int, ...], Any]] = [
    ((2, 3, 4, 5), 1),
    ((2, 3, 4, 5), 2),
    ((2, 3, 4, 5), (2, 1)),
    ((2, 3, 4, 5), (1, 2)),
    ((2, 3, 4, 5), (3, 1)),
    ((2, 3, 4, 5), (1, 3)),
    ((2, 3, 4, 5), 1.5),
    ((2, 3, 4, 5), (2.3, 1)),
    ((2, 3, 4, 5), (1, 2.3)),
    ((2, 3, 3, 3), 2.3),
    ((2, 3, 9, 10), (0.5, 1)),
    ((2, 3, 9, 10), (1, 0.34)),
    ((2, 3, 9, 10), (0.3, 2.7)),
    ((2, 3, 1, 1), (7, 5)),
    ((2, 3, 1, 1), (200, 150)),
    ((2, 3, 4, 1), (1, 3)),
    ((2, 3, 9, 10), (1 / 9, 0.1)),
    ((1, 2, 70, 65), 2),
    ((40, 3, 11, 9), (1.9, 2)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize(("shape", "scale"), CASES, ids=str)
def test_is_the_definition(
    shape: tuple[int, ...], scale: Any, options: dict[str, Any], dtype: npt.DTypeLike
) -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal(shape).astype(dtype)
    out = F.upsample2d(x, scale, **options)
    assert out.dtype == dtype
    # Four shares, each rounded and multiplied by another; a place is off by its own rounding.
    magnitude = np.full(out.shape, np.abs(x).max())
    assert_sum_close(out, reference_maps.upsample2d(x, scale, **options), magnitude, 16)
    grad = rng.standard_normal(out.shape).astype(dtype)
    dx = F.upsample2d_backward(grad, shape, scale, **options)
    wanted = reference_maps.upsample2d_backward(grad, shape, scale, **options)
    magnitude = reference_maps.upsample2d_backward(np.abs(grad), shape, scale, **options)
    terms = 16 * max(1, out[0, 0].size // x[0, 0].size)
    assert_sum_close(dx, wanted, magnitude + np.abs(grad).max(), terms)


@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_pixel_that_is_not_finite_reaches_the_outputs_that_have_a_share(
    options: dict[str, Any], value: float
) -> None:
    rng = np.random.default_rng(5)
    for scale in (2, 3, 0.7, (1, 1.5), (2.5, 1)):
        x = np.ones((1, 1, 6, 7), np.float32)
        place = tuple(int(v) for v in rng.integers(0, (6, 7)))
        one = np.zeros(x.shape)
        one[(0, 0, *place)] = 1
        x[(0, 0, *place)] = value
        share = reference_maps.upsample2d(one, scale, **options)
        out = F.upsample2d(x, scale, **options)
        np.testing.assert_array_equal(np.isfinite(out), share < 1e-7)
        grad = np.ones(out.shape, np.float32)
        grad[0, 0, 0, 0] = value
        dx = F.upsample2d_backward(grad, x.shape, scale, **options)
        corner = np.zeros(out.shape)
        corner[0, 0, 0, 0] = 1
        share = reference_maps.upsample2d_backward(corner, x.shape, scale, **options)
        np.testing.assert_array_equal(np.isfinite(dx), share < 1e-7)


def test_long_sums_of_gradients_stay_accurate() -> None:
    for options in MODES:
        grad = np.full((1, 1, 2000, 1500), 0.1, np.float32)
        dx = F.upsample2d_backward(grad, (1, 1, 1, 1), (2000, 1500), **options)
        np.testing.assert_allclose(dx, float(np.float32(0.1)) * 3e6, rtol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize(("shape", "scale"), CASES, ids=str)
def test_is_what_pytorch_computes(
    shape: tuple[int, ...], scale: Any, options: dict[str, Any], dtype: Any
) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(6).standard_normal(shape).astype(dtype)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    theirs = dict(options)
    if "mode" in options:
        theirs.setdefault("align_corners", False)
    wanted = torch.nn.functional.interpolate(tensor, scale_factor=scale, **theirs)
    # Its places are single precision for single precision.
    tolerance = 2e-5 if dtype == np.float32 else 1e-11
    out = F.upsample2d(x, scale, **options)
    np.testing.assert_allclose(out, wanted.detach().numpy(), rtol=tolerance, atol=tolerance)
    grad = np.random.default_rng(7).standard_normal(out.shape).astype(dtype)
    wanted.backward(torch.from_numpy(grad))
    dx = F.upsample2d_backward(grad, shape, scale, **options)
    largest = max(1.0, float(np.abs(dx).max()))
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=0, atol=10 * tolerance * largest)
