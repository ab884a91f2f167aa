"""Numbers that are not finite end a run, which says where they came from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.training.checkpoint import read_checkpoint
from pocketcnn.training.divergence import describe_not_finite, describe_outputs, is_finite


class Scale(pc.Layer):
    """Multiplies, to any size."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        with np.errstate(over="ignore"):
            return x * np.float32(self.factor)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * np.float32(self.factor)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape


def make_net(*more: tuple[str, pc.Layer]) -> pc.ConvNet:
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(1, 4, 3)),
            ("norm", pc.BatchNorm2d(4)),
            ("relu", pc.ReLU()),
            *more,
            ("flatten", pc.Flatten()),
            ("dropout", pc.Dropout(0.2)),
            ("fc", pc.Linear(64, 3)),
        ],
        input_shape=(1, 6, 6),
    )


def make_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.random((60, 1, 6, 6), dtype=np.float32), rng.integers(0, 3, 60)


def spoilt(*places: tuple[int, ...], value: float = math.nan) -> np.ndarray:
    x = make_data()[0]
    for place in places:
        x[place] = value
    return x


def fit(net: pc.ConvNet, lr: float = 0.1, **settings: Any) -> pc.Trainer:
    x, t = make_data()
    trainer = pc.Trainer(
        net, pc.optim.SGD(lr), batch_size=20, augment=settings.pop("augment", None)
    )
    trainer.fit(**{"x": x, "t": t, "epochs": 3, **settings})
    return trainer


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_data_that_are_not_finite_are_named_as_such(value: float) -> None:
    x = spoilt((17, 0, 0, 0), (17, 0, 0, 1), (40, 0, 3, 3), value=value)
    message = r"^the loss became nan in epoch 1, step [123]: x has 3 values .* first at sample 17$"
    with pytest.raises(FloatingPointError, match=message):
        fit(make_net(), x=x)
    message = r"^the validation loss became nan in epoch 1: xv has 3 values .* at sample 17$"
    with pytest.raises(FloatingPointError, match=message):
        fit(make_net(), validation=(x, make_data()[1]))


def test_an_augmentation_that_spoils_images_is_named() -> None:
    with pytest.raises(FloatingPointError, match="the augmented batch has 720 values"):
        fit(make_net(), augment=lambda x, _: x * np.float32(np.nan))


def test_a_layer_that_overflows_is_named_and_nothing_was_updated() -> None:
    net = make_net(("huge", Scale(3e38)), ("more", Scale(10.0)))
    before = {name: array.copy() for name, array in net.params.items()}
    with pytest.raises(FloatingPointError) as caught:
        fit(net)
    assert str(caught.value) == (
        "the loss became nan in epoch 1, step 1: the output of layer 'huge' is not finite; "
        "a smaller learning rate may help"
    )
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])


def test_weights_that_are_not_finite_are_named_with_their_layer() -> None:
    class Spoil(pc.Callback):
        def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
            if trainer.epoch == 2:
                trainer.net.params["conv.weight"][1, 0, :2, 0] = np.inf

    message = r"epoch 2, step 2: layer 'conv' has 2 of 36 values of its weight not finite; a small"
    with pytest.raises(FloatingPointError, match=message):
        fit(make_net(), callbacks=[Spoil()])


@pytest.mark.parametrize("validated", [False, True])
def test_weights_spoilt_by_the_last_update_are_not_kept(tmp_path: Path, validated: bool) -> None:
    class Explode(pc.Callback):
        """The third epoch's last gradient makes the weights infinite, its loss being finite."""

        def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
            if trainer.epoch == 3:
                trainer.optimizer.lr = 1e300 if trainer.steps == 2 else trainer.optimizer.lr

    seen: list[int] = []

    class Watch(pc.Callback):
        def on_epoch_end(self, trainer: pc.Trainer, record: Any) -> None:
            seen.append(record["epoch"])

    path, net = tmp_path / "run.st", make_net()
    with pytest.raises(FloatingPointError, match=r"epoch 3(, step 3)?: "):
        fit(
            net,
            callbacks=[Explode(), Watch()],
            checkpoint=path,
            validation=make_data() if validated else None,
            x=make_data()[0] * 1e3,
        )
    assert seen == [1, 2]
    arrays, values = read_checkpoint(path)
    assert values["epoch"] == 2
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_a_step_by_hand_names_its_batch_and_changes_nothing() -> None:
    net = make_net()
    trainer = pc.Trainer(net, pc.optim.SGD(0.1))
    x, t = make_data()
    trainer.step(x, t)
    before = {name: array.copy() for name, array in net.params.items()}
    message = "the loss became nan in step 2: x_batch has 1 value that is not finite, .* sample 5"
    with pytest.raises(FloatingPointError, match=message):
        trainer.step(spoilt((5, 0, 0, 0)), t)
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])


def test_looking_for_the_layer_changes_nothing() -> None:
    net = make_net(("scale", Scale(2.0)))
    x, _ = make_data()
    before = [*(a.tobytes() for a in net.buffers.values()), str(net.generators)]
    states = [rng.bit_generator.state for rng in net.generators.values()]
    assert describe_outputs(net, x, training=True) is None
    assert [*(a.tobytes() for a in net.buffers.values()), str(net.generators)] == before
    assert [rng.bit_generator.state for rng in net.generators.values()] == states


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_finite_is_what_numpy_says(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketcnn.training.divergence._CHUNK_BYTES", 256)
    rng = np.random.default_rng(0)
    for _ in range(50):
        a = rng.standard_normal((31, 3, 4)).astype(dtype)
        a[rng.random(a.shape) < rng.choice([0, 0.003])] = rng.choice([np.nan, np.inf, -np.inf])
        assert is_finite(a) == np.isfinite(a).all()
        odd = ~np.isfinite(a)
        found = describe_not_finite("a", a)
        if not odd.any():
            assert found is None
            continue
        assert found is not None
        assert found.startswith(f"a has {odd.sum()} value")
        assert found.endswith(f" at sample {np.flatnonzero(odd.any(axis=(1, 2)))[0]}")
    huge = np.full(100, np.finfo(dtype).max)  # its sum overflows
    assert is_finite(huge)
    assert describe_not_finite("labels", np.arange(3)) is None
