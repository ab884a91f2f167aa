"""Data sets: the built-in digits, MNIST's files."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import importlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketcnn import data

mnist_module = importlib.import_module("pocketcnn.data.mnist")

SIZES = {"train": 30, "t10k": 20}


def write_idx(path: Path, array: np.ndarray, packed: bool = False) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def write_mnist(folder: Path, packed: bool = False) -> dict[str, np.ndarray]:
    """A small data set in MNIST's files."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in SIZES.items():
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            array = rng.integers(0, 10, shape, dtype=np.uint8)
            name = f"{part}-{kind}-ubyte"
            arrays[name] = array
            write_idx(folder / (name + ".gz" * packed), array, packed)
    return arrays


@pytest.fixture(autouse=True)
def _clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user's data are not found, and nothing is written to the user's cache."""
    monkeypatch.delenv("POCKETCNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# Digits


def test_digits() -> None:
    (x_train, t_train), (x_test, t_test) = data.digits()
    for x, t, count in ((x_train, t_train, 5000), (x_test, t_test, 1000)):
        assert (x.shape, x.dtype) == ((count, 1, 28, 28), np.uint8)
        assert (t.shape, t.dtype) == ((count,), np.int64)
        assert set(t.tolist()) == set(range(10))
        assert x.flags.c_contiguous
        assert x.flags.writeable
    # The first labels of MNIST, known from every tutorial.
    assert t_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert t_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # Mean and standard deviation of all of MNIST are 0.1307 and 0.3081 of the range.
    assert abs(x_train.mean() / 255 - 0.1307) < 0.005
    assert abs(x_train.std() / 255 - 0.3081) < 0.005


def test_digits_are_those_of_mnist() -> None:
    """Digests of the same parts of MNIST"s own files."""
    (x_train, t_train), (x_test, t_test) = data.digits()
    arrays = x_train, x_test, t_train.astype("<i8"), t_test.astype("<i8")
    digests = [hashlib.sha256(array.tobytes()).hexdigest()[:16] for array in arrays]
    assert digests == [
        "a853ca5da5c224d5",
        "f8f3c5a608a9f7d4",
        "2b6c89a8148da2c8",
        "992b69438d87b900",
    ]


def test_digits_are_fresh_at_every_call() -> None:
    data.digits()[0][0][:] = 0
    assert data.digits()[0][0].any()


def test_the_terms_of_the_digits_lie_beside_them() -> None:
    folder = Path(mnist_module.__file__).parent
    terms = (folder / "digits.LICENSE.txt").read_text()
    for word in ("Yann LeCun", "Corinna Cortes", "Attribution-Share Alike 3.0"):
        assert word in terms


def test_make_digits_is_reproducible(tmp_path: Path) -> None:
    tool = Path(__file__).parent.parent / "tools" / "make_digits.py"
    write_mnist(tmp_path / "mnist")
    made = []
    for name in ("a.npz", "b.npz"):
        command = [sys.executable, str(tool), str(tmp_path / "mnist"), str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]


# MNIST


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_from_a_folder(tmp_path: Path, packed: bool) -> None:
    arrays = write_mnist(tmp_path / "files", packed)
    (x_train, t_train), (x_test, t_test) = data.mnist(tmp_path / "files")
    assert (x_train.dtype, t_train.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(x_train[:, 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(t_train, arrays["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(x_test[:, 0], arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(t_test, arrays["t10k-labels-idx1-ubyte"])


def test_mnist_with_dots_in_the_names(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    for file in list(tmp_path.glob("*ubyte")):
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    assert len(data.mnist(tmp_path)[0][0]) == SIZES["train"]


@pytest.mark.parametrize("place", ["env", "env/mnist", "cache/pocketcnn/mnist"])
def test_where_mnist_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("POCKETCNN_DATA", str(tmp_path / "env"))
    write_mnist(tmp_path / place)
    assert len(data.mnist()[1][0]) == SIZES["t10k"]


def test_a_given_folder_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETCNN_DATA", str(tmp_path / "env"))
    write_mnist(tmp_path / "env")
    with pytest.raises(FileNotFoundError, match=r"path '.*empty' does not hold the four MNIST"):
        data.mnist(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x01" + bytes(8), "not an IDX file of unsigned bytes"),
        (b"\0\0\x08\x03\0\0", "too short for its header"),
        (b"\0\0\x08\x01\0\0\0\x05abc", "holds 3 values, but states"),
        (b"\0\0\x08\x01\0\0\0\x02ab", "wanted"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match=rf"train-images-idx3-ubyte.*{message}"):
        data.mnist(tmp_path)


def test_broken_gzip_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path, packed=True)
    file = tmp_path / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(
        ValueError, match=r"labels-idx1-ubyte\.gz cannot be read.*not a whole gzip file"
    ):
        data.mnist(tmp_path)


def test_names_may_lie_about_gzip(tmp_path: Path) -> None:
    """Browsers unpack files and keep their names; the content decides."""
    arrays = write_mnist(tmp_path, packed=True)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.decompress(labels.read_bytes()))
    images = tmp_path / "t10k-images-idx3-ubyte.gz"
    images.rename(images.with_suffix(""))
    (_, t_train), (x_test, _) = data.mnist(tmp_path)
    np.testing.assert_array_equal(t_train, arrays["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(x_test[:, 0], arrays["t10k-images-idx3-ubyte"])


HUGE = 2**32 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(struct.pack(">4I", 0x803, 50, 28, 28) + bytes(99), "39200 values", id="cut"),
        pytest.param(struct.pack(">4I", 0x803, HUGE, HUGE, HUGE), "room", id="huge"),
        # 2**32 * 2**32 is 0 in 64 bits.
        pytest.param(struct.pack(">5I", 0x804, 2**31, 2**31, 4, 1), "room", id="overflow"),
        pytest.param(struct.pack(">4I", 0x803, 1, 2, 2) + b"abcde", "more than 4", id="too long"),
        pytest.param(struct.pack(">4I", 0x803, 0, 28, 28), "all > 0", id="no image"),
        pytest.param(struct.pack(">4I", 0x803, 30, 0, HUGE), "all > 0", id="no pixel"),
        pytest.param(struct.pack(">4I", 0x803, 3, 1, 1) + b"abc", "has 3 images", id="count"),
        pytest.param(struct.pack(">4I", 0x803, 30, 1, 1) + bytes(30), "28, 28", id="other sizes"),
        pytest.param(b"\0\0\x08\xff" + struct.pack(">255I", *[1] * 255) + b"x", "", id="rank"),
        pytest.param(struct.pack(">4I", 0x10803, 1, 1, 1) + b"x", "not an IDX file", id="magic"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_headers_cannot_promise_anything(
    tmp_path: Path, content: bytes, message: str, packed: bool
) -> None:
    write_mnist(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=rf"-(images|labels)-idx.-ubyte .*{message}"):
        data.mnist(tmp_path)


def test_a_packed_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacking stops at once if the content is not an IDX file, otherwise at its stated end."""
    unpacked = 0
    read = gzip.GzipFile.read

    def counted(self: gzip.GzipFile, size: int | None = -1) -> bytes:
        nonlocal unpacked
        content = read(self, size)
        unpacked += len(content)
        return content

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    write_mnist(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte"
    for start, most in ((b"", 4), (struct.pack(">4I", 0x803, 1, 2, 2), 16 + 5)):
        file.write_bytes(gzip.compress(start + bytes(10**6)))
        unpacked = 0
        with pytest.raises(ValueError, match="train-images-idx3-ubyte cannot be read"):
            data.mnist(tmp_path)
        assert unpacked <= most


def test_damage_in_packed_files_is_a_value_error(tmp_path: Path) -> None:
    write_mnist(tmp_path, packed=True)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    sound = file.read_bytes()
    first = data.mnist(tmp_path)[0][0]
    refused = 0
    for place in range(0, len(sound), max(1, len(sound) // 150)):
        damaged = bytearray(sound)
        damaged[place] ^= 0x55
        file.write_bytes(damaged)
        try:
            x = data.mnist(tmp_path)[0][0]
        except ValueError as error:
            refused += file.name in str(error)
        else:  # a time or a name in the gzip header
            np.testing.assert_array_equal(x, first)
            refused += 1
    assert refused == len(range(0, len(sound), max(1, len(sound) // 150)))


def test_labels_beyond_nine_are_the_files_own(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.full(20, 255, np.uint8))
    assert set(data.mnist(tmp_path)[1][1].tolist()) == {255}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_data_set(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(FileNotFoundError, match="does not hold the four MNIST files"):
        data.mnist(tmp_path)
    with pytest.raises(ValueError, match="is not a regular file"):
        mnist_module.read_idx(tmp_path / "train-images-idx3-ubyte")


@pytest.mark.parametrize("path", [3, 1.5, ["a"], b"a", object()])
def test_a_path_of_another_type_is_named(path: Any) -> None:
    for function in (data.mnist, data.image_folder):
        with pytest.raises(TypeError, match=r"path is .*, but must be a str or path-like"):
            function(path)
        for empty in ("", "a\0b"):
            with pytest.raises(ValueError, match=r"path is '.*', but must name"):
                function(empty)


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(FileNotFoundError, match="set XDG_CACHE_HOME or POCKETCNN_DATA"):
        data.mnist()
    monkeypatch.setenv("POCKETCNN_DATA", str(tmp_path))
    write_mnist(tmp_path)
    assert len(data.mnist()[0][0]) == SIZES["train"]


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match="the folder cannot be made"):
        data.mnist()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mirror on this machine, with matching checksums, after one that has nothing."""
    folder = tmp_path / "served" / "good"
    write_mnist(folder, packed=True)
    checksums = {
        file.stem: hashlib.sha256(gzip.decompress(file.read_bytes())).hexdigest()
        for file in sorted(folder.iterdir(), reverse=True)
    }
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        root = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(mnist_module, "MIRRORS", (f"{root}/absent/", f"{root}/good/"))
        monkeypatch.setattr(
            mnist_module, "CHECKSUMS", {name: checksums[name] for name in mnist_module.CHECKSUMS}
        )
        yield folder
        server.shutdown()
        thread.join()


def test_mnist_is_downloaded_once(mirror: Path, tmp_path: Path) -> None:
    first = data.mnist()
    cache = tmp_path / "cache" / "pocketcnn" / "mnist"
    assert sorted(file.name for file in cache.iterdir()) == sorted(
        file.name for file in mirror.iterdir()
    )
    for file in mirror.iterdir():
        file.unlink()
    np.testing.assert_array_equal(data.mnist()[0][0], first[0][0])


def test_a_wrong_checksum_is_refused(mirror: Path, tmp_path: Path) -> None:
    write_idx(mirror / "t10k-labels-idx1-ubyte.gz", np.zeros(20, np.uint8), packed=True)
    with pytest.raises(FileNotFoundError, match="wrong checksum"):
        data.mnist()
    assert not list((tmp_path / "cache").rglob("t10k-labels*"))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>Log in to this network</html>", id="page"),
        pytest.param(bytes.fromhex("1f8b08000000000000 03ffffffffffff"), id="bad block"),
        pytest.param(gzip.compress(bytes(1000))[:-9], id="cut"),
        pytest.param(gzip.compress(bytes(2**27), 1), id="bomb"),
    ],
)
def test_a_bad_body_makes_room_for_the_next_mirror(
    mirror: Path, tmp_path: Path, body: bytes
) -> None:
    absent = mirror.parent / "absent"
    absent.mkdir()
    for file in mirror.iterdir():
        (absent / file.name).write_bytes(body)
    assert len(data.mnist()[0][0]) == SIZES["train"]
    cache = tmp_path / "cache" / "pocketcnn" / "mnist"
    assert {file.name for file in cache.iterdir()} == {file.name for file in mirror.iterdir()}


def test_offline_gives_one_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Nothing listens on port 9 of this machine.
    monkeypatch.setattr(mnist_module, "MIRRORS", ("http://127.0.0.1:9/", "http://127.0.0.1:9/x/"))
    with pytest.raises(FileNotFoundError) as caught:
        data.mnist()
    message = str(caught.value)
    assert "\n" not in message
    for word in ("POCKETCNN_DATA", "digits()", str(tmp_path / "cache" / "pocketcnn" / "mnist")):
        assert word in message


def test_without_pooch_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(FileNotFoundError, match=r"pooch is not installed.*pip install pooch"):
        data.mnist()
