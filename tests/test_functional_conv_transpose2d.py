"""Transposed convolution against the naive reference, as the adjoint of conv2d, and PyTorch's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn.functional as F
import reference_maps
from tolerance import assert_sum_close

# Each setting by itself on each axis, then together: shape of x, of the weight, settings.
CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 4, 5), (3, 2, 3, 3), {}),
    ((2, 3, 4, 5), (3, 2, 1, 1), {}),
    ((2, 3, 4, 5), (3, 2, 4, 1), {}),
    ((2, 3, 4, 5), (3, 2, 1, 4), {}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"stride": (2, 1)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"stride": (1, 3)}),
    ((2, 3, 4, 5), (3, 2, 2, 2), {"stride": 3}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"padding": (1, 0)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"padding": (0, 3)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"padding": ((1, 0), (0, 0))}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"padding": ((0, 1), (0, 0))}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"padding": ((0, 0), (2, 0))}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"padding": ((0, 0), (0, 2))}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"padding": "same"}),
    ((2, 3, 4, 5), (3, 2, 2, 4), {"padding": "same", "stride": (3, 2)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"stride": 2, "output_padding": (1, 0)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"stride": 3, "output_padding": (0, 2)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 3, 4, 5), (3, 2, 2, 2), {"dilation": (4, 1), "output_padding": (3, 0)}),
    ((2, 3, 4, 5), (3, 2, 2, 2), {"stride": 2, "dilation": (1, 6), "output_padding": (1, 5)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"dilation": (2, 1)}),
    ((2, 3, 4, 5), (3, 2, 3, 3), {"dilation": (1, 3)}),
    ((2, 4, 4, 5), (4, 3, 3, 3), {"groups": 2}),
    ((2, 4, 4, 5), (4, 1, 2, 2), {"groups": 4, "stride": 2}),
    ((2, 4, 4, 5), (4, 2, 3, 2), {"stride": (2, 3), "padding": ((1, 0), (2, 1)),
     "output_padding": (1, 2), "dilation": (2, 1), "groups": 2}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((3, 40, 9, 10), (40, 24, 2, 2), {"stride": 2}),
    ((3, 33, 9, 10), (33, 40, 4, 4), {"stride": 2, "padding": 1}),
    ((2, 40, 12, 13), (40, 33, 3, 3), {"padding": 1}),
]  # fmt: skip


def _arrays(
    x: tuple[int, ...], weight: tuple[int, ...], groups: int, dtype: npt.DTypeLike
) -> list[Any]:
    rng = np.random.default_rng(8)
    shapes = x, weight, (weight[1] * groups,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("x", "weight", "options"), CASES, ids=str)
def test_is_the_definition(
    x: tuple[int, ...], weight: tuple[int, ...], options: dict[str, Any], dtype: npt.DTypeLike
) -> None:
    arrays = _arrays(x, weight, options.get("groups", 1), dtype)
    exact = [a.astype(np.float64) for a in arrays]
    actual = F.conv_transpose2d(*arrays, **options)
    assert actual.dtype == dtype
    magnitude = reference_maps.conv_transpose2d(*map(np.abs, exact), **options)
    wanted = reference_maps.conv_transpose2d(*exact, **options)
    taps = math.prod(weight[2:])
    assert_sum_close(actual, wanted, magnitude, weight[0] * taps)

    grad = np.random.default_rng(9).standard_normal(wanted.shape).astype(dtype)
    got = F.conv_transpose2d_backward(grad, *arrays[:2], **options)
    exact = [grad.astype(np.float64), *exact[:2]]
    wanted_grads = reference_maps.conv_transpose2d_backward(*exact, **options)
    magnitudes = reference_maps.conv_transpose2d_backward(*map(np.abs, exact), **options)
    pixels = grad.size // grad.shape[1]
    for a, e, m, k in zip(
        got, wanted_grads, magnitudes, (weight[1] * taps, pixels, pixels), strict=True
    ):
        assert a is not None
        assert a.dtype == dtype
        assert a.flags.c_contiguous
        assert_sum_close(a, e, m, k)
    none, *rest = F.conv_transpose2d_backward(grad, *arrays[:2], **options, input_grad=False)
    assert none is None
    for a, again in zip(got[1:], rest, strict=True):
        np.testing.assert_array_equal(again, a)


def test_a_pixel_that_is_not_finite_reaches_its_own_taps_only() -> None:
    x, weight, _ = _arrays((1, 4, 6, 7), (4, 5, 3, 3), 1, np.float32)
    x[0, 2, 3, 4] = np.nan
    out = F.conv_transpose2d(x, weight, stride=2)
    wanted = np.zeros(out.shape, bool)
    wanted[:, :, 6:9, 8:11] = True
    np.testing.assert_array_equal(np.isnan(out), wanted)


@pytest.mark.parametrize(("x", "weight", "options"), CASES, ids=str)
def test_is_what_pytorch_computes(
    x: tuple[int, ...], weight: tuple[int, ...], options: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    padding = options.get("padding", 0)
    sides = reference_maps.sides(padding) if not isinstance(padding, str) else ((0, 1), (0, 1))
    if any(before != after for before, after in sides):
        pytest.skip("PyTorch pads alike on both sides, and knows no names")
    arrays = _arrays(x, weight, options.get("groups", 1), np.float64)
    tensors = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    wanted = torch.nn.functional.conv_transpose2d(*tensors, **options)
    out = F.conv_transpose2d(*arrays, **options)
    np.testing.assert_allclose(out, wanted.detach().numpy(), rtol=1e-10, atol=1e-11)
    grad = np.random.default_rng(9).standard_normal(out.shape)
    wanted.backward(torch.from_numpy(grad))
    got = F.conv_transpose2d_backward(grad, *arrays[:2], **options)
    for actual, tensor in zip(got, tensors, strict=True):
        np.testing.assert_allclose(actual, tensor.grad.numpy(), rtol=1e-10, atol=1e-10)
