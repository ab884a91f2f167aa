"""Augmentation against loops over single pixels that draw the same numbers."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.data import (
    Augment,
    ColorJitter,
    Compose,
    Cutout,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomResizedCrop,
)

ALL: list[Augment] = [
    RandomCrop(2),
    RandomCrop(3, reflect=True),
    RandomFlip(),
    Cutout(3),
    Cutout(4),
    RandomAffine(),
    RandomAffine(degrees=180.0, scale=0.5, shear=0.5, shift=9.0),
    RandomErasing(1.0),
    RandomResizedCrop(),
    ColorJitter(hue=0.3),
    Compose(RandomCrop(1), RandomFlip(0.9), Cutout(2)),
]


def images(dtype: Any = np.float32, shape: tuple[int, ...] = (20, 3, 9, 7)) -> np.ndarray:
    return (np.random.default_rng(1).random(shape) * 255).astype(dtype)


def pixel(image: np.ndarray, row: int, column: int) -> Any:
    """All channels at a place; zero outside."""
    height, width = image.shape[1:]
    inside = 0 <= row < height and 0 <= column < width
    return image[:, row, column] if inside else np.zeros_like(image[:, 0, 0])


def mirrored(place: int, size: int) -> int:
    """A place beyond the edge, mirrored at the last pixel."""
    if place < 0:
        return -place
    return 2 * (size - 1) - place if place >= size else place


@pytest.mark.parametrize("reflect", [False, True])
def test_crop(reflect: bool) -> None:
    x = images()
    out = RandomCrop(3, reflect=reflect)(x, np.random.default_rng(5))
    shifts = np.random.default_rng(5).integers(0, 7, size=(2, 20)) - 3
    for n, (image, changed) in enumerate(zip(x, out, strict=True)):
        for row, column in np.ndindex(9, 7):
            place = row + shifts[0, n], column + shifts[1, n]
            if reflect:
                place = mirrored(place[0], 9), mirrored(place[1], 7)
            np.testing.assert_array_equal(changed[:, row, column], pixel(image, *place))
    assert len(np.unique(shifts)) == 7


def test_flip() -> None:
    x = images()
    out = RandomFlip(0.3)(x, np.random.default_rng(5))
    turned = np.random.default_rng(5).random(20) < 0.3
    assert 0 < turned.sum() < 20
    for image, changed, turn in zip(x, out, turned, strict=True):
        for column in range(7):
            source = 6 - column if turn else column
            np.testing.assert_array_equal(changed[:, :, column], image[:, :, source])


@pytest.mark.parametrize("size", [1, 3, 4, 30])
def test_cutout(size: int) -> None:
    x = images() + 1
    out = Cutout(size)(x, np.random.default_rng(5))
    centres = np.random.default_rng(5).integers(0, (9, 7), (20, 2))
    for n, (image, changed) in enumerate(zip(x, out, strict=True)):
        for row, column in np.ndindex(9, 7):
            gone = all(
                0 <= place - centre + size // 2 < size
                for place, centre in zip((row, column), centres[n].tolist(), strict=True)
            )
            wanted = np.zeros(3) if gone else image[:, row, column]
            np.testing.assert_array_equal(changed[:, row, column], wanted)


@pytest.mark.parametrize("augment", [ALL[5], ALL[6]])
def test_affine(augment: RandomAffine) -> None:
    x = images()
    out = augment(x, np.random.default_rng(5))
    matrices, shifts = augment.draw(20, np.random.default_rng(5))
    centre = np.array([4.0, 3.0])
    for n, (image, changed) in enumerate(zip(x, out, strict=True)):
        for row, column in np.ndindex(9, 7):
            place = matrices[n] @ (np.array([row, column]) - centre) + shifts[n] + centre
            top, left = math.floor(place[0]), math.floor(place[1])
            down, right = place[0] - top, place[1] - left
            wanted = (1 - down) * (1 - right) * pixel(image, top, left)
            wanted = wanted + (1 - down) * right * pixel(image, top, left + 1)
            wanted = wanted + down * (1 - right) * pixel(image, top + 1, left)
            wanted = wanted + down * right * pixel(image, top + 1, left + 1)
            # Places of up to 20 in float32, six operations each half an epsilon of 2**-23; the
            # pixels are up to 255 apart along both axes.
            np.testing.assert_allclose(
                changed[:, row, column], wanted, rtol=0, atol=6 * 20 * 2.0**-24 * 2 * 255
            )


def test_affine_is_turn_scale_and_shear() -> None:
    """The matrix maps output to source: its inverse is what was drawn."""
    matrices, _ = RandomAffine(degrees=30.0, scale=0.2, shear=0.3).draw(9, np.random.default_rng(2))
    draws = np.random.default_rng(2).uniform(-1, 1, size=(5, 9))
    for n in range(9):
        angle, size = math.radians(30 * draws[0, n]), 1 + 0.2 * draws[1, n]
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        slant = np.array([[1.0, 0.0], [0.3 * draws[2, n], 1.0]])
        np.testing.assert_allclose(matrices[n], turn @ slant / size, rtol=0, atol=1e-15)


def test_affine_that_draws_nothing_is_the_identity() -> None:
    still = RandomAffine(degrees=0.0, scale=0.0, shear=0.0, shift=0.0)
    for dtype in (np.float32, np.float64, np.uint8):
        x = images(dtype)
        np.testing.assert_array_equal(still(x, np.random.default_rng(0)), x)


@pytest.mark.parametrize("augment", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_shape_dtype_and_input_stay(augment: Augment, dtype: type) -> None:
    x = images(dtype)
    before = x.copy()
    x.flags.writeable = False
    out = augment(x, np.random.default_rng(0))
    assert (out.shape, out.dtype, out.flags.c_contiguous) == (x.shape, x.dtype, True)
    np.testing.assert_array_equal(x, before)
    assert not np.array_equal(out, x)
    strided = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, 3)), 3, 1)
    again = augment(strided, np.random.default_rng(0))
    np.testing.assert_array_equal(again, out)
    assert again.flags.c_contiguous


@pytest.mark.parametrize("augment", ALL, ids=repr)
def test_a_batch_of_none_stays_empty(augment: Augment) -> None:
    assert augment(np.zeros((0, 1, 8, 8)), np.random.default_rng(0)).shape == (0, 1, 8, 8)


def test_compose_is_one_after_the_other() -> None:
    x = images()
    rng = np.random.default_rng(3)
    wanted = Cutout(2)(RandomFlip()(x, rng), rng)
    both = Compose(RandomFlip(), Cutout(2))
    np.testing.assert_array_equal(both(x, np.random.default_rng(3)), wanted)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomCrop(-1), ValueError, "padding is -1"),
        (lambda: RandomCrop(1.5), TypeError, "padding is 1.5"),  # type: ignore[arg-type]
        (lambda: RandomFlip(1.5), ValueError, "p is 1.5"),
        (lambda: Cutout(0), ValueError, "size is 0"),
        (lambda: RandomAffine(degrees=200.0), ValueError, "degrees is 200"),
        (lambda: RandomAffine(scale=1.0), ValueError, "scale is 1.0"),
        (lambda: RandomAffine(shift=math.nan), ValueError, "shift is nan"),
        (lambda: RandomFlip()(np.zeros((3, 4, 4)), np.random.default_rng(0)), ValueError, "x has"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


HUGE = 10**40


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Cutout(HUGE), ValueError, "size is 1"),
        (lambda: Cutout(math.inf), TypeError, "size is inf"),  # type: ignore[arg-type]
        (lambda: Cutout("8"), TypeError, "size is '8'"),  # type: ignore[arg-type]
        (lambda: RandomCrop(HUGE), ValueError, "padding is 1"),
        (lambda: RandomCrop(math.inf), TypeError, "padding is inf"),  # type: ignore[arg-type]
        (lambda: RandomCrop(2, reflect="no"), TypeError, "reflect is 'no'"),  # type: ignore[arg-type]
        (lambda: RandomFlip(HUGE), ValueError, "p is 1"),
        (lambda: RandomFlip(-(10**400)), ValueError, "p is -1"),
        (lambda: RandomFlip(None), TypeError, "p is None"),  # type: ignore[arg-type]
        (lambda: RandomAffine(10**400), ValueError, "degrees is 1"),
        (lambda: RandomAffine(shear="1"), TypeError, "shear is '1'"),  # type: ignore[arg-type]
        (lambda: RandomErasing(scale=0.5), TypeError, r"scale is 0.5, but must be \(least, most\)"),  # type: ignore[arg-type]
        (lambda: RandomErasing(scale=(0.5, 0.2)), ValueError, r"scale is \(0.5, 0.2\)"),
        (lambda: RandomErasing(scale=(0.5, 2)), ValueError, "scale is 2"),
        (lambda: RandomErasing(ratio=(0, 2)), ValueError, "ratio is 0"),
        (lambda: RandomErasing(value=math.nan), ValueError, "value is nan"),
        (lambda: RandomErasing(value="red"), TypeError, "value is 'red'"),  # type: ignore[arg-type]
        (lambda: RandomResizedCrop((0.1, math.nan)), ValueError, "scale is nan"),
        (lambda: RandomResizedCrop("ab"), TypeError, "scale is 'ab'"),  # type: ignore[arg-type]
        (lambda: ColorJitter(-1), ValueError, "brightness is -1"),
        (lambda: ColorJitter(contrast=math.inf), ValueError, "contrast is inf"),
        (lambda: ColorJitter(hue=0.6), ValueError, "hue is 0.6"),
        (lambda: Compose(RandomFlip(), 3), TypeError, "steps has 3"),  # type: ignore[arg-type]
        (lambda: RandomAffine().draw(-1, np.random.default_rng(0)), ValueError, "count is -1"),
        (lambda: RandomAffine().draw(1, 0), TypeError, "rng is 0"),  # type: ignore[arg-type]
    ],
)
def test_odd_settings_are_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("augment", ALL, ids=repr)
@pytest.mark.parametrize(
    ("x", "rng", "error", "message"),
    [
        (
            np.zeros((1, 1, 0, 4)),
            np.random.default_rng(0),
            ValueError,
            r"x has shape \(1, 1, 0, 4\)",
        ),
        (np.zeros((1, 1, 4, 0)), np.random.default_rng(0), ValueError, "x has shape"),
        (np.zeros((1, 4, 4)), np.random.default_rng(0), ValueError, "x has shape"),
        (np.array("text"), np.random.default_rng(0), TypeError, "x has dtype"),
        (np.zeros((1, 1, 4, 4)), 0, TypeError, "rng is 0"),
        (np.zeros((1, 1, 4, 4)), None, TypeError, "rng is None"),
        (np.zeros((1, 1, 4, 4)), np.random.RandomState(0), TypeError, "rng is RandomState"),
    ],
)
def test_odd_batches_are_named(
    augment: Augment, x: Any, rng: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        augment(x, rng)


@pytest.mark.parametrize("augment", ALL, ids=repr)
@pytest.mark.parametrize("shape", [(3, 0, 5, 4), (2, 1, 1, 1), (2, 2, 1, 9), (2, 2, 9, 1)])
def test_small_images(augment: Augment, shape: tuple[int, ...]) -> None:
    assert augment(np.ones(shape, np.uint8), np.random.default_rng(0)).shape == shape


@pytest.mark.parametrize("augment", ALL, ids=repr)
def test_views_give_what_their_copies_give(augment: Augment) -> None:
    base = images(np.int16, (8, 4, 18, 14))
    views = [
        base[::2, :, ::2, ::2],
        base[::-1, ::-1, :9, 6::-1],
        np.broadcast_to(base[0, 0, :9, :7], (4, 2, 9, 7)),
        base.astype(">i2")[:4],
        base.transpose(0, 1, 3, 2),
    ]
    for view in views:
        view.flags.writeable = False
        out = augment(view, np.random.default_rng(4))
        wanted = augment(view.astype(np.int16, order="C"), np.random.default_rng(4))
        np.testing.assert_array_equal(out, wanted)
        assert out.dtype == view.dtype


@pytest.mark.parametrize("reflect", [False, True])
def test_a_crop_far_beyond_the_image(reflect: bool) -> None:
    """Mirrored many times, or shifted out, without memory for so much padding."""
    x = np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4) + 1
    augment = RandomCrop(2**31, reflect=reflect)
    seen = set()
    for seed in range(5):
        out = augment(x, np.random.default_rng(seed))[0, 0]
        draws = np.random.default_rng(seed).integers(0, 2**32 + 1, size=(2, 1))
        down, right = (int(draw[0]) - 2**31 for draw in draws)
        for row, column in np.ndindex(3, 4):
            # A zigzag of period 2 * (size - 1).
            source = [min(n % p, p - n % p) for n, p in ((row + down, 4), (column + right, 6))]
            assert out[row, column] == (x[0, 0, source[0], source[1]] if reflect else 0)
        seen.add(out.tobytes())
    assert len(seen) > 1 or not reflect


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        (RandomCrop(np.int64(3), np.True_), RandomCrop(3, True)),  # type: ignore[arg-type]
        (RandomFlip(np.float32(0.5)), RandomFlip(0.5)),  # type: ignore[arg-type]
        (RandomFlip(1), RandomFlip(1.0)),
        (Cutout(np.array(4)), Cutout(4)),  # type: ignore[arg-type]
        (RandomErasing(np.float32(1), [np.int8(0), 1]), RandomErasing(1, (0, 1))),  # type: ignore[arg-type]
        (RandomResizedCrop(ratio=(np.float64(1), 1)), RandomResizedCrop(ratio=(1, 1))),  # type: ignore[arg-type]
        (ColorJitter(np.float32(0.5), 0, 1, np.array(0)), ColorJitter(0.5, 0, 1)),  # type: ignore[arg-type]
        (RandomAffine(np.float64(10), np.float32(0), 0, np.int8(2)), RandomAffine(10, 0, 0, 2)),  # type: ignore[arg-type]
    ],
)
def test_numpy_scalars_are_plain_numbers(odd: Augment, plain: Augment) -> None:
    assert odd == plain
    assert repr(odd) == repr(plain)
    assert "np." not in repr(odd)


class Noise:
    """A user's augmentation without its own repr."""

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + rng.standard_normal(x.shape).astype(x.dtype)


def brighter(x: np.ndarray, rng: np.random.Generator, by: float = 1) -> np.ndarray:
    return x + by * rng.random()


def test_a_composition_says_the_same_in_every_process() -> None:
    """No address: two equal objects have the same description."""

    def make() -> Compose:
        partial = functools.partial(brighter, by=2)
        return Compose(
            RandomCrop(2), brighter, Noise(), partial, Noise().__call__, Compose(Noise())
        )

    first, second = make(), make()
    assert repr(first) == repr(second)
    assert "0x" not in repr(first)
    for part in (f"{__name__}.brighter", f"{__name__}.Noise object", "by=2", "Noise.__call__"):
        assert part in repr(first)


def test_the_trainer_augments_training_batches_only() -> None:
    seen = []

    def double(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        seen.append(rng.random())
        return 2 * x

    rng = np.random.default_rng(0)
    x, t = rng.random((25, 1, 2, 2), dtype=np.float32), rng.integers(0, 2, 25)

    def train(images: np.ndarray, augment: Augment | None) -> pc.Trainer:
        layers = [("flatten", pc.Flatten()), ("fc", pc.Linear(4, 2))]
        net = pc.ConvNet(layers, input_shape=(1, 2, 2))
        trainer = pc.Trainer(net, pc.optim.SGD(0.1), batch_size=10, augment=augment)
        trainer.fit(images, t, epochs=2, validation=(x, t))
        return trainer

    doubled, augmented = train(2 * x, None), train(x, double)
    assert len(set(seen)) == 6
    for name, array in augmented.net.params.items():
        np.testing.assert_array_equal(array, doubled.net.params[name])
    assert doubled.history[-1]["val_loss"] == augmented.history[-1]["val_loss"]
    with pytest.raises(TypeError, match="augment is 3"):
        train(x, 3)  # type: ignore[arg-type]
