"""Parameter files: arrays come back from every kind of pickle, and nothing else does."""

from __future__ import annotations

import collections
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketcnn import scratch

PARAMS = {
    "W1": np.arange(24.0).reshape(2, 3, 4),
    "b1": np.array([1.5, -2.0], np.float32),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.array([1, 2, 3], ">i4"),
    "flags": np.array([True, False]),
    "half": np.array([0.5], np.float16),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("numpy_1", [False, True])
def test_arrays_of_every_protocol(protocol: int, numpy_1: bool, tmp_path: Path) -> None:
    content = pickle.dumps(collections.OrderedDict(PARAMS), protocol)
    if numpy_1 and protocol < 4:  # where names are lines of text, and not counted
        content = content.replace(b"numpy._core", b"numpy.core")
    path = tmp_path / "params.pkl"
    path.write_bytes(content)
    found = scratch.load_params(path)
    assert found.keys() == PARAMS.keys()
    for name, array in found.items():
        assert np.array_equal(array, PARAMS[name])
        assert array.dtype == PARAMS[name].dtype.newbyteorder("=")
        assert array.flags.carray


def test_names_of_numpy_1_in_protocol_4(tmp_path: Path) -> None:
    """As in the book's own params.pkl of chapter 7."""
    array = pickle.dumps({"W1": np.arange(3.0)}, 2).replace(b"numpy._core", b"numpy.core")
    opcodes = array.replace(b"cnumpy.core.multiarray\n_reconstruct\n", (
        b"\x8c\x15numpy.core.multiarray\x8c\x0c_reconstruct\x93"
    ))  # fmt: skip
    path = tmp_path / "params.pkl"
    path.write_bytes(b"\x80\x04" + opcodes[2:])
    assert b"\x93" in opcodes
    assert scratch.load_params(path)["W1"].tolist() == [0.0, 1.0, 2.0]


def test_networks_save_and_load(tmp_path: Path) -> None:
    one, other = scratch.TwoLayerNet(4, 3, 2), scratch.TwoLayerNet(4, 3, 2)
    one.save_params(tmp_path / "p.pkl")
    assert pickle.loads((tmp_path / "p.pkl").read_bytes()).keys() == one.params.keys()
    other.load_params(tmp_path / "p.pkl")
    x = np.ones((1, 4))
    assert np.array_equal(one.predict(x), other.predict(x))
    assert other.layers["Affine1"].W is other.params["W1"]
    scratch.save_params({"W1": one.params["W1"]}, tmp_path / "q.pkl")
    with pytest.raises(ValueError, match=r"q\.pkl has \['W1'\]"):
        other.load_params(tmp_path / "q.pkl")


def test_normalisation_is_loaded(tmp_path: Path) -> None:
    net = scratch.MultiLayerNetExtend(4, [3], 2, use_batchnorm=True)
    net.params["gamma1"][...] = 7
    net.save_params(tmp_path / "p.pkl")
    other = scratch.MultiLayerNetExtend(4, [3], 2, use_batchnorm=True)
    other.load_params(tmp_path / "p.pkl")
    assert other.layers["BatchNorm1"].gamma.tolist() == [7, 7, 7]


class Calls:
    """Is pickled as a function call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def touch(path: Path) -> dict[str, bytes]:
    """Files that would create `path` if the code in them ran."""
    command = f"touch {path}"
    system = pickle.dumps({"W1": Calls(os.system, command)})
    by_name = f"cposix\nsystem\n(S'{command}'\ntR.".encode()
    return {
        "os.system": system,
        "text protocol": by_name,
        "eval": pickle.dumps({"W1": Calls(eval, f"open({str(path)!r}, 'w')")}),
        "dotted name": f"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93\x8c{chr(len(command))}{command}"
        "\x85R.".encode("latin1"),
        "path of a class": pickle.dumps({"W1": Calls(Path.touch, path)}),
        "inside an array": pickle.dumps(
            {"W1": np.array([Calls(os.system, command)], dtype=object)}
        ),
        "numpy function": pickle.dumps({"W1": Calls(np.save, str(path), [1])}),
    }


@pytest.mark.parametrize("name", touch(Path()))
def test_no_code_runs(name: str, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    path = tmp_path / "params.pkl"
    path.write_bytes(touch(trace)[name])
    with pytest.raises(ValueError, match=r"params\.pkl is not a file of NumPy arrays") as caught:
        scratch.load_params(path)
    assert not list(tmp_path.glob("ran*"))
    assert "\n" not in str(caught.value)


GOOD = pickle.dumps({"W1": np.arange(3.0)}, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n",
        GOOD[:-20],
        GOOD.replace(b"f8", b"O8"),
        GOOD.replace(b"f8", b"V8"),
        GOOD.replace(b"f8", b"f4"),
        GOOD.replace(b"_reconstruct", b"_get_ndarray"),
        pickle.dumps([np.arange(3.0)]),
        pickle.dumps(np.arange(3.0)),
        pickle.dumps({"W1": 3.0}),
        pickle.dumps({"W1": [1.0, 2.0]}),
        pickle.dumps({1: np.arange(3.0)}),
        pickle.dumps({"W1": np.array(["text"])}),
        pickle.dumps({"W1": np.array([1j])}),
        pickle.dumps({"W1": np.array([None])}),
        pickle.dumps({"W1": np.ndarray}),
        b"\x80\x03cnumpy\ndtype\n.",
        b"\x80\x03}X\x02\x00\x00\x00W1cnumpy\nndarray\n)Rs.",
    ],
)
def test_anything_but_numbers_in_arrays_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"params\.pkl is not a"):
        scratch.load_params(path)


def test_a_pickle_cannot_change_the_reader(tmp_path: Path) -> None:
    """The opcode BUILD sets attributes of any object, functions among them."""
    attack = b"\x80\x03c_codecs\nencode\n}X\x0c\x00\x00\x00__defaults__Ns\x86b."
    (tmp_path / "attack.pkl").write_bytes(attack)
    with pytest.raises(ValueError, match="attack"):
        scratch.load_params(tmp_path / "attack.pkl")
    (tmp_path / "good.pkl").write_bytes(pickle.dumps({"W1": np.arange(3.0)}, 2))
    assert scratch.load_params(tmp_path / "good.pkl")["W1"].tolist() == [0, 1, 2]


# Files that would take the memory or the time of the machine

LEVELS = 60
# A tuple of the same tuple twice, and so on: 2 ** 60 elements to be hashed or shown.
NESTED = b"K\x01\x85q\x00" + b"".join(
    b"h%ch%c\x86q%c" % (level, level, level + 1) for level in range(LEVELS)
)
TEXT = b"X" + struct.pack("<I", 10**6) + b"x" * 10**6


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr" + struct.pack("<I", 300_000_000) + b".",
        b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",
        b"\x80\x02}q\xff" + NESTED + b"Ns.",
        b"\x80\x02" + NESTED + b".",
        b"\x80\x02}X\1\0\0\0W" + NESTED + b"s.",
        b"\x80\x02cnumpy\ndtype\n" + NESTED + b"\x85R.",
        b"\x80\x02cnumpy\n" + b"n" * 10**6 + b"\n.",
        b"\x80\x04" + NESTED + NESTED + b"\x93.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x.",
        b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
        b"\x80\x02}" + TEXT + b"Ns.",
        b"\x80\x02}q\0" + b"X\1\0\0\0Wh\0s.",  # a dict that holds itself
        b"\x80\x02}" + b"X\1\0\0\0W" + b"c_codecs\nencode\nq\1" + TEXT + b"q\2X\6\0\0\0latin1q\3"
        + b"".join(b"h\1h\2h\3\x86R" for _ in range(10_000)) + b"s.",
        b"\x80\x02(((((",
        b"tR.",
    ],
    ids=range(16),
)  # fmt: skip
def test_bombs_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.pkl"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"params\.pkl is not a file") as caught:
            scratch.load_params(path)
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < len(str(path)) + 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"}" * 300_000 + b".", b"(" * 300_000])
def test_no_more_instructions_are_run_than_arrays_need(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "params.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="more instructions than any file of parameters"):
        scratch.load_params(tmp_path / "params.pkl")


def test_the_same_bytes_fill_no_more_arrays_than_the_file_has_room_for(tmp_path: Path) -> None:
    data = b"B" + struct.pack("<I", 10**6) + bytes(10**6)
    array = (
        b"cnumpy.core.numeric\n_frombuffer\n(h\1cnumpy\ndtype\nX\2\0\0\0u1\x85RJ"
        + struct.pack("<i", 10**6) + b"\x85X\1\0\0\0CtR"
    )  # fmt: skip

    def load(count: int) -> dict[str, np.ndarray]:
        items = b"".join(b"X\3\0\0\0%03d" % place + array + b"s" for place in range(count))
        path = tmp_path / "params.pkl"
        path.write_bytes(b"\x80\x03" + data + b"q\1}" + items + b".")
        return scratch.load_params(path)

    assert load(2).keys() == {"000", "001"}
    with pytest.raises(ValueError, match="again and again"):
        load(100)


def test_empty_and_shared_arrays_of_every_protocol(tmp_path: Path) -> None:
    shared = np.arange(4.0)
    params = {
        "none": np.zeros(0), "no rows": np.zeros((0, 3), np.float32), "one": np.array(3.0),
        "a": shared, "b": shared, "true": np.array([True]), "also true": np.array([True]),
    }  # fmt: skip
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "p.pkl").write_bytes(pickle.dumps(params, protocol))
        found = scratch.load_params(tmp_path / "p.pkl")
        assert found.keys() == params.keys()
        for name, array in params.items():
            assert found[name].shape == array.shape
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_bytes_that_are_no_booleans_become_some(tmp_path: Path) -> None:
    content = pickle.dumps({"flags": np.array([True, False, True])}, 4)
    assert b"\1\0\1" in content
    (tmp_path / "p.pkl").write_bytes(content.replace(b"\1\0\1", b"\7\0\1"))
    flags = scratch.load_params(tmp_path / "p.pkl")["flags"]
    assert flags.view(np.uint8).tolist() == [1, 0, 1]


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is a pipe or a device"):
        scratch.load_params(tmp_path / "pipe")  # and does not wait for a writer


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scratch.load_params(tmp_path / "none.pkl")
