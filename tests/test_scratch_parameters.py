"""Parameter files: arrays come back from every kind of pickle, and nothing else does."""

from __future__ import annotations

import collections
import os
import pickle
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
    """As the book's own params.pkl of chapter 7 has them."""
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
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def touch(path: Path) -> dict[str, bytes]:
    """Files that would leave `path` behind if the code in them ran."""
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


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scratch.load_params(tmp_path / "none.pkl")
