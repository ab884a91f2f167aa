"""An empty batch costs nothing, however far a window reaches over its padding.

Code that counted the positions of these windows would not end: there are 2**31 and more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import functional as F
from pocketcnn.network.fusion import fuse

FAR = 2**30


@pytest.mark.parametrize("algorithm", ["auto", "im2col", "winograd"])
@pytest.mark.parametrize("settings", [{}, {"dilation": (1, 2)}, {"groups": 2}])
def test_convolution(algorithm: str, settings: dict[str, Any]) -> None:
    x = np.zeros((0, 6, 6, 2), np.float32)
    weight = np.ones((4, 6 // settings.get("groups", 1), 3, 3), np.float32)
    settings = {"padding": ((FAR, FAR), (2, 1)), "algorithm": algorithm, **settings}
    y = F.conv2d(x, weight, **settings)
    assert y.shape[:2] == (0, 4)
    assert y.shape[2] >= 2**31
    dx, dweight, dbias = F.conv2d_backward(y, x, weight, **settings)
    assert dx is not None
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dweight, np.zeros_like(weight))
    np.testing.assert_array_equal(dbias, np.zeros(4))


@pytest.mark.parametrize("shape", [(0, 3, 5, 4), (2, 0, 5, 4)])
@pytest.mark.parametrize(("kernel", "dilation"), [(FAR + 1, 1), (2, FAR)])
def test_max_pooling(shape: tuple[int, ...], kernel: int, dilation: int) -> None:
    x, padding = np.zeros(shape), ((FAR, FAR), (0, 0))
    y, argmax = F.max_pool2d(x, (kernel, 1), 1, padding, (dilation, 1))
    assert y.size == 0
    assert F.max_pool2d_backward(y, argmax, x.shape).shape == x.shape


def test_average_pooling() -> None:
    x, settings = np.zeros((0, 3, 5, 4)), ((FAR + 1, 1), 1, (FAR, 0))
    y = F.avg_pool2d(x, *settings)
    assert F.avg_pool2d_backward(y, x.shape, *settings).shape == x.shape


@pytest.mark.parametrize("shape", [(0, 3, 5, 4), (2, 0, 5, 4)])
def test_column_matrix(shape: tuple[int, ...]) -> None:
    columns = F.im2col(np.zeros(shape), 3, 1, (FAR, 0))
    assert columns.size == 0
    assert F.col2im(columns, shape, 3, 1, (FAR, 0)).shape == shape


@pytest.mark.parametrize("pool", [pc.MaxPool2d(2), pc.AvgPool2d(2)])
def test_fused(pool: Any) -> None:
    layers = {"conv": pc.Conv2d(1, 2, 3, padding=(FAR, 0)), "relu": pc.ReLU(), "pool": pool}
    shapes = [(1, 4, 4)]
    for layer in layers.values():
        shapes.append(layer.output_shape(shapes[-1]))
    (stage,), _ = fuse(layers, shapes[:-1])
    out = stage.forward(np.zeros((0, 1, 4, 4), np.float32), True)
    dx = stage.backward(out)
    assert dx is not None
    assert dx.shape == (0, 1, 4, 4)
    assert not layers["conv"].grads["weight"].any()
