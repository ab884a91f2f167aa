"""MixUp and CutMix against loops, within Compose and within a training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.commands.recipe import make_augment
from pocketcnn.data import Compose, CutMix, Mixing, MixUp, RandomFlip
from pocketcnn.data.augment import AUGMENTATIONS

COUNT = 20


def batch(dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = (rng.random((COUNT, 3, 9, 7)) * 255).astype(dtype)
    return x, np.eye(5, dtype=np.float32)[rng.integers(0, 5, COUNT)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_mixup(dtype: type) -> None:
    x, t = batch(dtype)
    out, mixed = MixUp(0.7, 0.8)(x, t, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    other, share = rng.permutation(COUNT), rng.beta(0.7, 0.7, COUNT)
    share[rng.random(COUNT) >= 0.8] = 1
    assert 0 < (share == 1).sum() < COUNT
    for n in range(COUNT):
        wanted = share[n] * x[n].astype(np.float64) + (1 - share[n]) * x[other[n]]
        wanted_t = share[n] * t[n] + (1 - share[n]) * t[other[n]]
        atol = 0.5 + 1e-4 if dtype == np.uint8 else 2 * 255 * np.finfo(dtype).eps
        np.testing.assert_allclose(out[n], wanted, rtol=0, atol=atol)
        np.testing.assert_allclose(mixed[n], wanted_t, rtol=0, atol=1e-6)
    assert (out.dtype, mixed.dtype) == (x.dtype, t.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_cutmix(dtype: type) -> None:
    x, t = batch(dtype)
    out, mixed = CutMix()(x, t, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    other, share = rng.permutation(COUNT), rng.beta(1.0, 1.0, COUNT)
    rng.random(COUNT)
    centres = rng.integers(0, (9, 7), (COUNT, 2))
    for n in range(COUNT):
        height, width = (int(math.sqrt(1 - share[n]) * size) for size in (9, 7))
        pasted = 0
        wanted = x[n].copy()
        for row, column in np.ndindex(9, 7):
            down = row - centres[n, 0] + height // 2
            across = column - centres[n, 1] + width // 2
            if 0 <= down < height and 0 <= across < width:
                wanted[:, row, column] = x[other[n], :, row, column]
                pasted += 1
        np.testing.assert_array_equal(out[n], wanted)
        part = 1 - pasted / 63
        np.testing.assert_allclose(mixed[n], part * t[n] + (1 - part) * t[other[n]], atol=1e-6)


@pytest.mark.parametrize("augment", [MixUp(), MixUp(5.0), CutMix(), Compose(RandomFlip(), MixUp())])
def test_targets_stay_probabilities_and_inputs_stay(augment: Mixing) -> None:
    x, t = batch()
    before = x.copy(), t.copy()
    x.flags.writeable = t.flags.writeable = False
    out, mixed = augment(x, t, np.random.default_rng(0))
    np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(t, before[1])
    assert not np.array_equal(out, x)
    assert out.flags.c_contiguous
    empty = augment(x[:0], t[:0], np.random.default_rng(0))
    assert (empty[0].shape, empty[1].shape) == ((0, 3, 9, 7), (0, 5))


def test_a_composition_mixes_if_a_step_does() -> None:
    x, t = batch()
    plain, both = Compose(RandomFlip()), Compose(RandomFlip(), Compose(MixUp()), CutMix())
    assert (plain.mixes, both.mixes) == (False, True)
    rng = np.random.default_rng(3)
    wanted = CutMix()(*MixUp()(RandomFlip()(x, rng), t, rng), rng)
    for found, right in zip(both(x, t, np.random.default_rng(3)), wanted, strict=True):
        np.testing.assert_array_equal(found, right)
    assert repr(both) == (
        "Compose(RandomFlip(p=0.5), Compose(MixUp(alpha=0.2, p=1.0)), CutMix(alpha=1.0, p=1.0))"
    )
    with pytest.raises(TypeError, match="takes x, t and rng"):
        both(x, np.random.default_rng(3))


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        (np.zeros(COUNT, int), TypeError, "t has dtype int64, but what is mixed are probabilities"),
        (np.zeros(COUNT), ValueError, r"t has shape \(20,\)"),
        (np.zeros((3, 5)), ValueError, r"t has shape \(3, 5\), but must be \(20, K\)"),
    ],
)
def test_odd_targets_are_named(t: np.ndarray, error: type[Exception], message: str) -> None:
    for augment in (MixUp(), CutMix()):
        with pytest.raises(error, match=message):
            augment(batch()[0], t, np.random.default_rng(0))


@pytest.mark.parametrize("kind", [MixUp, CutMix])
def test_odd_settings_are_named(kind: Any) -> None:
    for arguments, message in (((0,), "alpha is 0"), ((1, 2), "p is 2"), ((math.nan,), "alpha is")):
        with pytest.raises(ValueError, match=message):
            kind(*arguments)


def test_every_word_makes_its_augmentation() -> None:
    x, t = batch(np.uint8)
    for name, word in AUGMENTATIONS.items():
        augment: Any = word.make()
        assert repr(make_augment(name)) == f"Compose({augment!r})"
        assert word.meaning
        number = {"mixup": 2, "cutmix": 2}.get(name, 1)
        assert repr(word.make(number)) in repr(make_augment(f"{name}:{number}"))
        rest = (t,) if getattr(augment, "mixes", False) else ()
        augment(x, *rest, np.random.default_rng(0))
    assert getattr(make_augment("flip,mixup"), "mixes", False)
    with pytest.raises(ValueError, match="augment has 'mixup:0': alpha is 0"):
        make_augment("mixup:0")


@pytest.mark.parametrize("augment", [MixUp(), Compose(RandomFlip(), CutMix())])
def test_a_training_mixes(augment: Any) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.random((30, 1, 4, 4), dtype=np.float32), rng.integers(0, 3, 30)

    def train() -> pc.Trainer:
        layers = [("flatten", pc.Flatten()), ("fc", pc.Linear(16, 3))]
        net = pc.ConvNet(layers, input_shape=(1, 4, 4), seed=0)
        trainer = pc.Trainer(net, pc.optim.SGD(0.1), batch_size=10, augment=augment)
        trainer.fit(x, t, epochs=2, validation=(x, t))
        return trainer

    first, second = train(), train()
    assert np.isfinite(first.history[-1]["loss"])
    for name, array in first.net.params.items():
        np.testing.assert_array_equal(array, second.net.params[name])
