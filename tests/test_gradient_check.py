"""The gradient check for users: it finds errors, and does not change the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.losses import CrossEntropy, MeanSquaredError
from pocketcnn.network.gradient_check import GradientCheck


def make_net(dtype=np.float32) -> pc.ConvNet:
    layers = [
        ("conv", pc.Conv2d(1, 3, 3, padding=1)),
        ("relu", pc.ReLU()),
        ("pool", pc.MaxPool2d(2)),
        ("drop", pc.Dropout(0.4)),
        ("flatten", pc.Flatten()),
        ("fc", pc.Linear(27, 4)),
    ]
    return pc.ConvNet(layers, input_shape=(1, 6, 6), seed=2, dtype=dtype)


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.standard_normal((5, 1, 6, 6)), rng.integers(0, 4, 5)


def test_right_gradients_agree(capsys: pytest.CaptureFixture[str]) -> None:
    net = make_net()
    check = net.check_gradients(*batch())
    assert [row.name for row in check] == list(net.params)
    assert check.largest_error < 1e-6
    assert capsys.readouterr().out == f"{check}\n"
    table = str(check).splitlines()
    assert table[0].split("  ")[0] == "parameter"
    assert table[2].split()[0] == "conv.weight"
    assert "10 of 27" in table[2]
    assert "3 of 3" in table[3]
    assert table[-1] == f"Largest error: {check.largest_error:.1e}"


def test_the_derivatives_are_those_of_the_loss() -> None:
    """Computed otherwise: the whole gradient, and a difference by hand."""
    net = make_net(np.float64)
    for array in net.params.values():  # nothing is all zero
        array += 0.01
    x, t = batch()
    check = net.check_gradients(x, t, entries=200, verbose=False)
    states = {name: rng.bit_generator.state for name, rng in net.generators.items()}
    analytic = {name: grad.copy() for name, grad in net.gradient(x, t).items()}

    def loss() -> float:
        net.generators["drop"].bit_generator.state = states["drop"]
        return net.loss(x, t)

    for row in check:
        array = net.params[row.name]
        assert row.checked == array.size
        assert row.shape == array.shape
        assert row.analytic == analytic[row.name][row.worst]
        array[row.worst] += 1e-5
        above = loss()
        array[row.worst] -= 2e-5
        assert (above - loss()) / 2e-5 == pytest.approx(row.numerical, abs=1e-8)
        array[row.worst] += 1e-5


@pytest.mark.parametrize("wrong", ["weight", "bias"])
def test_wrong_gradients_are_found(wrong: str) -> None:
    class Careless(pc.Linear):
        """Forgets a tenth of a gradient."""

        def backward(self, grad):
            dx = super().backward(grad)
            self.grads[wrong][...] *= 0.9
            return dx

    layers = [("flatten", pc.Flatten()), ("fc1", Careless(36, 5)), ("fc2", pc.Linear(5, 4))]
    net = pc.ConvNet(layers, input_shape=(1, 6, 6))
    errors = {row.name: row.relative_error for row in net.check_gradients(*batch(), verbose=False)}
    assert errors.pop(f"fc1.{wrong}") == pytest.approx(0.1, rel=1e-3)
    assert max(errors.values()) < 1e-6


def test_a_new_network_on_a_black_ground_is_no_false_alarm() -> None:
    """Biases of zero would leave most of the ReLUs on their kink."""
    (x, t), _ = pc.data.digits()
    check = pc.models.simple_convnet().check_gradients(x[:3] / 255, t[:3], entries=4, verbose=False)
    assert check.largest_error < 1e-5


def test_the_network_is_left_alone() -> None:
    net = make_net()
    x, t = batch()
    before = {name: array.copy() for name, array in net.params.items()}
    state = net.generators["drop"].bit_generator.state
    first = net.check_gradients(x, t, verbose=False)
    assert first == net.check_gradients(x, t, verbose=False)  # the same sample, the same masks
    assert first != net.check_gradients(x, t, seed=1, verbose=False)
    assert net.generators["drop"].bit_generator.state == state
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])
        assert not net.grads[name].any()


def test_parameters_without_influence_have_no_error() -> None:
    layers = [("conv", pc.Conv2d(1, 2, 1)), ("relu", pc.ReLU()), ("f", pc.Flatten()),
              ("fc", pc.Linear(8, 3))]  # fmt: skip
    net = pc.ConvNet(layers, input_shape=(1, 2, 2))
    net.params["conv.bias"][...] = -100  # no ReLU ever passes
    errors = {
        row.name: row.relative_error
        for row in net.check_gradients(np.ones((2, 1, 2, 2)), [0, 1], verbose=False)
    }
    assert errors["conv.weight"] == errors["conv.bias"] == 0


def test_bad_arguments() -> None:
    x, t = batch()
    with pytest.raises(ValueError, match="entries is 0"):
        make_net().check_gradients(x, t, entries=0)
    with pytest.raises(ValueError, match="x has shape"):
        make_net().check_gradients(x[:, 0], t)
    assert GradientCheck().largest_error == 0


@pytest.mark.parametrize(
    ("loss", "shape"),
    [(MeanSquaredError(), (3, 4)), (CrossEntropy(class_weight=[1, 2, 0.5, 1]), (3,))],
)
def test_another_loss_is_differentiated(loss: Any, shape: tuple[int, ...]) -> None:
    x, _ = batch()
    t = np.arange(int(np.prod(shape))).reshape(shape) % 3
    net = make_net()
    value, grads = net.value_and_gradient(x[:3], t, loss=loss)
    assert value == make_net().loss(x[:3], t, loss=loss)  # with the same masks
    assert grads.keys() == net.numerical_gradient(x[:3], t, loss=loss).keys()
    assert net.check_gradients(x[:3], t, loss=loss, verbose=False).largest_error < 1e-5
    with pytest.raises(ValueError, match="loss and label_smoothing"):
        net.loss(x[:3], t, loss=loss, label_smoothing=0.1)
