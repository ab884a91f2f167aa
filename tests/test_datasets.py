"""Data sets that are read while training: the bits of the same arrays, and no thread is left."""

from __future__ import annotations

import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.data import Arrays, Dataset, Subset
from pocketcnn.data.dataset import identify
from pocketcnn.data.digest import digest
from pocketcnn.data.prefetch import AHEAD, read_ahead
from pocketcnn.training.checkpoint import network_arrays

Pair = tuple[np.ndarray, np.ndarray]


class Reader:
    """A user's data set, which is no class of ours and notes what is asked for."""

    def __init__(self, x: np.ndarray, t: np.ndarray) -> None:
        self.x, self.t = x, t
        self.asked: list[np.ndarray] = []
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: np.ndarray) -> Pair:
        self.asked.append(indices)
        self.threads.add(threading.current_thread().name)
        return self.x[indices], self.t[indices]


class Odd(Reader):
    """Gives something else as its third batch."""

    def __init__(self, x: np.ndarray, t: np.ndarray, third: Any) -> None:
        super().__init__(x, t)
        self.third = third

    def batch(self, indices: np.ndarray) -> Any:
        good = super().batch(indices)
        return self.third(*good) if len(self.asked) == 3 else good


def make_net() -> pc.ConvNet:
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(1, 4, 3)),
            ("norm", pc.BatchNorm2d(4)),
            ("relu", pc.ReLU()),
            ("flatten", pc.Flatten()),
            ("dropout", pc.Dropout(0.25)),
            ("fc", pc.Linear(64, 3)),
        ],
        input_shape=(1, 6, 6),
    )


def make_data(dtype: type = np.float32, samples: int = 70) -> Pair:
    rng = np.random.default_rng(7)
    x = rng.integers(0, 256, (samples, 1, 6, 6)) if dtype is np.uint8 else rng.random((70, 1, 6, 6))
    return x.astype(dtype), rng.integers(0, 3, samples)


def make_trainer(**settings: Any) -> pc.Trainer:
    return pc.Trainer(make_net(), pc.optim.Adam(), **{"batch_size": 16, **settings})


def bits(net: pc.ConvNet) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in network_arrays(net).items()}


def measured(history: pc.History) -> list[list[float | None]]:
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    return [history.column(name) for name in names]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


# What a data set is


def test_arrays_are_a_data_set_without_a_copy() -> None:
    x, t = make_data(np.uint8)
    data = Arrays(x, t.astype(np.uint8), classes=["a", "b", "c"])
    assert isinstance(data, Dataset)
    assert len(data) == 70
    assert data.x is x
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    images, targets = data.batch(np.array([9, 2, 2]))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, x[[9, 2, 2]])
    np.testing.assert_array_equal(targets, t[[9, 2, 2]])
    assert Arrays(x, np.full((70, 3), 1 / 3)).labels is None


def test_a_subset_has_an_order_of_its_own() -> None:
    x, t = make_data()
    part = Subset(Subset(Arrays(x, t, ["a", "b", "c"]), [9, 8, 1, 30]), [3, 0])
    np.testing.assert_array_equal(part.batch(np.arange(2))[0], x[[30, 9]])
    np.testing.assert_array_equal(part.labels, t[[30, 9]])
    assert part.classes == ["a", "b", "c"]
    assert Subset(Reader(x, t), [1]).labels is None
    assert len(Subset(Reader(x, t), [])) == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x, t: Arrays(x, t[:-1]), ValueError, r"t has shape \(69,\), but x has 70"),
        (lambda x, _: Arrays(x, 3), ValueError, "t is one number"),
        (lambda x, t: Subset(Arrays(x, t), [0.5]), TypeError, "indices is float64"),
        (lambda x, t: Subset(Arrays(x, t), [70]), ValueError, "70, but the data set has 70"),
        (lambda x, t: Subset(Arrays(x, t), [-1]), ValueError, "indices has -1 to -1"),
    ],
)
def test_bad_arrays_and_indices(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(*make_data())


def test_identity_of_a_data_set() -> None:
    x, t = make_data()
    data = Arrays(x, t)
    assert identify(data) == (digest(x), digest(t))
    assert identify(Reader(x, t)) == (None, None)
    parts = [Subset(data, [0, 1]), Subset(data, [1, 0]), Subset(Arrays(x + 1, t), [0, 1])]
    assert len({identify(part)[0] for part in parts}) == 3
    soft = [Arrays(x, np.full((70, 2), value)) for value in (0.5, 0.25)]
    assert identify(soft[0]) != identify(soft[1])


def test_a_digest_of_what_is_converted_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketcnn.data.digest._CHUNK_BYTES", 600)
    x, _ = make_data(np.uint8)

    def half(part: np.ndarray) -> np.ndarray:
        assert part.size * 4 <= 600
        return np.divide(part, 2, dtype=np.float32)

    assert digest(x, half) == digest(np.divide(x, 2, dtype=np.float32))
    monkeypatch.setattr("pocketcnn.data.digest._WHOLE_BYTES", 3000)
    assert digest(x, half) == digest(np.divide(x, 2, dtype=np.float32))


# Reading ahead


def test_a_few_batches_are_read_ahead() -> None:
    data = Reader(*make_data())
    chosen = [np.array([number]) for number in range(10)]
    batches = read_ahead(data, chosen)
    assert data.asked == []
    for number, (x, t) in enumerate(batches):
        np.testing.assert_array_equal(x, data.x[[number]])
        np.testing.assert_array_equal(t, data.t[[number]])
        time.sleep(0.002)
        assert len(data.asked) <= number + 1 + AHEAD
    assert len(data.asked) == 10
    assert len(data.threads) == 1


def test_few_batches_or_none() -> None:
    data = Reader(*make_data())
    assert list(read_ahead(data, [])) == []
    assert len(list(read_ahead(data, [np.array([1])]))) == 1


def test_an_error_comes_in_the_place_of_its_batch() -> None:
    def fail(_x: np.ndarray, _t: np.ndarray) -> None:
        raise OSError("photos/cat/3.jpg cannot be read")

    batches = read_ahead(Odd(*make_data(), fail), [np.array([n]) for n in range(9)])
    next(batches)
    next(batches)
    with pytest.raises(OSError, match=r"3\.jpg"):
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)


def test_a_reader_that_is_closed_ends_its_thread() -> None:
    data = Reader(*make_data())
    batches = read_ahead(data, [np.array([n]) for n in range(50)])
    next(batches)
    batches.close()
    assert len(data.asked) <= 1 + AHEAD


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_child_of_a_fork_goes_on_by_itself() -> None:
    x, t = make_data()
    batches = read_ahead(Reader(x, t), [np.array([n]) for n in range(9)])
    next(batches)
    child = os.fork()
    if child == 0:
        rest = [int(np.flatnonzero((x == images).all((1, 2, 3)))[0]) for images, _ in batches]
        os._exit(0 if rest == list(range(1, 9)) else 1)
    assert len(list(batches)) == 8
    assert os.waitpid(child, 0)[1] == 0


# Training


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("augment", [None, pc.data.RandomCrop(1)])
def test_a_data_set_trains_to_the_bits_of_its_arrays(dtype: type, augment: Any) -> None:
    x, t = make_data(dtype)
    trainers = [make_trainer(augment=augment) for _ in range(3)]
    data = Reader(x, t)
    histories = [
        trainers[0].fit(x, t, epochs=2, validation=(x[:33], t[:33])),
        trainers[1].fit(data, epochs=2, validation=Reader(x[:33], t[:33])),
        trainers[2].fit(Arrays(x, t), epochs=2, validation=Arrays(x[:33], t[:33])),
    ]
    for trainer, history in zip(trainers, histories, strict=True):
        assert bits(trainer.net) == bits(trainers[0].net)
        assert measured(history) == measured(histories[0])
        for name, rng in trainer.generators.items():
            assert rng.bit_generator.state == trainers[0].generators[name].bit_generator.state
        assert trainer.evaluate(data) == trainer.evaluate(x, t)
        assert trainer.net.accuracy(data) == trainer.net.accuracy(x, t)
    assert "MainThread" not in data.threads


def test_the_loss_of_an_evaluation_is_that_of_all_scores() -> None:
    trainer = make_trainer()
    x, t = make_data()
    for samples in range(1, 71):
        loss, _ = pc.losses.cross_entropy(trainer.net.predict(x[:samples], 16), t[:samples])
        assert trainer.evaluate(x[:samples], t[:samples])[0] == loss
        assert trainer.evaluate(Reader(x[:samples], t[:samples]))[0] == loss


def test_uint8_trains_as_the_same_numbers_do() -> None:
    x, t = make_data(np.uint8)
    first, second = make_trainer(), make_trainer()
    first.fit(x, t, epochs=1)
    second.fit(x.astype(np.float32), t, epochs=1)
    assert bits(first.net) == bits(second.net)


def test_read_only_batches_may_be_augmented() -> None:
    class Frozen(Reader):
        def batch(self, indices: np.ndarray) -> Pair:
            x, t = super().batch(indices)
            x.setflags(write=False)
            return x, t

    def darken(x: np.ndarray, _rng: np.random.Generator) -> np.ndarray:
        x *= 0.5
        return x

    x, t = make_data()
    first, second = make_trainer(augment=darken), make_trainer(augment=darken)
    first.fit(Frozen(x, t), epochs=1)
    second.fit(x, t, epochs=1)
    assert bits(first.net) == bits(second.net)


def test_a_batch_of_a_view_does_not_copy_the_whole() -> None:
    x = np.zeros((500, 32, 32, 3), np.uint8).transpose(0, 3, 1, 2)
    data = Arrays(x, np.zeros(500, np.int64))
    tracemalloc.start()
    images, _ = data.batch(np.array([3, 1]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images.flags.c_contiguous
    assert peak < x.nbytes / 10


def test_errors_and_interrupts_of_a_training_end_the_thread() -> None:
    class Leave(pc.Callback):
        def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
            raise KeyboardInterrupt

    def fail(_x: np.ndarray, _t: np.ndarray) -> None:
        raise ValueError("photos/cat/3.jpg is no picture")

    with pytest.raises(KeyboardInterrupt):
        make_trainer().fit(Reader(*make_data()), epochs=2, callbacks=[Leave()])
    assert not [t for t in threading.enumerate() if t.name.startswith("pocketcnn-reader")]
    with pytest.raises(ValueError, match=r"3\.jpg"):
        make_trainer().fit(Odd(*make_data(), fail), epochs=2)


def test_ctrl_c_ends_a_training_that_waits_for_data() -> None:
    # Tests may run in the background, where a shell has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    class Slow(Reader):
        def batch(self, indices: np.ndarray) -> Pair:
            batch = super().batch(indices)
            if len(self.asked) == 2:
                signal.raise_signal(signal.SIGINT)  # which the main thread gets, while it waits
                time.sleep(0.05)
            return batch

    data = Slow(*make_data())
    with pytest.raises(KeyboardInterrupt):
        make_trainer().fit(data, epochs=9)
    signal.signal(signal.SIGINT, before)
    assert len(data.asked) <= 2 + AHEAD


@pytest.mark.parametrize(
    ("third", "error", "message"),
    [
        (lambda x, _: x, TypeError, r"x\.batch\(indices\) gave a ndarray"),
        (lambda x, t: (x, t, t), TypeError, r"must give \(x, t\)"),
        (lambda x, t: (x[:, :, 1:], t), ValueError, r"\[0\] has shape \(16, 1, 5, 6\)"),
        (lambda x, t: (x.astype(str), t), TypeError, r"\[0\] has dtype"),
        (lambda x, t: (x, t[1:]), ValueError, r"\[1\] has shape \(15,\)"),
        (lambda x, t: (x[1:], t[1:]), ValueError, "15 images for 16 indices"),
        (lambda x, t: (x, t + 1), ValueError, r"\[1\] has the label 3"),
        (lambda x, t: (x, t / 2), TypeError, r"\[1\] has dtype float64"),
    ],
)
def test_a_batch_that_does_not_fit(third: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_trainer().fit(Odd(*make_data(), third), epochs=1)


def test_labels_are_checked_before_anything_is_read() -> None:
    x, t = make_data()
    data = Reader(x, t)
    data.labels = t + 1  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"x\.labels has the label 3"):
        make_trainer().fit(data)
    data.labels = t[1:]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"x\.labels has shape \(69,\)"):
        make_trainer().fit(data)
    assert data.asked == []


@pytest.mark.parametrize(
    ("fit", "error", "message"),
    [
        (lambda tr, x, _: tr.fit(x), TypeError, "t is missing: x is a ndarray"),
        (lambda tr, x, t: tr.fit(Reader(x, t), t), TypeError, "x is a data set, .* t must be"),
        (lambda tr, x, t: tr.fit(Reader(x[:0], t[:0])), ValueError, "without samples"),
        (lambda tr, x, t: tr.fit(x, t, validation=x), TypeError, "validation must be"),
        (lambda tr, x, _: tr.evaluate(x), TypeError, "t is missing"),
        (lambda tr, x, _: tr.net.accuracy(x), TypeError, "t is missing"),
        (lambda tr, x, t: tr.fit(x, t, sample_weight=t[1:]), ValueError, r"\(69,\)"),
        (
            lambda tr, x, t: tr.fit(x, t, sample_weight=t - 1),
            ValueError,
            r"sample_weight\[\d+\] is -1",
        ),
        (lambda tr, x, t: tr.fit(x, t, sample_weight=t / 0), ValueError, r"sample_weight\["),
        (lambda tr, x, t: tr.fit(x, t, checkpoint_every=3), ValueError, "no checkpoint"),
        (
            lambda tr, x, t: tr.fit(x, t, checkpoint_every=0, checkpoint="c.st"),
            ValueError,
            "checkpoint_every is 0",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arguments_that_do_not_fit(fit: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit(make_trainer(), *make_data())


def test_losses_that_are_not_finite_are_explained() -> None:
    x, t = make_data()
    x[50] = np.nan
    with pytest.raises(FloatingPointError, match="x_batch has 36 values that are not finite"):
        make_trainer().fit(Reader(x, t), epochs=1)
    good, odd = Reader(*make_data()), Reader(x, t)
    with pytest.raises(FloatingPointError, match="batch 3 of validation has 36 values"):
        make_trainer().fit(good, epochs=1, validation=odd)


# What a batch is changed by, and weighed with


class Mix:
    """Mean of each sample and the one before it, with its targets."""

    mixes = True

    def __call__(self, x: Any, t: Any, rng: np.random.Generator) -> Pair:
        assert t.shape == (len(x), 3)
        rng.random()
        return (x + np.roll(x, 1, 0)) / 2, (t + np.roll(t, 1, 0)) / 2


@pytest.mark.parametrize("soft", [False, True])
def test_an_augmentation_that_mixes_is_given_the_targets(soft: bool) -> None:
    x, t = make_data()
    whole = np.eye(3, dtype=np.float32)[t]
    trainer, other = make_trainer(augment=Mix()), make_trainer()
    trainer.fit(x, whole if soft else t, epochs=1)
    order = np.random.default_rng(0).permutation(70)
    for start in range(0, 70, 16):
        part = order[start : start + 16]
        other.step(*Mix()(x[part], whole[part], np.random.default_rng()))
    assert bits(trainer.net) == bits(other.net)


@pytest.mark.parametrize("reader", [False, True])
def test_weights_come_with_their_samples(reader: bool) -> None:
    seen = []

    class Own(pc.Trainer):
        def step(self, x: Any, t: Any, sample_weight: Any = None) -> float:
            seen.append((x.copy(), sample_weight))
            return super().step(x, t)

    x, t = make_data()
    weight = np.arange(70)
    data: Any = (Reader(x, t),) if reader else (x, t)
    Own(make_net(), pc.optim.Adam(), batch_size=16).fit(*data, epochs=2, sample_weight=weight)
    assert len(seen) == 10
    for images, part in seen:
        np.testing.assert_array_equal(images, x[part.astype(int)])
