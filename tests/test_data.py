"""Data sets: the built-in digits, MNIST's files, folders of images."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import importlib
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    """No data of the user's is found, and nothing goes into the user's cache."""
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
    with pytest.raises(ValueError, match="not a whole gzip file"):
        data.mnist(tmp_path)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mirror on this machine, with checksums to match, behind one that has nothing."""
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


# Folders of images


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
