"""Folders of images that are read while training: the arrays of `image_folder`, batch by batch."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketcnn import data
from pocketcnn.data import ImageFolder


def smooth(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A picture of `size` (width, height) without edges: all ways to resize it nearly agree."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def write(file: Path, picture: Image.Image, **options: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file, **options)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of many kinds, of two classes."""
    tmp_path = tmp_path_factory.mktemp("pictures")
    for place, name in enumerate(("a.jpg", "nested/b.png", "ü.webp", "c.gif", "d.tiff")):
        write(tmp_path / "cat" / name, smooth((61 + place, 40), place))
    write(tmp_path / "cat" / "two.gif", smooth((9, 9)), append_images=[smooth((9, 9), 1)])
    write(tmp_path / "dog" / "palette.png", smooth((30, 50)).convert("P"))
    write(tmp_path / "dog" / "alpha.png", smooth((30, 50)).convert("RGBA"))
    write(tmp_path / "dog" / "cmyk.jpg", smooth((200, 150)).convert("CMYK"))
    write(tmp_path / "dog" / "grey.jpg", smooth((200, 150)).convert("L"))
    for orientation in range(1, 9):
        exif = turned(orientation)
        write(tmp_path / "dog" / f"turn{orientation}.jpg", smooth((131, 97)), exif=exif)
    return tmp_path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """The pictures, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "pictures"))


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("workers", [0, 3])
def test_batches_are_the_rows_of_image_folder(folder: Path, resize: str, workers: int) -> None:
    x, t, classes = data.image_folder(folder, (12, 10), resize=resize)
    with ImageFolder(folder, (12, 10), workers=workers, resize=resize) as dataset:
        assert (len(dataset), dataset.classes) == (len(x), classes)
        assert dataset.image_shape == (3, 12, 10)
        np.testing.assert_array_equal(dataset.labels, t)
        order = np.random.default_rng(0).permutation(len(x))
        for chosen in (order[:5], order[5:], order[:1], order[:0], np.array([3, 3])):
            some, labels = dataset.batch(chosen)
            np.testing.assert_array_equal(some, x[chosen])
            np.testing.assert_array_equal(labels, t[chosen])
            assert (some.dtype, labels.dtype) == (np.uint8, np.int64)
            assert some.flags.c_contiguous
        assert [file.parent.relative_to(folder).parts[0] for file in dataset.files] == [
            classes[label] for label in t
        ]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_and_the_size_of_the_files(tmp_path: Path, channels: int) -> None:
    for place in range(6):
        kind = ("RGB", "L", "RGBA")[place % 3]
        write(tmp_path / "ab"[place % 2] / f"{place}.png", smooth((8, 6), place).convert(kind))
    write(tmp_path / "a" / "lying.png", smooth((6, 8)), exif=turned(6))
    dataset = ImageFolder(tmp_path, None, channels)
    x, _, _ = data.image_folder(tmp_path, None, channels)
    assert dataset.image_shape == (channels, 6, 8)
    np.testing.assert_array_equal(dataset.batch(np.arange(7))[0], x)
    write(tmp_path / "b" / "other.png", smooth((8, 7)))
    for make in (ImageFolder, data.image_folder):
        with pytest.raises(ValueError, match=r"other\.png is 8 wide and 7 high, but .* is 8 by 6"):
            make(tmp_path, None)


# How pictures are resized


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("rule", ["stretch", "crop", "pad"])
def test_reduced_jpegs_are_nearly_the_whole_ones(
    tmp_path: Path, orientation: int, rule: str
) -> None:
    """No shift and no change of scale, though 403 and 301 are no multiples of eight."""
    picture, exif = smooth((403, 301), orientation), turned(orientation)
    write(tmp_path / "jpeg" / "a" / "1.jpg", picture, exif=exif, quality=95)
    write(tmp_path / "png" / "a" / "1.png", picture, exif=exif)
    reduced, whole = (
        data.image_folder(tmp_path / kind, (24, 20), resize=rule)[0].astype(float)
        for kind in ("jpeg", "png")
    )
    # Rounding, JPEG's loss and the filter: 3 levels. A shift by half a pixel changes more than 10
    # in places.
    assert np.abs(reduced - whole).max() <= 4
    assert np.abs(reduced - whole).mean() < 0.7


@pytest.mark.parametrize("size", [(20, 30), (30, 20), (9, 9), (60, 7), (1, 1)])
def test_rules_are_those_of_plain_pillow(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = smooth((46, 31))
    write(tmp_path / "a" / "1.png", picture)
    height, width = size
    found = {
        rule: data.image_folder(tmp_path, size, resize=rule)[0][0].transpose(1, 2, 0).astype(int)
        for rule in ("stretch", "crop", "pad")
    }
    bilinear = Image.Resampling.BILINEAR
    np.testing.assert_array_equal(found["stretch"], picture.resize((width, height), bilinear))
    inner = min(width / 46, height / 31)
    inside = max(1, round(46 * inner)), max(1, round(31 * inner))
    wanted = Image.new("RGB", (width, height))
    place = (width - inside[0]) // 2, (height - inside[1]) // 2
    wanted.paste(picture.resize(inside, bilinear), place)
    np.testing.assert_array_equal(found["pad"], wanted)
    outer = max(width / 46, height / 31)
    outside = round(46 * outer), round(31 * outer)
    left, top = (outside[0] - width) // 2, (outside[1] - height) // 2
    wanted = picture.resize(outside, bilinear).crop((left, top, left + width, top + height))
    # Only the pixels that are wanted are computed, from places with other rounding errors.
    assert np.abs(found["crop"] - np.asarray(wanted, int)).max() <= 1


def test_a_crop_without_resizing_keeps_the_pixels(tmp_path: Path) -> None:
    picture = smooth((45, 31))
    write(tmp_path / "a" / "1.png", picture)
    found = data.image_folder(tmp_path, 31, resize="crop")[0][0].transpose(1, 2, 0)
    np.testing.assert_array_equal(found, np.asarray(picture)[:, 7:38])
    padded = data.image_folder(tmp_path, (31, 50), resize="pad")[0][0].transpose(1, 2, 0)
    np.testing.assert_array_equal(padded[:, 2:47], np.asarray(picture))
    assert not padded[:, :2].any()
    assert not padded[:, 47:].any()
    assert not data.image_folder(tmp_path, (31, 50), 4, resize="pad")[0][0, 3, :, :2].any()


# Damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def test_what_is_no_picture_is_known_at_once(folder: Path) -> None:
    for name in ("x.jpg", "y.png"):
        (folder / "cat" / name).write_bytes(b"nothing like an image")
    with pytest.raises(ValueError, match=r"2 of 20 files cannot be read: .*x\.jpg cannot"):
        ImageFolder(folder, 8)


def test_damage_is_named_when_it_is_read(folder: Path) -> None:
    cut(folder / "cat" / "a.jpg")
    dataset = ImageFolder(folder, 8)
    bad = dataset.files.index(folder / "cat" / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read as an image: .*[Tt]runcated"):
        dataset.batch(np.arange(len(dataset)))
    assert len(dataset.batch(np.delete(np.arange(len(dataset)), bad))[0]) == len(dataset) - 1


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_files_are_left_out_and_listed(folder: Path, workers: int) -> None:
    whole = ImageFolder(folder, 8)
    cut(folder / "cat" / "a.jpg")
    (folder / "dog" / "alpha.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"skipped 2 of 18 files: .*a\.jpg cannot") as caught:
        dataset = ImageFolder(folder, 8, on_error="skip", workers=workers)
    assert caught[0].filename == __file__
    assert list(dataset.skipped) == ["cat/a.jpg", "dog/alpha.png"]
    assert "truncated" in dataset.skipped["cat/a.jpg"].lower()
    kept = [i for i, file in enumerate(whole.files) if file in dataset.files]
    assert (len(dataset), len(kept)) == (16, 16)
    np.testing.assert_array_equal(dataset.labels, whole.labels[kept])
    with pytest.warns(UserWarning, match="skipped 2 of 18"):
        x, t, _ = data.image_folder(folder, 8, on_error="skip")
    np.testing.assert_array_equal(dataset.batch(range(16))[0], x)
    np.testing.assert_array_equal(dataset.labels, t)


def test_a_class_that_cannot_be_read_is_an_error(folder: Path) -> None:
    for file in (folder / "cat").rglob("*.*"):
        file.write_bytes(b"")
    for make in (ImageFolder, data.image_folder):
        with pytest.raises(ValueError, match="no image of 'cat' can be read; the first reason: "):
            make(folder, 8, on_error="skip")


def test_a_picture_that_changes_its_size_is_named(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        write(tmp_path / name, smooth((8, 6)))
    dataset = ImageFolder(tmp_path, None)
    write(tmp_path / "a" / "2.png", smooth((9, 6)))
    with pytest.raises(ValueError, match=r"2\.png is 9 wide and 6 high"):
        dataset.batch([0, 1])
    (tmp_path / "a" / "2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2\.png does not exist"):
        dataset.batch([0, 1])


def test_one_class_and_imbalance_are_told(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path / "many" / f"{number}.png", smooth((2, 2)))
    with pytest.warns(UserWarning, match="'many' is the only class"):
        ImageFolder(tmp_path, 2)
    write(tmp_path / "one" / "1.png", smooth((2, 2)))
    with pytest.warns(UserWarning, match="class 'many' has 100 images, but 'one' only 1: "):
        ImageFolder(tmp_path, 2)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="none' has no image files"):
        ImageFolder(tmp_path, 2)


# Threads and processes


def readers() -> int:
    return sum(thread.name.startswith("pocketcnn-picture") for thread in threading.enumerate())


def settled(wanted: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not wanted() and time.monotonic() < deadline:
        time.sleep(0.01)
    return wanted()


def test_threads_end_with_the_data_set(folder: Path) -> None:
    gc.collect()
    assert settled(lambda: readers() == 0)
    with ImageFolder(folder, 8, workers=2) as dataset:
        dataset.batch(range(len(dataset)))
        assert 0 < readers() <= 2
    assert readers() == 0
    dataset.batch(range(8))  # they begin again
    assert readers() > 0
    del dataset
    gc.collect()
    assert settled(lambda: readers() == 0)


def test_several_threads_may_ask_at_once(folder: Path) -> None:
    dataset = ImageFolder(folder, 8, workers=2)
    wanted = dataset.batch(range(len(dataset)))[0]
    found: dict[int, np.ndarray] = {}

    def ask(number: int) -> None:
        found[number] = dataset.batch(np.roll(np.arange(len(dataset)), number))[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(6):
        np.testing.assert_array_equal(found[number], np.roll(wanted, number, axis=0))


def test_filters_of_warnings_stay(folder: Path) -> None:
    """Also those that another thread sets while pictures are read."""
    before = list(warnings.filters)
    dataset = ImageFolder(folder, 8, workers=2)
    thread = threading.Thread(target=lambda: [dataset.batch(range(18)) for _ in range(10)])
    with warnings.catch_warnings(record=True) as caught:
        thread.start()
        warnings.simplefilter("always")
        while thread.is_alive():
            warnings.warn("mine", UserWarning, stacklevel=1)
            time.sleep(0.01)
        thread.join()
        warnings.warn("last", UserWarning, stacklevel=1)
    assert {str(warning.message) for warning in caught} == {"mine", "last"}
    assert [f for f in warnings.filters if f not in before] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_child_reads_with_threads_of_its_own(folder: Path) -> None:
    dataset = ImageFolder(folder, 8, workers=2)
    wanted = dataset.batch(range(18))[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(dataset.batch(range(18))[0], wanted) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_copy_by_pickle_reads_the_same(folder: Path) -> None:
    dataset = ImageFolder(folder, 8, workers=2)
    dataset.batch(range(18))
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.batch(range(18))[0], dataset.batch(range(18))[0])
    assert copy.digest() == dataset.digest()


def test_a_digest_is_of_files_and_settings(folder: Path) -> None:
    first = ImageFolder(folder, 8)
    digests = {first.digest(), ImageFolder(folder, 8, resize="crop").digest()}
    digests |= {ImageFolder(folder, 9).digest(), ImageFolder(folder, 8, 1).digest()}
    assert ImageFolder(str(folder) + "/", 8, workers=0).digest() == first.digest()
    file = folder / "cat" / "a.jpg"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    digests.add(first.digest())
    file.write_bytes(content)
    assert first.digest() in digests
    file.rename(folder / "cat" / "aa.jpg")
    digests.add(ImageFolder(folder, 8).digest())
    assert len(digests) == 6


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"on_error": "ignore"}, ValueError, "on_error is 'ignore': wanted 'raise' or 'skip'"),
        ({"on_error": None}, ValueError, "on_error is None"),
        ({"workers": -1}, ValueError, "workers is -1"),
        ({"workers": 2.0}, TypeError, "workers is 2.0"),
        ({"workers": 10**6}, ValueError, "workers is 1000000"),
        ({"resize": "fit"}, ValueError, "resize is 'fit': wanted one of 'stretch', 'crop', 'pad'"),
        ({"resize": 3}, ValueError, "resize is 3"),
        ({"channels": 2}, ValueError, "channels is 2"),
        ({"size": 0}, ValueError, "size is 0"),
    ],
)
def test_odd_arguments_are_named(
    folder: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    for make in (ImageFolder, data.image_folder):
        with pytest.raises(error, match=message):
            make(folder, **{"size": 8, **arguments})


@pytest.mark.parametrize(
    ("indices", "error"),
    [
        ([18], ValueError),
        ([-1], ValueError),
        ([0.5], TypeError),
        ([[0]], TypeError),
        (3, TypeError),
    ],
)
def test_odd_indices_are_named(folder: Path, indices: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="indices"):
        ImageFolder(folder, 8).batch(indices)


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"path '.*none' is not a folder"):
        ImageFolder(tmp_path / "none", 8)
    with pytest.raises(TypeError, match="path is 3"):
        ImageFolder(3, 8)  # type: ignore[arg-type]


def test_it_says_what_it_is(folder: Path) -> None:
    text = repr(ImageFolder(folder, 8))
    assert text == f"<ImageFolder {str(folder)!r}: 18 images of 3 x 8 x 8, 2 classes>"
