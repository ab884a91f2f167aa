"""A training's inputs are checked before its first batch."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
import pocketcnn.functional as F
from pocketcnn.losses import count_correct

CLASSES = 3


def make_net(seed: int = 0) -> pc.ConvNet:
    layers: list[tuple[str, pc.layers.Layer]] = [
        ("conv", pc.Conv2d(1, 4, 3)),
        ("relu", pc.ReLU()),
        ("flatten", pc.Flatten()),
        ("fc", pc.Linear(64, CLASSES)),
    ]
    return pc.ConvNet(layers, input_shape=(1, 6, 6), seed=seed)


def make_data(count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.random((count, 1, 6, 6), dtype=np.float32), rng.integers(0, CLASSES, count)


class Untouched(pc.Callback):
    """Makes sure that no batch is trained."""

    def on_epoch_begin(self, trainer: pc.Trainer) -> None:
        raise AssertionError("training began")


ONE_HOT = np.eye(CLASSES)[make_data()[1]]
BAD_TARGETS: dict[str, tuple[Any, type[Exception], str]] = {
    "numbers": (np.random.default_rng(0).random((20, 1)), ValueError, r"has shape \(20, 1\)"),
    "several labels": (ONE_HOT + np.roll(ONE_HOT, 1, axis=1), ValueError, "row 0 sums to 2"),
    "no label": (np.zeros((20, CLASSES)), ValueError, "row 0 sums to 0"),
    "scores": (3 * ONE_HOT - 1, ValueError, "row 0 has the value -1"),
    "one bad row": (np.vstack([ONE_HOT[:7], 2 * ONE_HOT[7:]]), ValueError, "row 7 sums to 2"),
    "NaN": (np.where(np.arange(20)[:, None] == 4, np.nan, ONE_HOT), ValueError, "row 4 .* finite"),
    "infinite": (np.where(ONE_HOT > 0, np.inf, 0), ValueError, "row 0 .* not finite"),
    "percent": ((100 * ONE_HOT).astype(int), ValueError, "row 0 sums to 100"),
    "label too large": (make_data()[1] + 1, ValueError, "the label 3"),
    "label below 0": (make_data()[1] - 1, ValueError, "the label -1"),
    "float labels": (make_data()[1].astype(float), TypeError, "dtype float64"),
    "text": (np.array(["cat"] * 20), TypeError, "dtype <U3"),
    "too few": (make_data()[1][:19], ValueError, r"19"),
}
each_bad_target = pytest.mark.parametrize("kind", BAD_TARGETS)


@each_bad_target
def test_targets_that_are_none_are_refused_before_the_first_batch(kind: str) -> None:
    x, t = make_data()
    bad, error, message = BAD_TARGETS[kind]
    trainer = pc.Trainer(make_net(), pc.optim.SGD(0.1))
    with pytest.raises(error, match=f"^t .*{message}"):
        trainer.fit(x, bad, callbacks=[Untouched()])
    with pytest.raises(error, match=f"^tv .*{message}"):
        trainer.fit(x, t, validation=(x, bad), callbacks=[Untouched()])


@each_bad_target
def test_targets_that_are_none_are_refused_wherever_they_are_taken(kind: str) -> None:
    x, _ = make_data()
    bad, error, message = BAD_TARGETS[kind]
    net = make_net()
    trainer = pc.Trainer(net, pc.optim.SGD(0.1))
    logits = net.predict(x)
    calls: list[Callable[[], object]] = [
        lambda: trainer.evaluate(x, bad),
        lambda: trainer.step(x, bad),
        lambda: net.accuracy(x, bad),
        lambda: net.value_and_gradient(x, bad),
        lambda: net.loss(x, bad),
        lambda: F.cross_entropy(logits, bad),
        lambda: count_correct(logits, bad),
    ]
    for call in calls:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.bool_, np.uint8])
def test_probabilities_of_any_type_are_taken(dtype: type) -> None:
    x, t = make_data()
    one_hot = np.eye(CLASSES, dtype=dtype)[t]
    net = make_net()
    assert pc.Trainer(net, pc.optim.SGD(0.1)).evaluate(x, one_hot)[1] == net.accuracy(x, t)


def test_probabilities_rounded_to_half_precision_are_taken() -> None:
    """Sums of a thousand rounded numbers are off by up to 2**-11 of their sum."""
    rng = np.random.default_rng(0)
    for alpha in (0.01, 1.0, 100.0):
        target = rng.dirichlet(np.full(1000, alpha), size=50)
        logits = rng.standard_normal((50, 1000))
        loss, _ = F.cross_entropy(logits, target.astype(np.float16))
        wanted = -(target * F.log_softmax(logits)).sum(axis=1).mean()
        assert loss == pytest.approx(wanted, rel=2e-3)


def test_scores_that_are_nan_are_not_correct() -> None:
    logits = np.array([[np.nan] * 3, [1, np.nan, 0], [2, 1, 0], [0, 1, 0]], np.float32)
    assert count_correct(logits, np.array([0, 1, 0, 1])) == 2
    net = make_net()
    net.params["fc.bias"][...] = np.nan
    x, _ = make_data()
    assert net.accuracy(x, np.zeros(20, int)) == 0
    assert pc.Trainer(net, pc.optim.SGD(0.1)).evaluate(x, np.zeros(20, int))[1] == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.zeros((20, 1, 6, 5))}, ValueError, r"x has shape \(20, 1, 6, 5\), but the net"),
        ({"x": np.zeros((20, 6, 6))}, ValueError, r"takes \(N, 1, 6, 6\)"),
        ({"x": np.zeros((20, 1, 6, 6), complex)}, TypeError, "x has dtype complex128"),
        ({"x": np.full((20, 1, 6, 6), None)}, TypeError, "x has dtype object"),
        ({"validation": (np.zeros((4, 1, 5, 6)), [0] * 4)}, ValueError, "xv has shape"),
        ({"validation": (np.zeros((0, 1, 6, 6)), [])}, ValueError, "xv has shape"),
        ({"validation": make_data()[0]}, TypeError, "validation must be"),
        ({"validation": 3}, TypeError, "validation must be"),
        ({"epochs": 2.5}, TypeError, "epochs is 2.5"),
        ({"callbacks": [pc.EarlyStopping()]}, ValueError, "'val_loss' needs validation"),
        ({"callbacks": [pc.ProgressBar]}, TypeError, r"callbacks\[0\] is <class .*make one"),
        ({"callbacks": [Untouched(), print]}, TypeError, r"callbacks\[1\] is <built-in"),
        ({"callbacks": pc.ProgressBar()}, TypeError, "callbacks is ProgressBar"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_batch(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    x, t = make_data()
    arguments = {"x": x, "t": t, "callbacks": [Untouched()], **change}
    with pytest.raises(error, match=message):
        pc.Trainer(make_net(), pc.optim.SGD(0.1)).fit(**arguments)


@pytest.mark.parametrize("place", ["folder", "file/run.st", "/proc/none/run.st"])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_first_batch(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="checkpoint"):
        pc.Trainer(make_net(), pc.optim.SGD(0.1)).fit(
            *make_data(), checkpoint=tmp_path / place, callbacks=[Untouched()]
        )


def test_a_network_without_scores_for_classes_is_refused() -> None:
    net = pc.ConvNet([("conv", pc.Conv2d(1, 4, 3))], input_shape=(1, 6, 6))
    with pytest.raises(ValueError, match=r"the network makes \(4, 4, 4\) of an image"):
        pc.Trainer(net, pc.optim.SGD(0.1)).fit(*make_data())


def test_a_trainer_with_a_loss_of_its_own_takes_any_target() -> None:
    class Regression(pc.Trainer):
        def step(self, x_batch: Any, t_batch: Any) -> float:
            out = self.net.forward(x_batch, training=True)
            self.net.backward((out - t_batch) / len(x_batch))
            self.optimizer.update(self.net.params, self.net.grads)
            return float(((out - t_batch) ** 2).mean())

    x, _ = make_data()
    assert len(Regression(make_net(), pc.optim.SGD(0.1)).fit(x, x[:, 0, 0, :3], epochs=2)) == 2


def test_an_augmentation_may_cut_images_to_the_networks_size() -> None:
    x, t = make_data()
    larger = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)))
    trainer = pc.Trainer(make_net(), pc.optim.SGD(0.1), augment=lambda x, _: x[:, :, 1:-1, 2:-2])
    trainer.fit(larger, t, epochs=1, validation=(x, t))
    plain = pc.Trainer(make_net(), pc.optim.SGD(0.1))
    plain.fit(x, t, epochs=1)
    for name, array in plain.net.params.items():
        np.testing.assert_array_equal(trainer.net.params[name], array)


@pytest.mark.parametrize(("count", "size"), [(21, 20), (21, 10), (3, 1), (1, 100)])
def test_a_batch_of_one_that_cannot_be_normalised_is_told_at_once(count: int, size: int) -> None:
    def make(pool: int) -> pc.ConvNet:
        block = pc.Residual([("conv", pc.Conv2d(4, 4, 1)), ("norm", pc.BatchNorm2d(4))])
        layers: list[tuple[str, pc.layers.Layer]] = [
            ("conv", pc.Conv2d(1, 4, 3)),
            ("pool", pc.MaxPool2d(pool)),
            ("block", pc.Residual([("inner", block)])),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(4 * (4 // pool) ** 2, CLASSES)),
        ]
        return pc.ConvNet(layers, input_shape=(1, 6, 6))

    x, t = make_data(count)
    with pytest.raises(ValueError, match=r"layer 'block\.body\.inner\.body\.norm' needs two"):
        pc.Trainer(make(4), pc.optim.SGD(0.1), batch_size=size).fit(x, t, callbacks=[Untouched()])
    pc.Trainer(make(2), pc.optim.SGD(0.1), batch_size=size).fit(x, t, epochs=1)


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda x: x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
    "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    "mirrored": lambda x: x[:, :, :, ::-1].copy()[:, :, :, ::-1],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "unaligned": lambda x: (
        np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    ),
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "read-only": lambda x: np.broadcast_to(x, x.shape),
}


@pytest.mark.parametrize("view", VIEWS)
def test_batches_cost_a_batch_however_the_images_lie_in_memory(view: str) -> None:
    rng = np.random.default_rng(1)
    x, t = rng.random((3000, 1, 24, 24), dtype=np.float32), rng.integers(0, CLASSES, 3000)
    layers: list[tuple[str, pc.layers.Layer]] = [
        ("pool", pc.MaxPool2d(4)),
        ("flatten", pc.Flatten()),
        ("fc", pc.Linear(36, CLASSES)),
    ]

    def train(images: np.ndarray) -> np.ndarray:
        net = pc.ConvNet(layers, (1, 24, 24), seed=None)
        net.params["fc.weight"][...] = 0.1
        net.params["fc.bias"][...] = 0
        pc.Trainer(net, pc.optim.SGD(0.1)).fit(images, t, epochs=1)
        return net.params["fc.weight"].copy()

    wanted, images = train(x), VIEWS[view](x)
    tracemalloc.start()
    found = train(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, wanted)
    assert peak < x.nbytes / 4  # a few batches of a thirtieth
