"""Data sets in the files of others: IDX with any prefix, CIFAR's records, .npz archives."""

from __future__ import annotations

import gzip
import importlib
import io
import os
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketcnn import data
from pocketcnn.data import CLASS_NAMES
from pocketcnn.data.mnist import name_idx_files

mnist_module = importlib.import_module("pocketcnn.data.mnist")

FASHION = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def _clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POCKETCNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist_module, "_SYSTEM_FASHION", tmp_path / "system")


def write_idx(
    folder: Path, prefix: str = "", test: str = "t10k", size: tuple[int, int] = (5, 4)
) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 6), (test, 3)):
        for kind, shape in (("images-idx3", (count, *size)), ("labels-idx1", (count,))):
            array = rng.integers(0, 256, shape, dtype=np.uint8)
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            content = gzip.compress(header + array.tobytes())
            (folder / f"{prefix}{part}-{kind}-ubyte.gz").write_bytes(content)
            arrays[f"{part}-{kind[:6]}"] = array
    return arrays


# IDX


def test_idx_files_with_a_prefix(tmp_path: Path) -> None:
    arrays = write_idx(tmp_path, "kuzushiji-", "test")
    for prefix in (None, "kuzushiji-"):
        (x, t), (x_test, t_test) = data.idx(tmp_path, prefix)
        np.testing.assert_array_equal(x[:, 0], arrays["train-images"])
        np.testing.assert_array_equal(t_test, arrays["test-labels"])
        assert (x.shape, x_test.shape, t.dtype) == ((6, 1, 5, 4), (3, 1, 5, 4), np.int64)
    with pytest.raises(FileNotFoundError, match="with prefix 'emnist-'"):
        data.idx(tmp_path, "emnist-")
    write_idx(tmp_path, "other-")
    with pytest.raises(ValueError, match=r"several data sets: give prefix \('kuzu.*', 'other-'\)"):
        data.idx(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not hold the four MNIST files"):
        data.mnist(tmp_path)


def test_images_of_emnist_are_turned_upright(tmp_path: Path) -> None:
    arrays = write_idx(tmp_path, "emnist-letters-")
    (x, _), _ = data.idx(tmp_path)
    assert x.shape == (6, 1, 4, 5)
    assert x[2, 0, 3, 1] == arrays["train-images"][2, 1, 3]
    assert x.flags.c_contiguous


@pytest.mark.parametrize("place", ["env/fashion-mnist", "env/fashion_mnist", "system", "cache"])
def test_where_fashion_mnist_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("POCKETCNN_DATA", str(tmp_path / "env"))
    write_idx(tmp_path / "env", size=(1, 1))  # MNIST itself has the same names
    place = "cache/pocketcnn/fashion-mnist" if place == "cache" else place
    arrays = write_idx(tmp_path / place)
    for path in (None, tmp_path / place):
        np.testing.assert_array_equal(data.fashion_mnist(path)[0][0][:, 0], arrays["train-images"])


def test_without_fashion_mnist_the_error_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(FileNotFoundError, match=r"Fashion-MNIST is not .*dataset-fashion-mnist"):
        data.fashion_mnist()


@pytest.mark.skipif(not FASHION.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_the_fashion_mnist_of_debian() -> None:
    (x, t), (x_test, t_test) = data.fashion_mnist(FASHION)
    assert (x.shape, x_test.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert np.bincount(t).tolist() == [6000] * 10
    assert np.bincount(t_test).tolist() == [1000] * 10
    assert CLASS_NAMES["fashion_mnist"][t[0]] == "Ankle boot"
    assert name_idx_files(FASHION) == "fashion_mnist"


def test_files_of_unknown_content_have_no_name(tmp_path: Path) -> None:
    write_idx(tmp_path)
    assert name_idx_files(tmp_path) is None
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8bnothing")
    assert name_idx_files(tmp_path) is None


def test_names_of_classes() -> None:
    counts = {name: len(names) for name, names in CLASS_NAMES.items()}
    assert counts == {
        "digits": 10, "mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100
    }  # fmt: skip
    assert all(len(set(names)) == len(names) for names in CLASS_NAMES.values())
    # CIFAR's are in the order of the alphabet.
    assert list(CLASS_NAMES["cifar100"]) == sorted(CLASS_NAMES["cifar100"])


# CIFAR


def write_cifar(folder: Path, labels: int, classes: int) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]
    records = {}
    for name in names if labels == 1 else ["train.bin", "test.bin"]:
        record = rng.integers(0, 256, (4, labels + 3072), dtype=np.uint8)
        record[:, :labels] %= classes
        (folder / name).write_bytes(record.tobytes())
        records[name] = record
    return records


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str) -> None:
    records = write_cifar(tmp_path / "cifar10" / inner, 1, 10)
    monkeypatch.setenv("POCKETCNN_DATA", str(tmp_path))
    for path in (None, tmp_path / "cifar10"):
        (x, t), (x_test, t_test) = data.cifar10(path)
        assert (x.shape, x_test.shape) == ((20, 3, 32, 32), (4, 3, 32, 32))
        assert (x.dtype, t.dtype) == (np.uint8, np.int64)
        third = records["data_batch_3.bin"]
        np.testing.assert_array_equal(t[8:12], third[:, 0])
        # Red, green and blue planes, row by row.
        assert x[9, 2, 5, 7] == third[1, 1 + 2 * 1024 + 5 * 32 + 7]
        np.testing.assert_array_equal(t_test, records["test_batch.bin"][:, 0])


def test_cifar100_has_fine_labels(tmp_path: Path) -> None:
    records = write_cifar(tmp_path, 2, 100)
    (x, t), _ = data.cifar100(tmp_path)
    np.testing.assert_array_equal(t, records["train.bin"][:, 1])
    np.testing.assert_array_equal(x.reshape(4, -1), records["train.bin"][:, 2:])


def test_cifar10_as_folders_of_images(tmp_path: Path) -> None:
    for place, name in enumerate(("train/bird/1", "train/cat/1", "test/bird/1", "test/cat/1")):
        file = tmp_path / f"{name}.png"
        file.parent.mkdir(parents=True)
        Image.new("RGB", (32, 32), (place, 0, 0)).save(file)
    (x, t), (x_test, _) = data.cifar10(tmp_path)
    assert (x[:, 0, 0, 0].tolist(), t.tolist(), x_test[:, 0, 0, 0].tolist()) == (
        [0, 1],
        [0, 1],
        [2, 3],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "its 12291 bytes are not a number of records of 3073"),
        (lambda _: b"", "its 0 bytes"),
        (lambda content: b"\x0a" + content[1:], "labels beyond the 10 classes"),
    ],
)
def test_damaged_records_are_named(tmp_path: Path, change: Any, message: str) -> None:
    write_cifar(tmp_path, 1, 10)
    file = tmp_path / "data_batch_2.bin"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ValueError, match=rf"data_batch_2\.bin cannot be read .*{message}"):
        data.cifar10(tmp_path)


def test_cifar_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"a pickle")
    for path in (None, tmp_path):
        with pytest.raises(FileNotFoundError, match="wanted the binary version of cifar10"):
            data.cifar10(path)


# .npz


X, T = np.arange(72, dtype=np.uint8).reshape(3, 6, 4), np.array([2, 0, 1], np.uint8)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "names", [("x", "t"), ("Images", "labels"), ("data", "target"), ("X", "y")]
)
def test_npz_of_one_part(tmp_path: Path, save: Any, names: tuple[str, str]) -> None:
    save(tmp_path / "a.npz", **{names[0]: X, names[1]: T, "notes": np.zeros(2)})
    x, t = data.npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(x, X[:, np.newaxis])
    np.testing.assert_array_equal(t, T)
    assert (x.dtype, t.dtype) == (np.uint8, np.int64)
    assert x.flags.writeable
    assert x.flags.c_contiguous


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X-train", "t-train", "X-val", "t-val"),
    ],
)
def test_npz_of_two_parts(tmp_path: Path, names: tuple[str, ...]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(names, (X, T, X[:2] + 1, T[:2] + 1), strict=True)))
    (x, t), (x_test, t_test) = data.npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(x[:, 0], X)
    np.testing.assert_array_equal(x_test[:, 0], X[:2] + 1)
    np.testing.assert_array_equal((t[0], t_test[0]), (2, 3))


def test_layouts_of_npz(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    last, soft = rng.random((4, 6, 5, 3), np.float32), rng.random((4, 7))
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(last), t=soft)
    x, t = data.npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(x, last.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(t, soft)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2)).astype(">f8")
    np.savez(tmp_path / "b.npz", x=first, t=np.array([[1], [2], [3], [4]]))
    x, t = data.npz(tmp_path / "b.npz")
    np.testing.assert_array_equal(x, first)
    assert t.tolist() == [1, 2, 3, 4]


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for name, content in members.items():
            out.writestr(f"{name}.npy", content)
    return file.getvalue()


def member(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def lying(shape: str) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an .npz file"),
        (b"nothing like a zip", "not a zip file"),
        (archive(x=member(X)), "wanted arrays x and t, or x_train and t_train; it has 'x'"),
        (archive(), "it has none"),
        (archive(x=member(X), t=member(T), X=member(X)), "'x' and 'X' may both be meant"),
        (archive(x=member(X), t=member(T[:2])), r"'x' has shape \(3, 6, 4\) and 't' \(2,\)"),
        (archive(x=member(X[:0]), t=member(T[:0])), "wanted as many targets as images"),
        (archive(x=member(np.array(["a"])), t=member(T)), "dtype <U1: wanted numbers"),
        (archive(x=lying("(10**5, 9)"), t=member(T)), "an .npz file"),
        (archive(x=lying("(100000000000, 9)"), t=member(T)), "but has another size"),
        (archive(x=lying("(-8, -1)"), t=member(T)), "but has another size"),
        (archive(x=b"", t=member(T)), "an .npz file"),
    ],
)
def test_what_is_no_npz(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"a\.npz cannot be read as an \.npz file.*{message}|{message}"
    ):
        data.npz(path)


def test_no_object_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'trapped'}",)

    np.savez(tmp_path / "a.npz", x=np.array([Trap()], dtype=object), t=T[:1])
    with pytest.raises(ValueError, match="has dtype object: wanted numbers"):
        data.npz(tmp_path / "a.npz")
    assert not (tmp_path / "trapped").exists()


def test_paths_of_other_types(tmp_path: Path) -> None:
    for read in (data.npz, data.idx, data.cifar10, data.cifar100, data.fashion_mnist):
        with pytest.raises(TypeError, match="path is 3"):
            read(3)  # type: ignore[operator]
        with pytest.raises(FileNotFoundError, match="none"):
            read(tmp_path / "none")  # type: ignore[operator]
