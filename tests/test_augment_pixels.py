"""Resized crops, colours and erased rectangles against SciPy, colorsys and loops over pixels."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from pocketcnn.data import ColorJitter, RandomErasing, RandomResizedCrop
from pocketcnn.data.augment.boxes import draw_boxes

SHAPE = (24, 3, 11, 8)


def images(dtype: Any = np.float32, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random(SHAPE) * 255).astype(dtype)


# Rectangles


def first_fit(
    rng: np.random.Generator, scale: tuple[float, float], ratio: tuple[float, float]
) -> list[tuple[int, int, int, int] | None]:
    """Draw as `draw_boxes` does, and look at one attempt after the other."""
    count, _, rows, columns = SHAPE
    areas = rng.uniform(*scale, (10, count))
    ratios = rng.uniform(math.log(ratio[0]), math.log(ratio[1]), (10, count))
    down, across = rng.random((2, count))
    found: list[tuple[int, int, int, int] | None] = [None] * count
    for image in range(count):
        for area, logarithm in zip(areas[:, image], ratios[:, image], strict=True):
            quotient = math.exp(logarithm)
            height = round(math.sqrt(area * rows * columns / quotient))
            width = round(math.sqrt(area * rows * columns * quotient))
            if 0 < height <= rows and 0 < width <= columns:
                top = math.floor(down[image] * (rows - height + 1))
                left = math.floor(across[image] * (columns - width + 1))
                found[image] = top, left, height, width
                break
    return found


@pytest.mark.parametrize(
    ("scale", "ratio"),
    [
        ((0.08, 1.0), (3 / 4, 4 / 3)),
        ((0.02, 0.33), (0.3, 3.3)),
        ((0.9, 1.0), (0.5, 2.0)),
        ((1.0, 1.0), (1.0, 1.0)),
        ((0.0, 0.01), (1.0, 1.0)),
    ],
)
def test_rectangles(scale: tuple[float, float], ratio: tuple[float, float]) -> None:
    boxes = draw_boxes(np.random.default_rng(7), SHAPE, scale, ratio)
    wanted = first_fit(np.random.default_rng(7), scale, ratio)
    assert [tuple(box) if box[2] else None for box in boxes.tolist()] == wanted
    assert all(box[2] or not box.any() for box in boxes)


def test_rectangles_reach_every_place() -> None:
    boxes = draw_boxes(np.random.default_rng(0), (3000, 1, 4, 4), (0.25, 0.25), (1.0, 1.0))
    assert set(map(tuple, boxes[:, 2:].tolist())) == {(2, 2)}
    counts = np.zeros((3, 3))
    np.add.at(counts, (boxes[:, 0], boxes[:, 1]), 1)
    # 333 each, with a standard deviation of 17.
    assert counts.min() > 333 - 5 * 18
    assert counts.max() < 333 + 5 * 18


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_erasing(dtype: type, value: float) -> None:
    x = images(dtype) + np.asarray(1, dtype)
    augment = RandomErasing(0.6, (0.1, 0.5), (0.5, 2.0), value)
    out = augment(x, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    chosen = rng.random(len(x)) < 0.6
    assert 0 < chosen.sum() < len(x)
    for place, box in enumerate(first_fit(rng, (0.1, 0.5), (0.5, 2.0))):
        wanted = x[place].copy()
        if chosen[place] and box is not None:
            top, left, height, width = box
            wanted[:, top : top + height, left : left + width] = value
        np.testing.assert_array_equal(out[place], wanted)


def test_a_value_that_the_images_cannot_hold() -> None:
    for value in (-1, 256, 0.5):
        with pytest.raises(ValueError, match=r"value is .*, which uint8 does not have"):
            RandomErasing(value=value)(images(np.uint8), np.random.default_rng(0))


# Resized crops


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_resized_crop(dtype: type) -> None:
    """SciPy reads the cut-out image at the same places, and repeats its edge outside."""
    x = images(dtype)
    out = RandomResizedCrop()(x, np.random.default_rng(5))
    boxes = first_fit(np.random.default_rng(5), (0.08, 1.0), (3 / 4, 4 / 3))
    for place, box in enumerate(boxes):
        # Ten attempts fail: the middle of 11 x 8 with a width of 3/4 of the height.
        top, left, height, width = box or (0, 0, 11, 8)
        part = x[place, :, top : top + height, left : left + width].astype(np.float64)
        rows = (np.arange(11) + 0.5) * height / 11 - 0.5
        columns = (np.arange(8) + 0.5) * width / 8 - 0.5
        grid = np.meshgrid(rows, columns, indexing="ij")
        for channel in range(3):
            wanted = ndimage.map_coordinates(part[channel], grid, order=1, mode="nearest")
            if dtype == np.uint8:
                assert np.abs(out[place, channel] - wanted).max() <= 0.5 + 1e-4
            else:
                # Six roundings of numbers up to 255.
                atol = 6 * 255 * np.finfo(dtype).eps
                np.testing.assert_allclose(out[place, channel], wanted, rtol=0, atol=atol)
    assert sum(box is not None for box in boxes) > 12


def test_where_no_rectangle_fits_the_middle_is_taken() -> None:
    x = images(np.float64)[:, :, :4]
    out = RandomResizedCrop((1.0, 1.0), (0.5, 0.5))(x, np.random.default_rng(0))
    wanted = np.stack(
        [ndimage.zoom(x[0, 0, :, 3:5], (1, 4), order=1, grid_mode=True, mode="nearest")]
    )
    np.testing.assert_allclose(out[0, 0], wanted[0], rtol=1e-12)
    whole = RandomResizedCrop((1.0, 1.0), (2.0, 2.0))(x, np.random.default_rng(0))
    np.testing.assert_array_equal(whole, x)


# Colours


def reference(image: np.ndarray, draws: np.ndarray, amounts: list[float], top: float) -> np.ndarray:
    """One image (3, H, W) of float64, pixel by pixel, with colorsys."""
    factors = np.maximum(0, 1 + draws[:3] * amounts[:3])
    grey = np.array([0.299, 0.587, 0.114])
    image = np.clip(image * factors[0], 0, top)
    mean = np.tensordot(grey, image, 1).mean()
    image = np.clip(mean + factors[1] * (image - mean), 0, top)
    ground = np.tensordot(grey, image, 1)
    image = np.clip(ground + factors[2] * (image - ground), 0, top)
    out = np.empty_like(image)
    for place in np.ndindex(image.shape[1:]):
        pixel = image[(slice(None), *place)]
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        hue = (hue + draws[3] * amounts[3]) % 1.0
        out[(slice(None), *place)] = colorsys.hsv_to_rgb(hue, saturation, value)
    return out


AMOUNTS = [[0.4, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 1.5, 0.0], [0.0, 0.0, 0.0, 0.5]]


@pytest.mark.parametrize("amounts", [*AMOUNTS, [0.3, 0.3, 0.3, 0.1]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_colors(dtype: type, amounts: list[float]) -> None:
    x = images(dtype)[:6]
    x[0] = x[0, :1]  # grey has no hue
    x[1, :, :5] = 0
    out = ColorJitter(*amounts)(x, np.random.default_rng(5))
    draws = np.random.default_rng(5).uniform(-1, 1, (4, 6))
    top = 255 if dtype == np.uint8 else math.inf
    for place in range(6):
        if dtype != np.uint8 and (amounts[1] or amounts[2]) and amounts[3]:
            continue  # colorsys takes no negative numbers, which have no limit here
        wanted = reference(x[place].astype(np.float64), draws[:, place], amounts, top)
        if dtype == np.uint8:
            assert np.abs(out[place] - wanted).max() <= 0.5 + 1e-3
        elif not amounts[1] and not amounts[2]:
            np.testing.assert_allclose(out[place], wanted, rtol=0, atol=2000 * np.finfo(dtype).eps)
        else:
            free = reference_without_limits(x[place].astype(np.float64), draws[:, place], amounts)
            np.testing.assert_allclose(out[place], free, rtol=0, atol=4000 * np.finfo(dtype).eps)


def reference_without_limits(
    image: np.ndarray, draws: np.ndarray, amounts: list[float]
) -> np.ndarray:
    factors = np.maximum(0, 1 + draws[:3] * amounts[:3])
    grey = np.array([0.299, 0.587, 0.114])
    image = image * factors[0]
    mean = np.tensordot(grey, image, 1).mean()
    image = mean + factors[1] * (image - mean)
    ground = np.tensordot(grey, image, 1)
    return np.asarray(ground + factors[2] * (image - ground))


def test_alpha_stays_and_other_channels_have_no_colors() -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 6), dtype=np.uint8)
    augment = ColorJitter(0.5, 0.5, 0.5, 0.5)
    out = augment(x, np.random.default_rng(1))
    np.testing.assert_array_equal(out[:, 3], x[:, 3])
    three = augment(np.ascontiguousarray(x[:, :3]), np.random.default_rng(1))
    np.testing.assert_array_equal(out[:, :3], three)
    colors = ColorJitter(0, 0, 1, 0.5)
    for channels in (1, 2):
        some = np.ascontiguousarray(x[:, :channels])
        np.testing.assert_array_equal(colors(some, np.random.default_rng(1)), some)
        assert not np.array_equal(augment(some, np.random.default_rng(1)), some)
