"""Arrays and tensors of other libraries, wherever an array is taken."""

from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn import functional as F
from pocketcnn._arguments import array


class ByDLPack:
    """An array that only the DLPack protocol can read."""

    def __init__(self, values: np.ndarray) -> None:
        self._array = values

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


class ByArray:
    """A tensor that converts itself, unless it asks for gradients, as PyTorch's do."""

    def __init__(self, values: np.ndarray, requires_grad: bool = False) -> None:
        self._array, self.requires_grad = values, requires_grad

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self._array


class Elsewhere:
    """A tensor on another device."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


X = np.random.default_rng(5).standard_normal((3, 1, 28, 28)).astype(np.float32)
T = np.array([1, 4, 9])


def uses(x: Any, t: Any) -> list[Any]:
    """What users do with arrays."""
    net = pc.models.simple_convnet(seed=1)
    weight, bias = net.params["conv1.weight"], net.params["conv1.bias"]
    trainer = pc.Trainer(net, pc.optim.SGD(0.01))
    return [
        F.conv2d(x, weight, bias),
        F.relu(x),
        F.softmax(x),
        net.predict(x),
        net.activations(x)["relu1"],
        net.loss(x, t),
        net.accuracy(x, t),
        net.gradient(x, t)["conv1.weight"].copy(),
        trainer.step(x, t),
        trainer.fit(x, t, epochs=1, callbacks=())[-1]["loss"],
        pc.inspection.input_gradient(net, x, t),
        pc.losses.count_correct(net.predict(x), t),
    ]


@pytest.mark.parametrize("wrap", [ByDLPack, ByArray])
def test_other_arrays_are_read(wrap: Any) -> None:
    for came, wanted in zip(uses(wrap(X), wrap(T)), uses(X, T), strict=True):
        assert np.array_equal(came, wanted)


@pytest.mark.parametrize("wrap", [ByDLPack, ByArray])
def test_other_arrays_are_not_copied(wrap: Any) -> None:
    assert np.shares_memory(array("x", wrap(X)), X)


def test_arrays_of_the_array_api() -> None:
    xp = pytest.importorskip("array_api_strict")
    for came, wanted in zip(uses(xp.asarray(X), xp.asarray(T)), uses(X, T), strict=True):
        assert np.array_equal(came, wanted)


REFUSED = [
    (ByArray(X, requires_grad=True), ValueError, "requires gradients.* use tensor.detach"),
    (Elsewhere(), TypeError, "cannot be read as an array: can't convert cuda:0"),
    ([[1.0], [1.0, 2.0]], ValueError, "cannot be read as an array"),
]


@pytest.mark.parametrize(("value", "error", "message"), REFUSED)
def test_what_cannot_be_read(value: Any, error: type[Exception], message: str) -> None:
    net = pc.models.simple_convnet(seed=1)
    trainer = pc.Trainer(net, pc.optim.SGD(0.01))
    weight = net.params["conv1.weight"]
    for name, use in (
        ("x", lambda: F.relu(value)),
        ("x", lambda: F.conv2d(value, weight)),
        ("weight", lambda: F.conv2d(X, value)),
        ("x", lambda: net.predict(value)),
        ("x", lambda: net.loss(value, T)),
        ("t", lambda: net.loss(X, value)),
        ("t", lambda: net.accuracy(X, value)),
        ("x_batch", lambda: trainer.step(value, T)),
        ("t_batch", lambda: trainer.step(X, value)),
        ("x", lambda: trainer.fit(value, T, epochs=1)),
        ("t", lambda: trainer.fit(X, value, epochs=1)),
        ("x", lambda: pc.inspection.saliency(net, value)),
    ):
        with pytest.raises(error, match=f"^{name} {message}"):
            use()
