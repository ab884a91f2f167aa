"""The container of models and checkpoints: complete and reproducible, or detected as damaged."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zlib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import pocketcnn as pc
from pocketcnn import _alignment, scratch
from pocketcnn._files.tensor_file import open_tensors, read_tensors, write_tensors
from pocketcnn.training.checkpoint import read_checkpoint, write_checkpoint
from pocketcnn.training.history import History

OLD_FILES = Path(__file__).parent / "old_files"

ARRAYS = {
    "float64": np.linspace(-1, 1, 6).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    "every second": np.arange(10, dtype=np.int64)[::2],
    "big-endian": np.array([1, 2, 3], ">i4"),
    "float16": np.array([0.5, np.inf, np.nan], np.float16),
    "flags": np.array([[True], [False]]),
    "bytes": np.arange(5, dtype=np.uint8),
    "int8": np.array([-3], np.int8),
    "unsigned": np.array([2**64 - 1], np.uint64),
    "empty": np.zeros((0, 3), np.float32),
    "one number": np.array(2.5),
}
METADATA = {"text": 'é "quoted" \n 日本', "header_crc": "no", "a": ""}


def small(path: Path) -> bytes:
    write_tensors(path, {"w": np.array([1.5])}, {"k": "x"})
    return path.read_bytes()


def container(header: Any, data: bytes = b"") -> bytes:
    """A file of any header, without checksums."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a whole \.safetensors file, but damaged") as caught:
        read_tensors(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < len(str(path)) + 300
    return message


def test_everything_comes_back_and_the_library_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, ARRAYS, METADATA)
    tensors, metadata = read_tensors(path)
    library = load_file(path)
    assert metadata == METADATA
    assert tensors.keys() == library.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(tensors[name], array)
        np.testing.assert_array_equal(library[name], array)
        assert tensors[name].flags.carray
        assert tensors[name].ctypes.data % 64 == 0 or not array.size
    with safe_open(path, framework="numpy") as file:
        assert METADATA.items() <= file.metadata().items()


def test_files_of_the_library_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    written = {
        name: np.asarray(a, a.dtype.newbyteorder("="), order="C") for name, a in ARRAYS.items()
    }
    save_file(written, path, {"kind": "x"})
    tensors, metadata = read_tensors(path)
    assert metadata == {"kind": "x"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[name], array)
    save_file(written, path)
    assert read_tensors(path)[1] == {}


@pytest.mark.parametrize("dtype", ["complex64", "U3", "O", "M8[s]", "V2"])
def test_what_the_format_cannot_hold(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(TypeError, match="array 'w' has dtype"):
        write_tensors(tmp_path / "a", {"w": np.zeros(2, dtype)}, {})
    assert list(tmp_path.iterdir()) == []


def test_more_text_than_a_header_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketcnn._files.tensor_file._LARGEST_HEADER", 1000)
    with pytest.raises(ValueError, match="room for 1000"):
        write_tensors(tmp_path / "a", {}, {"text": "x" * 1000})
    assert list(tmp_path.iterdir()) == []


SAVE = """
import sys, pocketcnn as pc
net = pc.models.simple_convnet(input_shape=(1, 12, 12), seed=3)
for _ in range(3):
    net.save(sys.argv[1])
"""


def test_the_same_network_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    digests = set()
    for seed in ("0", "1", "random"):
        path = tmp_path / f"{seed}.safetensors"
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", SAVE, path], env=environment, check=True)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        again = tmp_path / "again.safetensors"
        pc.load(path).save(again)
        digests.add(hashlib.sha256(again.read_bytes()).hexdigest())
    assert len(digests) == 1


# Damage


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    whole = small(tmp_path / "a")
    for place in range(len(whole)):
        for bit in range(8):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            refused(tmp_path / "a", bytes(content))


def test_every_other_length_is_noticed(tmp_path: Path) -> None:
    whole = small(tmp_path / "a")
    for size in range(len(whole)):
        refused(tmp_path / "a", whole[:size])
    for more in (b"\0", b"more", whole):
        refused(tmp_path / "a", whole + more)


def test_arrays_of_another_file_are_noticed(tmp_path: Path) -> None:
    """As left by a writer that was killed while it wrote in place."""
    one, other = tmp_path / "one", tmp_path / "other"
    write_tensors(one, {"w": np.zeros(5000)}, {"epoch": "1"})
    write_tensors(other, {"w": np.ones(5000)}, {"epoch": "2"})
    for cut in (100, 2000, 20000):
        refused(tmp_path / "a", one.read_bytes()[:cut] + other.read_bytes()[cut:])


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_damaged_models_and_checkpoints_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "model":
        pc.models.simple_convnet(input_shape=(1, 8, 8)).save(path)
    else:
        write_checkpoint(path, {"net/w": np.arange(500.0)}, {"epoch": 3, "lr": 0.1})
    whole = path.read_bytes()
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(whole), 200):
        content = bytearray(whole)
        content[place] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged") as caught:
            pc.load(path) if kind == "model" else read_checkpoint(path)
        assert str(path) in str(caught.value)


def test_a_file_that_shrinks_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mapped into memory, it would end the process."""
    path = tmp_path / "net.safetensors"
    pc.models.simple_convnet().save(path)
    empty = _alignment.empty

    def shrink(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        os.truncate(path, 5000)
        return empty(shape, dtype)

    monkeypatch.setattr(_alignment, "empty", shrink)
    with pytest.raises(ValueError, match="cut while it was read"):
        pc.load(path)


# Headers that lie


def entry(shape: Any, begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry([2], 0, 8), "b": entry([2], 0, 8)},  # overlapping
        {"a": entry([2], 0, 8), "b": entry([2], 4, 12)},
        {"a": entry([1], 0, 4), "b": entry([1], 8, 12)},  # a gap
        {"a": entry([1], 4, 8)},
        {"a": entry([1], 0, 4)},  # bytes too many
        {"a": entry([3], 0, 12)},  # out of range
        {"a": entry([2], 0, 4)},
        {"a": entry([2**62, 4], 0, 8)},  # products that overflow
        {"a": entry([2**32, 2**32], 0, 0)},
        {"a": entry([2**63], 0, 8)},
        {"a": entry([10**4000] * 1000, 0, 8)},
        {"a": entry([1] * 1000, 0, 8)},
        {"a": entry([0, 2**62, 2**62], 0, 0), "b": entry([2], 0, 8)},
        {"a": entry([-1, -2], 0, 8)},
        {"a": entry([True, 2], 0, 8)},
        {"a": entry([2.0], 0, 8)},
        {"a": entry("2", 0, 8)},
        {"a": entry({"2": 2}, 0, 8)},
        {"a": entry([2], "0", 8)},
        {"a": entry([2], 0, True)},
        {"a": entry([2], 0, 8, "BF16")},
        {"a": entry([2], 0, 8, ["F32"])},
        {"a": entry([2], 0, 8, None)},
        {"a": {**entry([2], 0, 8), "data_offsets": [0, 4, 8]}},
        {"a": {"dtype": "F32"}},
        {"a" * 10**6: None},
        {"\x1b[2J\n": []},
        {"a": entry([2], 0, 8), "__metadata__": {"format": 1}},
        {"a": entry([2], 0, 8), "__metadata__": ["format"]},
        {"a": entry([8], 0, 8, "BOOL")},  # bytes that are neither true nor false
        [entry([2], 0, 8)],
        3,
        None,
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{}}',
        b'{"__metadata__":{"k":"1","k":"2"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": 1' + b"0" * 10_000 + b"}",
        '{"a": "é"}'.encode("latin1"),
        '{"a": 1}'.encode("utf-16"),
        b"",
    ],
)
def test_headers_that_lie(tmp_path: Path, header: Any) -> None:
    refused(tmp_path / "a", container(header, b"\2\0\0\0\0\0\0\0"))


def test_the_size_that_a_header_claims_is_not_allocated(tmp_path: Path) -> None:
    for claim in (9, 2**40, 2**63, 2**64 - 1):
        refused(tmp_path / "a", claim.to_bytes(8, "little") + b"{}")


def test_a_header_is_judged_before_the_arrays_are_read(tmp_path: Path) -> None:
    """A sparse file takes no disk space, and would fill the memory."""
    path = tmp_path / "a"
    path.write_bytes(container({"w": entry([2**40], 0, 2**42), "__metadata__": {}}))
    os.truncate(path, path.stat().st_size + 2**42)
    with open_tensors(path) as file:
        assert file.tensors["w"].shape == (2**40,)
    with pytest.raises(ValueError, match="not a pocketcnn model"):
        pc.load(path)


def test_a_checksum_can_be_recomputed(tmp_path: Path) -> None:
    """Both are zlib's CRC-32: of the arrays' bytes, and of the file before them."""
    whole = small(tmp_path / "a")
    start = 8 + int.from_bytes(whole[:8], "little")
    metadata = json.loads(whole[8:start])["__metadata__"]
    assert metadata["data_crc32"] == f"{zlib.crc32(whole[start:]):08x}"
    stated = metadata["header_crc32"].encode()
    assert whole.count(stated) == 1
    assert int(stated, 16) == zlib.crc32(whole[:start].replace(stated, b"00000000"))


# Files of earlier versions


def ramp(net: pc.ConvNet) -> dict[str, np.ndarray]:
    """What the old models were filled with."""
    return {
        name: ((np.arange(array.size).reshape(array.shape) % 7 + place) / 8).astype(net.dtype)
        for place, (name, array) in enumerate({**net.params, **net.buffers}.items())
    }


@pytest.mark.parametrize(
    ("name", "dtype", "count"), [("model", "float32", 4), ("model_float64", "float64", 15)]
)
def test_models_without_checksums_are_read(name: str, dtype: str, count: int) -> None:
    net = pc.load(OLD_FILES / f"{name}.safetensors")
    arrays = {**net.params, **net.buffers}
    assert net.dtype == dtype
    assert len(arrays) == count
    for key, wanted in ramp(net).items():
        np.testing.assert_array_equal(arrays[key], wanted)
    assert np.isfinite(net.predict(np.ones((2, *net.input_shape)))).all()


@pytest.mark.parametrize("name", ["chain", "graph"])
def test_models_of_earlier_versions_compute_what_they_did(name: str) -> None:
    net, wanted = pc.load(OLD_FILES / f"{name}.safetensors"), getattr(old_files(), name)()
    arrays = {**net.params, **net.buffers}
    for key, array in ramp(wanted).items():
        np.testing.assert_array_equal(arrays.pop(key), array)
    assert not arrays
    assert net.classes == wanted.classes
    assert net.preprocessing is None
    assert net.summary() == wanted.summary()
    old_files().fill(wanted)
    x = np.random.default_rng(0).random((3, *net.input_shape))
    np.testing.assert_array_equal(net.predict(x), wanted.predict(x))


def test_runs_of_earlier_versions_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    shutil.copy(OLD_FILES / "checkpoint_2.safetensors", path)
    resumed, whole = old_files().train(4, path), old_files().train(4)
    # Instruction sets add in different orders: a few roundings, which Adam's steps enlarge. Of the
    # bias in front of the normalisation the gradient is nothing but roundings: in six updates it,
    # and the mean behind it, may go the learning rate of 0.01 the one way or the other each time.
    for name, array in {**whole.params, **whole.buffers}.items():
        now = {**resumed.params, **resumed.buffers}[name]
        atol = 2 * 6 * 0.01 if name in ("conv.bias", "bn.running_mean") else 1e-4
        np.testing.assert_allclose(now, array, rtol=0, atol=atol, err_msg=name)


def old_files() -> Any:
    """The program that made some of the files."""
    spec = spec_from_file_location("make", OLD_FILES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_checkpoints_without_checksums_are_read() -> None:
    arrays, values = read_checkpoint(OLD_FILES / "checkpoint.safetensors")
    assert values["epoch"] == 2
    assert [record["epoch"] for record in values["history"]] == [1, 2]
    library = load_file(OLD_FILES / "checkpoint.safetensors")
    assert arrays.keys() == library.keys()
    for name, array in library.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_parameters_of_earlier_versions_are_read() -> None:
    params = scratch.load_params(OLD_FILES / "params.pkl")
    np.testing.assert_array_equal(params["W1"], np.arange(6.0).reshape(2, 3))


# Whatever is written

RECORD: Any = {
    "epoch": 1, "loss": 0.5, "accuracy": 0.8, "val_loss": None, "val_accuracy": None,
    "seconds": 2.0, "images_per_second": 100.0, "learning_rate": 0.001,
}  # fmt: skip
WRITERS = {
    "model": lambda path: pc.models.simple_convnet(input_shape=(1, 8, 8)).save(path),
    "checkpoint": lambda path: write_checkpoint(path, {"w": np.ones(1000)}, {"epoch": 1}),
    "json": lambda path: History([RECORD] * 100).to_json(path),
    "csv": lambda path: History([RECORD] * 100).to_csv(path),
    "params": lambda path: scratch.save_params({"W1": np.ones(1000)}, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_errors_of_writing_are_the_systems_and_name_the_file(tmp_path: Path, writer: str) -> None:
    resource = pytest.importorskip("resource")
    write = WRITERS[writer]
    path = tmp_path / "file"
    path.write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(OSError) as full:  # noqa: PT011 (its number is checked)
            write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (full.value.errno, full.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "before"
    with pytest.raises(IsADirectoryError) as folder:
        write(tmp_path)
    assert folder.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    write(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() != b"before"


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="a device of Linux")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk(writer: str) -> None:
    with pytest.raises(OSError, match="/dev/full") as full:
        WRITERS[writer](Path("/dev/full"))
    assert full.value.errno == errno.ENOSPC


@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_is_kept(tmp_path: Path, writer: str) -> None:
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "link", tmp_path / "disk" / "file"
    link.symlink_to(target)
    for _ in range(2):
        WRITERS[writer](link)
        assert link.is_symlink()
        assert target.stat().st_size > 500
