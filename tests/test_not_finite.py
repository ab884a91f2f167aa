"""Values that are not finite, or almost overflow, reach the results that see them and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn as pc
import pocketcnn.functional as F
import reference
from pocketcnn.layers import Layer
from pocketcnn.network.fusion import fuse

Array = npt.NDArray[Any]
NAN, INF = float("nan"), float("inf")
NODATA = -3.4028235e38  # of a raster, in float32

# Settings of a convolution that Winograd takes: plain, wide, strided, dilated, in parts, grouped.
SETTINGS: list[dict[str, Any]] = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 5, "padding": 2},
    {"kernel_size": 7, "stride": 2, "padding": 3},
    {"kernel_size": 3, "padding": 2, "dilation": (2, 1)},
    {"kernel_size": (9, 7), "padding": 3},
    {"kernel_size": (1, 3), "padding": (0, 1)},
    {"kernel_size": (7, 1)},
    {"kernel_size": 3, "groups": 2},
]


def _layer(channels: int) -> pc.Conv2d:
    layer = pc.Conv2d(channels, 32, 3, padding=1)
    layer.initialize(np.random.default_rng(1), dtype=np.float32)
    return layer


def _close(actual: Array, wanted: Array, scale: float) -> None:
    """Equal where not finite, else within 2000 epsilons of `scale` or of the value."""
    eps = float(np.finfo(actual.dtype).eps)
    wanted = wanted.astype(actual.dtype)
    np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(wanted))
    np.testing.assert_allclose(actual, wanted, rtol=2000 * eps, atol=2000 * eps * scale)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("value", [NAN, INF, -INF, NODATA])
def test_a_pixel_reaches_the_windows_that_see_it(settings: dict[str, Any], value: float) -> None:
    rng = np.random.default_rng(5)
    window = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **settings}
    kernel = np.broadcast_to(window.pop("kernel_size"), 2)
    weight = rng.standard_normal((6, 4 // window["groups"], *kernel)).astype(np.float32)
    x = rng.standard_normal((2, 4, 23, 22)).astype(np.float32)
    x[1, 2, 9, 20] = value
    with np.errstate(invalid="ignore", over="ignore"):
        out = F.conv2d(x, weight, **window, algorithm="winograd")
        _close(out, reference.conv2d(x, weight, None, **window), 10)
        grad = rng.standard_normal(out.shape).astype(np.float32)
        _, dweight, _ = F.conv2d_backward(grad, x, weight, **window, algorithm="winograd")
        _close(dweight, reference.conv2d_backward(grad, x, weight, **window)[1], 100)
        x[1, 2, 9, 20], grad[0, 3, 4, 5] = 0, value
        dx, _, _ = F.conv2d_backward(grad, x, weight, **window, algorithm="winograd")
        _close(dx, reference.conv2d_backward(grad, x, weight, **window)[0], 10)


@pytest.mark.parametrize("pool", [None, {"kernel_size": 2}, {"kernel_size": 3, "stride": 2}])
@pytest.mark.parametrize("value", [NAN, -INF, NODATA])
def test_fused_stages_carry_it_as_layers_do(pool: dict[str, Any] | None, value: float) -> None:
    layers: dict[str, Layer] = {"conv": _layer(32), "relu": pc.ReLU()}
    if pool is not None:
        layers["pool"] = pc.MaxPool2d(**pool)
    shapes = [(32, 16, 18)]
    plan = F.conv2d_plan((9, *shapes[0]), (32, 32, 3, 3), padding=1)
    ways = (plan.forward, plan.input_grad, plan.weight_grad)
    assert [way.algorithm for way in ways] == ["winograd"] * 3
    for layer in layers.values():
        shapes.append(layer.output_shape(shapes[-1]))
    (stage,), _ = fuse(layers, shapes[:-1])
    rng = np.random.default_rng(2)
    x = rng.standard_normal((9, 32, 16, 18)).astype(np.float32)
    x[3, 1, 7, 8] = value
    grad = rng.standard_normal((9, *shapes[-1])).astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        fused = stage.forward(x, training=True)
        dx = stage.backward(grad)
        gradients = [layers["conv"].grads[name].copy() for name in ("weight", "bias")]
        plain = x
        for layer in layers.values():
            plain = layer.forward(plain, training=True)
        _close(fused, plain.astype(np.float64), 10)
        back = grad
        for layer in reversed(layers.values()):
            back = layer.backward(back)
    assert dx is not None
    _close(dx, back.astype(np.float64), 10)
    for actual, name in zip(gradients, ("weight", "bias"), strict=True):
        _close(actual, layers["conv"].grads[name].astype(np.float64), 100)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_a_relu_passes_where_its_output_is_nan(dtype: Any) -> None:
    out = np.array([NAN, 1, 0, -0.0, INF] * 7, dtype)
    grad = np.arange(1, 36, dtype=dtype)
    wanted = np.where(np.isnan(out) | (out > 0), grad, 0)
    np.testing.assert_array_equal(F.relu_backward(grad, out), wanted)


def test_nan_in_a_rectified_batch_norm_passes() -> None:
    layers: dict[str, Layer] = {
        "conv": _layer(4),
        "norm": pc.BatchNorm2d(32),
        "relu": pc.ReLU(),
    }
    layers["norm"].initialize(np.random.default_rng(0), dtype=np.float32)
    net = pc.ConvNet(
        [*layers.items(), ("f", pc.Flatten()), ("o", pc.Linear(32 * 64, 3))], (4, 8, 8), seed=None
    )
    x = np.random.default_rng(0).standard_normal((4, 4, 8, 8)).astype(np.float32)
    x[0, 0, 0, 0] = NAN
    net.gradient(x, [0, 1, 2, 0])
    assert np.isnan(net.layers["norm"].grads["weight"]).all()


def test_cross_entropy_of_logits_far_apart() -> None:
    logits = np.array([[3e38, -3e38, 0], [1, 2, 3]], np.float32)
    apart = 2 * float(np.float32(3e38))
    loss, grad = F.cross_entropy(logits, [1, 2])
    assert loss == pytest.approx((apart + np.log(1 + np.exp(-1) + np.exp(-2))) / 2)
    np.testing.assert_allclose(grad[0], [0.5, -0.5, 0])
    loss, _ = F.cross_entropy(logits, np.array([[0, 1, 0], [0, 0, 1]], np.float32))
    assert loss == pytest.approx(apart / 2)
    loss, _ = F.cross_entropy(logits, [1, 2], label_smoothing=0.5)
    assert np.isfinite(loss)


@pytest.mark.parametrize("beta", [0.75, 0.6])
@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 1e20), (np.float64, 1e160)])
def test_response_norm_of_large_values(dtype: Any, large: float, beta: float) -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, 7, 3, 30))
    x[0, 2, 1, 4], x[1, 6, 2, 29], x[1, 0, 0, 0] = large, -large, NAN
    x = x.astype(dtype)
    grad = rng.standard_normal(x.shape).astype(dtype)
    settings = {"size": 5, "alpha": 1e-3, "beta": beta, "k": 2.0}
    out, cache = F.local_response_norm(x, **settings)
    dx = F.local_response_norm_backward(grad, cache)
    wide, wide_grad = x.astype(np.longdouble), grad.astype(np.longdouble)
    near = [[i for i in range(7) if abs(i - c) <= 2] for c in range(7)]
    scale = np.stack([2 + (wide[:, n] ** 2).sum(1) * (1e-3 / 5) for n in near], 1)
    power = scale ** np.longdouble(-beta)
    terms = wide_grad * wide * power / scale
    shares = np.stack([terms[:, n].sum(1) for n in near], 1)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(out, wide * power, rtol=64 * eps)
    wanted = wide_grad * power - 2e-3 / 5 * beta * wide * shares
    np.testing.assert_allclose(dx, wanted, rtol=1000 * eps, atol=float(64 * eps))
