"""Folders of images: which files belong to which class, and what is reported about the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketcnn import data
from pocketcnn.data.image_folder import read_images


def write_images(root: Path) -> None:
    """Two classes: `b` with two images of one colour each, `a` with one grey one."""
    for name in ("a", "b", ".hidden"):
        (root / name).mkdir(parents=True)
    Image.new("RGB", (6, 4), (255, 0, 10)).save(root / "b" / "2.png")
    Image.new("RGB", (6, 4), (0, 128, 255)).save(root / "b" / "1.png")
    Image.new("L", (6, 4), 200).save(root / "a" / "x.PNG")
    (root / "a" / "notes.txt").write_text("not an image")
    (root / "a" / ".x.png").write_bytes(b"what file managers leave")
    (root / "readme.md").write_text("not a class")


def test_image_folder(tmp_path: Path) -> None:
    write_images(tmp_path)
    x, t, classes = data.image_folder(tmp_path)
    assert classes == ["a", "b"]
    assert (t.tolist(), t.dtype) == ([0, 1, 1], np.int64)
    assert (x.shape, x.dtype) == ((3, 3, 4, 6), np.uint8)
    assert x[:, :, 0, 0].tolist() == [[200] * 3, [0, 128, 255], [255, 0, 10]]


@pytest.mark.parametrize(("size", "shape"), [(8, (8, 8)), ((5, 9), (5, 9))])
def test_image_folder_resizes(tmp_path: Path, size: int, shape: tuple[int, int]) -> None:
    write_images(tmp_path)
    Image.new("RGB", (60, 40), (7, 8, 9)).save(tmp_path / "b" / "large.jpg", quality=100)
    x, _, _ = data.image_folder(tmp_path, size=size)
    assert x.shape == (4, 3, *shape)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_image_folder_channels(tmp_path: Path, channels: int) -> None:
    write_images(tmp_path)
    x, _, _ = data.image_folder(tmp_path, channels=channels)
    assert x.shape[1] == channels
    assert x[0, :, 0, 0].tolist() == {1: [200], 3: [200] * 3, 4: [200] * 3 + [255]}[channels]


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    image.save(tmp_path / "a" / "x.png", exif=exif)
    x, _, _ = data.image_folder(tmp_path, channels=1)
    assert x[0, 0].tolist() == [[3, 0], [4, 1], [5, 2]]


def test_image_folder_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        data.image_folder(tmp_path / "none")
    with pytest.raises(ValueError, match="has no subfolders"):
        data.image_folder(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match=r"a' has no image files"):
        data.image_folder(tmp_path)
    (tmp_path / "a" / "1.png").write_bytes(b"nothing like an image")
    with pytest.raises(ValueError, match=r"1\.png cannot be read as an image"):
        data.image_folder(tmp_path)
    Image.new("RGB", (6, 4)).save(tmp_path / "a" / "1.png")
    Image.new("RGB", (4, 6)).save(tmp_path / "a" / "2.png")
    with pytest.raises(ValueError, match=r"2\.png is 4 wide and 6 high, but 1\.png is 6 by 4"):
        data.image_folder(tmp_path)
    with pytest.raises(ValueError, match="channels is 2"):
        data.image_folder(tmp_path, channels=2)
    with pytest.raises(ValueError, match="size is 0"):
        data.image_folder(tmp_path, size=0)


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "1.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"1\.png cannot be read"):
        data.image_folder(tmp_path)


def test_without_pillow_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        data.image_folder(tmp_path)


# Which files


def grey(file: Path, value: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2), value).save(file)


def test_pictures_in_nested_folders_belong_to_the_class(tmp_path: Path) -> None:
    names = ["cat/2024/summer/a.png", "cat/2024/b.png", "cat/2024-a.png", "cat/z.png", "dog/a.png"]
    for value, name in enumerate(names):
        grey(tmp_path / name, value)
    grey(tmp_path / "cat" / ".trash" / "a.png", 99)
    x, t, classes = data.image_folder(tmp_path, channels=1)
    # In the order of the names, folder by folder: "2024" comes before "2024-a.png".
    assert x[:, 0, 0, 0].tolist() == [1, 0, 2, 3, 4]
    assert (t.tolist(), classes) == ([0, 0, 0, 0, 1], ["cat", "dog"])


def test_links_may_lead_in_circles(tmp_path: Path) -> None:
    grey(tmp_path / "root" / "a" / "1.png", 7)
    grey(tmp_path / "elsewhere" / "2.png", 8)
    (tmp_path / "root" / "a" / "again").symlink_to(tmp_path / "root" / "a")
    (tmp_path / "root" / "a" / "far").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere")
    x, t, _ = data.image_folder(tmp_path / "root", channels=1)
    assert x[:, 0, 0, 0].tolist() == [7, 8, 8]
    assert t.tolist() == [0, 0, 1]


def test_every_ending_that_pillow_reads(tmp_path: Path) -> None:
    kinds = {"a.jfif": "JPEG", "b.JPE": "JPEG", "c.pnm": "PPM", "d.tga": "TGA", "e.apng": "PNG"}
    for name, kind in kinds.items():
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("L", (2, 2), 50).save(tmp_path / "a" / name, kind)
    assert len(data.image_folder(tmp_path)[0]) == len(kinds)


def test_names_of_all_languages(tmp_path: Path) -> None:
    for name in ("猫/子猫 1.png", "собака/é.png", "a b/100%.png"):
        grey(tmp_path / name, 5)
    assert data.image_folder(tmp_path)[2] == ["a b", "собака", "猫"]


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    grey(tmp_path / "a" / "1.png", 0)
    grey(tmp_path / "b" / "1.png", 0)
    grey(tmp_path / "loose.png", 0)
    for name in ("a/2.heic", "a/deep/3.HEIC", "b/clip.mp4", "b/labels.csv", "a/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.warns(UserWarning, match="passed over") as caught:
        assert len(data.image_folder(tmp_path)[0]) == 2
    assert len(caught) == 1
    assert caught[0].filename == __file__
    told = str(caught[0].message)
    for part in ("2 .heic, 1 .mp4", "a/2.heic", "images in no class's folder (loose.png)"):
        assert part.replace("/", os.sep) in told
    assert "labels" not in told


def test_classes_without_images_are_named(tmp_path: Path) -> None:
    grey(tmp_path / "a" / "1.png", 0)
    for name in ("b/1.heic", "c/notes.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    message = r"class folders '.*b', '.*c' have no image files, but 1 \.heic, 1 \.txt"
    with pytest.raises(ValueError, match=message):
        data.image_folder(tmp_path)


def test_parts_of_a_data_set_are_no_classes(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"):
        grey(tmp_path / name, 0)
    with pytest.raises(ValueError, match=r"holds parts of a data set \(test, train\), not classes"):
        data.image_folder(tmp_path)
    assert data.image_folder(tmp_path / "train")[2] == ["a", "b"]


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    for name in ("bus/1.png", "train/1.png", "train/old/2.png", "test/1.png"):
        grey(tmp_path / name, 0)
    assert data.image_folder(tmp_path)[2] == ["bus", "test", "train"]


# What cannot be read


def test_all_damaged_files_are_in_one_error(tmp_path: Path) -> None:
    for index in range(10):
        grey(tmp_path / "a" / f"{index}.png", 0)
    for index in range(1, 9):
        (tmp_path / "a" / f"{index}.png").write_bytes(b"nothing like an image")
    with pytest.raises(ValueError, match="8 of 10 files cannot be read: ") as caught:
        data.image_folder(tmp_path)
    told = str(caught.value)
    for part in ("1.png cannot", "5.png cannot", "and 3 more"):
        assert part in told
    assert "6.png" not in told


def test_missing_files_count_as_damaged(tmp_path: Path) -> None:
    grey(tmp_path / "a.png", 0)
    with pytest.raises(ValueError, match=r"2 of 3 files cannot be read: .*b\.png does not exist; "):
        read_images([tmp_path / name for name in ("a.png", "b.png", "c.png")], None, 1)


def test_different_sizes_ask_for_size(tmp_path: Path) -> None:
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    Image.new("L", (2, 3)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"give size \(--size on the command line\)"):
        read_images([tmp_path / "a.png", tmp_path / "b.png"], None, 1)


# Arguments


@pytest.mark.parametrize(
    "size", [np.int64(8), (8, 8), [8, 8], np.array([8, 8]), (np.int32(8), np.uint8(8)), np.array(8)]
)
def test_sizes_of_any_kind(tmp_path: Path, size: Any) -> None:
    grey(tmp_path / "a" / "1.png", 0)
    assert data.image_folder(tmp_path, size, np.int8(1))[0].shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": "32"}, TypeError, "size is '32'"),
        ({"size": 2**31}, ValueError, "size is 2147483648, more than .* pixels"),
        ({"size": 10**40}, ValueError, "size is 1"),
        ({"size": (1, 2**31)}, ValueError, "size is"),
        ({"size": (3,)}, ValueError, "size is"),
        ({"size": (3, 3, 3)}, ValueError, "size is"),
        ({"size": (3.0, 3)}, TypeError, "size is 3.0"),
        ({"size": float("nan")}, TypeError, "size is nan"),
        ({"size": -1}, ValueError, "size is -1"),
        ({"size": {}}, TypeError, "size is {}"),
        ({"channels": 2}, ValueError, "channels is 2"),
        ({"channels": "RGB"}, TypeError, "channels is 'RGB'"),
        ({"channels": 3.0}, TypeError, "channels is 3.0"),
        ({"channels": [3]}, TypeError, r"channels is \[3\]"),
        ({"channels": None}, TypeError, "channels is None"),
    ],
)
def test_odd_arguments_are_named(
    tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    grey(tmp_path / "a" / "1.png", 0)
    with pytest.raises(error, match=message):
        data.image_folder(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("files", "error"),
    [([], ValueError), ([3], TypeError), (None, TypeError), (3, TypeError), ("a", TypeError)],
)
def test_files_are_paths(files: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="files"):
        read_images(files, None, 3)
