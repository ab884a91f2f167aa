"""The reference itself against SciPy and against identities that define it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal, special

import reference
from conv_cases import GROUPS, WINDOWS, ConvCase


@pytest.mark.parametrize("case", WINDOWS + GROUPS, ids=str)
def test_conv2d_is_scipy_correlation(case: ConvCase) -> None:
    arrays = case.arrays(np.float64)
    x, weight = arrays["x"], arrays["weight"]
    rows, cols = reference.axes(case.x, case.kernel, **case.window)
    padding = ((0, 0), (0, 0), (rows.before, rows.after), (cols.before, cols.after))
    padded = np.pad(x, padding)
    dilated_shape = tuple(a.dilation * (a.kernel - 1) + 1 for a in (rows, cols))
    dilated = np.zeros((*weight.shape[:2], *dilated_shape))
    dilated[:, :, :: rows.dilation, :: cols.dilation] = weight
    expected = np.zeros(case.output)
    per_group, channels = case.filters // case.groups, case.weight[1]
    for n, f, c in np.ndindex(case.x[0], case.filters, channels):
        image = padded[n, f // per_group * channels + c]
        full = signal.correlate(image, dilated[f, c], mode="valid", method="direct")
        expected[n, f] += full[:: rows.stride, :: cols.stride]
    actual = reference.conv2d(x, weight, **case.options)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_col2im_is_the_adjoint_of_im2col(case: ConvCase) -> None:
    x = case.arrays(np.float64)["x"]
    window: dict[str, Any] = {"kernel_size": case.kernel, **case.window}
    col = reference.im2col(x, **window)
    y = np.random.default_rng(1).normal(size=col.shape)
    back = reference.col2im(y, case.x, **window)
    assert np.sum(col * y) == pytest.approx(np.sum(x * back), rel=1e-12)


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_conv2d_is_im2col_times_weight(case: ConvCase) -> None:
    arrays = case.arrays(np.float64)
    col = reference.im2col(arrays["x"], case.kernel, **case.window)
    n, f, oh, ow = case.output
    product = col @ arrays["weight"].reshape(f, -1).T
    expected = product.reshape(n, oh, ow, f).transpose(0, 3, 1, 2)
    actual = reference.conv2d(arrays["x"], arrays["weight"], **case.options)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_activations_are_those_of_scipy(axis: int) -> None:
    x = np.random.default_rng(2).normal(scale=5, size=(3, 4, 5))
    np.testing.assert_allclose(reference.sigmoid(x), special.expit(x), rtol=1e-14)
    np.testing.assert_allclose(reference.softmax(x, axis), special.softmax(x, axis), rtol=1e-13)
    np.testing.assert_allclose(reference.silu(x), x * special.expit(x), rtol=1e-14)
    np.testing.assert_allclose(reference.gelu(x), x * special.ndtr(x), rtol=1e-13)
    expected = special.log_softmax(x, axis)
    np.testing.assert_allclose(reference.log_softmax(x, axis), expected, rtol=1e-13)
