"""Networks that Keras exported: outputs, and outputs after a step of SGD, as Keras' own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")
keras = pytest.importorskip("keras", reason="Keras is not installed")
pytest.importorskip("onnxscript", reason="the exporter needs onnxscript")

from keras_nets import networks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras' and PyTorch's own

NAMES = ["lenet", "strided", "separable", "unet", "upsampling", "rows"]


def first(x: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) as (N, C, H, W)."""
    return np.moveaxis(x, -1, 1) if x.ndim == 4 else x


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_a_step_of_sgd(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    theirs = networks()[name]
    x = np.random.default_rng(0).normal(size=(3, *theirs.input_shape[1:])).astype(np.float32)
    theirs(x)
    randomize(theirs)
    theirs.export(tmp_path / "net.onnx", format="onnx", verbose=False)
    ours = pc.onnx.load(tmp_path / "net.onnx")
    expected = first(np.asarray(theirs(x).detach()))
    np.testing.assert_allclose(ours.predict(first(x)), expected, rtol=1e-4, atol=2e-6)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in theirs.layers):
        return  # they are a part of the convolutions now, which train differently
    g = np.random.default_rng(1).normal(size=expected.shape).astype(np.float32)
    back = torch.from_numpy(np.ascontiguousarray(np.moveaxis(g, 1, -1) if g.ndim == 4 else g))
    (theirs(x) * back).sum().backward()
    with torch.no_grad():
        for variable in theirs.trainable_variables:
            variable.value.sub_(0.01 * variable.value.grad)
    ours.forward(first(x), training=True)
    ours.backward(g)
    pc.optim.SGD(0.01).update(ours.params, ours.grads)
    expected = first(np.asarray(theirs(x).detach()))
    np.testing.assert_allclose(ours.predict(first(x)), expected, rtol=1e-3, atol=1e-4)
    weights = sorted(np.asarray(v.value.detach()).sum() for v in theirs.trainable_variables)
    own = sorted(array.sum() for array in ours.params.values())
    if len(own) == len(weights):
        np.testing.assert_allclose(own, weights, rtol=1e-3, atol=1e-4)


def randomize(net: Any) -> None:
    """Statistics and slopes other than those that a new layer has."""
    rng = np.random.default_rng(2)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.uniform(-1, 1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
        if isinstance(layer, keras.layers.PReLU):
            layer.alpha.assign(rng.uniform(0, 0.5, layer.alpha.shape))
