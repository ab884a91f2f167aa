"""Files of PyTorch: every tensor comes back, nothing else does, and no code runs."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn._files import torch_pickle
from torch_pickles import (
    EMPTY,
    NONE,
    call,
    checksum,
    entries,
    group,
    items,
    legacy,
    named,
    number,
    numbers,
    pickled,
    storage,
    tensor,
    text,
    without_checksums,
    zipped,
)

FILES = Path(__file__).parent / "torch_files"
SIX = np.arange(6, dtype="<f4").tobytes()
STATE = entries({"fc.weight": tensor()})


def good(content: bytes = STATE) -> bytes:
    return zipped(pickled(content), {"data/0": SIX})


def good_legacy(content: bytes = STATE) -> bytes:
    return legacy(pickled(content), {"0": (6, SIX)})


def read(path: Path, content: bytes) -> dict[str, Any]:
    path.write_bytes(content)
    return pc.read_torch(path)


def refused(folder: Path, content: bytes) -> str:
    path = folder / "weights.pt"
    with pytest.raises(ValueError, match=r"weights\.pt is no file of tensors: ") as caught:
        read(path, content)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < len(str(path)) + 300
    return message


def expected() -> dict[str, Any]:
    """What tools/make_torch_files.py wrote."""
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    kinds = ("float16", "float32", "float64", "int8", "int16", "int32", "int64")
    kinds += ("uint8", "uint16", "uint32", "uint64")
    # The nearest bfloat16 of a third is 0x3EAB: the upper half of a float32.
    thirds = np.array([0xBF2B, 0xBEAB, 0x0000, 0x3EAB, 0x3F2B], np.uint32) << 16
    image = np.arange(16, dtype=np.float32).reshape(1, 2, 2, 4)
    return {
        **{kind: np.arange(5).astype(kind) for kind in kinds},
        "bool": np.array([True, False, True]),
        "bfloat16": thirds.view(np.float32),
        "base": base,
        "transposed": base.T,
        "strided": base[1:3, ::2],
        "behind": base[2],
        "expanded": np.full((3, 2), 1.5, np.float32),
        "number": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
        "parameter": np.ones(2, np.float32),
        "channels_last": image,
    }


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_tensors_of_every_type_and_layout(kind: str) -> None:
    found = pc.read_torch(FILES / f"tensors_{kind}.pt")
    assert list(found) == list(expected())
    for name, array in expected().items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == array.dtype
    assert np.shares_memory(found["base"], found["transposed"])
    assert np.shares_memory(found["base"], found["strided"])
    assert found["base"].flags.writeable
    assert not found["expanded"].flags.writeable
    assert found["channels_last"].strides == (64, 4, 32, 8)


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_the_state_of_a_checkpoint(kind: str) -> None:
    found = pc.read_torch(FILES / f"checkpoint_{kind}.pt")
    assert list(found) == [
        f"module.{name}"
        for name in (
            *("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"),
            *("1.num_batches_tracked", "3.weight", "3.bias"),
        )
    ]
    assert found["module.3.weight"].tolist() == np.arange(24.0).reshape(3, 8).tolist()


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("complex", "has elements of type complex64"),
        ("quantised", "is quantised"),
        ("sparse", "is sparse"),
        ("float8", "has elements of type float8_e4m3fn"),
    ],
)
def test_what_numpy_has_no_counterpart_of(name: str, reason: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"tensor 'layer.weight' {reason}"):
        pc.read_torch(FILES / f"{name}_{kind}.pt")


def test_a_whole_module(tmp_path: Path) -> None:
    advice = r"only tensors are read: torch\.save\(model\.state_dict\(\), path\) writes the tensors"
    with pytest.raises(ValueError, match=advice) as caught:
        pc.read_torch(FILES / "module.pt")
    assert "torch.nn.modules.container.Sequential" in str(caught.value)
    script = zipped(pickled(STATE), {"constants.pkl": pickled(EMPTY), "data/0": SIX})
    assert "module of TorchScript: torch.save(model.state_dict()" in refused(tmp_path, script)
    source = group(text("module"), NONE, text("net.py"), text("class Net: pass")) + b"Q"
    assert "no storage" in refused(tmp_path, legacy(pickled(source)))


def test_a_tar_of_the_first_releases(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "old.tar", "w") as archive:
        archive.add(__file__, "storages")
    message = refused(tmp_path, (tmp_path / "old.tar").read_bytes())
    assert "tar file" in message
    assert "torch.save writes it anew" in message


@pytest.mark.parametrize("pack", [good, good_legacy])
def test_nested_states(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "w.pt"

    def names(content: dict[str, bytes]) -> list[str]:
        return list(read(path, pack(entries(content))))

    assert names({"fc.weight": tensor(), "epoch": number(3), "name": text("a")}) == ["fc.weight"]
    assert names({"state_dict": STATE, "loss": b"G" + bytes(8)}) == ["fc.weight"]
    assert names({"model": entries({"state_dict": STATE})}) == ["fc.weight"]
    assert names({"model_ema": STATE, "model": STATE}) == ["fc.weight"]
    assert names({"net": STATE, "optimizer": entries({"state": STATE})}) == ["net.fc.weight"]
    assert names({"g": STATE, "d": STATE}) == ["g.fc.weight", "d.fc.weight"]
    layers = {"layers": items(STATE, STATE)}
    assert names(layers) == ["layers.0.fc.weight", "layers.1.fc.weight"]
    state = b"}" + number(0) + tensor() + b"s"
    assert names({"adam": entries({"state": state})}) == ["adam.state.0"]
    for content in (tensor(), items(tensor()), entries({"a": number(1)}), entries({})):
        if content != entries({}):
            refused(tmp_path, pack(content))


def test_other_versions_of_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    first = tensor(function="_rebuild_tensor")
    assert read(path, good(entries({"a": first})))["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    # Before 0.4 a storage could be a part of another.
    part = storage("0", 6, "FloatStorage", group(text("1"), number(2), number(3)))
    view = tensor(part, (2,), (1,), 1)
    assert read(path, good_legacy(entries({"a": view})))["a"].tolist() == [3, 4]
    beyond = tensor(part, (3,), (1,), 1)
    assert "ends beyond its storage" in refused(tmp_path, good_legacy(entries({"a": beyond})))
    # Python 2 wrote text as bytes, and the entries of an OrderedDict into the call.
    pair = b"](U\x09fc.weight" + tensor() + b"e"
    python2 = call(named("collections", "OrderedDict"), items(pair))
    assert list(read(path, good_legacy(python2))) == ["fc.weight"]
    # A tensor with attributes, and a parameter with some.
    kept = group(tensor(), b"\x89", NONE, entries({"note": text("x")}))
    parameter = named("torch._utils", "_rebuild_parameter_with_state") + kept + b"R"
    function = named("torch._utils", "_rebuild_tensor_v2")
    given = group(storage(), number(0), numbers(6), numbers(1), b"\x89", NONE)
    odd = call(
        named("torch._tensor", "_rebuild_from_type_v2"),
        function, named("torch.nn.parameter", "Parameter"), given, entries({}),
    )  # fmt: skip
    found = read(path, good(entries({"p": parameter, "t": odd})))
    assert found["p"].shape == (2, 3)
    assert found["t"].shape == (6,)


@pytest.mark.parametrize("kind", ["f4", "f8", "f2", "i2", "u8", "bfloat16"])
def test_big_endian_files(kind: str, tmp_path: Path) -> None:
    names = {
        "f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i2": "ShortStorage",
        "u8": "ByteStorage", "bfloat16": "BFloat16Storage",
    }  # fmt: skip
    values = np.arange(6, dtype=np.float32)
    if kind == "bfloat16":
        data = (values.view(np.uint32) >> 16).astype(">u2").tobytes()
    else:
        data = values.astype("u1" if kind == "u8" else f">{kind}").tobytes()
    content = pickled(entries({"a": tensor(storage(kind=names[kind]))}))
    records = {"byteorder": b"big", "data/0": data}
    found = read(tmp_path / "w.pt", zipped(content, records))["a"]
    assert found.tolist() == values.reshape(2, 3).tolist()
    assert found.dtype.isnative
    for order in (b"middle", b"", b"x" * 100):
        content = zipped(pickled(STATE), {"byteorder": order, "data/0": SIX})
        assert "byte order is neither" in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (tensor(shape=(2, 4), strides=(4, 1)), "ends beyond its storage"),
        (tensor(offset=1), "ends beyond its storage"),
        (tensor(shape=(2, 2**62), strides=(2**62, 1)), "ends beyond its storage"),
        (tensor(shape=(4,), strides=(2**62,)), "ends beyond its storage"),
        (tensor(shape=(2, 3), strides=(2, 1)), "elements that overlap"),
        (tensor(shape=(3, 3), strides=(1, 1)), "elements that overlap"),
        (tensor(shape=(2**40,), strides=(0,)), "more elements than the file has bytes"),
        (tensor(shape=(-1, 3)), "counts nothing"),
        (tensor(strides=(-3, 1)), "counts nothing"),
        (tensor(offset=-1), "counts nothing"),
        (tensor(shape=(2**64,), strides=(0,)), "counts nothing"),
        (tensor(strides=(1,)), "more sizes than strides"),
        (tensor(shape=(1,) * 40, strides=(1,) * 40), "without shape or strides"),
        (tensor(storage(count=7)), "has 24 bytes, but must have 28"),
        (tensor(storage(count=2**62)), "take more bytes than it has"),
        (tensor(storage(count=5), (5,), (1,)), "has 24 bytes, but must have 20"),
        (tensor(storage("1")), "lacks the record 'archive/data/1'"),
        (tensor(storage("../../0")), "lacks the record"),
        (tensor(storage("../data.pkl", 1, "ByteStorage"), (1,), (1,)), "lacks the record"),
        (tensor(storage(kind="Storage")), "asks for torch.Storage"),
        (tensor(text("0")), "without a storage"),
        (group(text("storage"), NONE, text("0"), text("cpu"), number(6)) + b"Q", "without type"),
        (group(text("storage"), NONE) + b"Q", "no storage of a tensor"),
        (group(text("file"), NONE, text("0"), text("cpu"), number(6)) + b"Q", "no storage"),
        (text("0") + b"Q", "no storage of a tensor"),
        (tensor(None, (2, 3), (3, 1), 0, entries({"neg": b"\x88"})), "is the negative"),
        (items(tensor(), tensor(storage(count=5))), "two storages named '0'"),
    ],
)
def test_impossible_tensors(value: bytes, reason: str, tmp_path: Path) -> None:
    assert reason in refused(tmp_path, good(entries({"a": value})))


def test_two_types_of_one_storage(tmp_path: Path) -> None:
    half = tensor(storage(count=12, kind="HalfStorage"), (12,), (1,))
    assert "two storages" in refused(tmp_path, good(entries({"a": tensor(), "b": half})))


def test_other_bytes_than_true_and_false(tmp_path: Path) -> None:
    flags = tensor(storage(count=3, kind="BoolStorage"), (3,), (1,))
    content = zipped(pickled(entries({"a": flags})), {"data/0": b"\0\1\2"})
    assert "other bytes than true and false" in refused(tmp_path, content)


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def inner(value: object, protocol: int) -> bytes:
    """The instructions of a pickle, without its beginning and its end."""
    content = pickle.dumps(value, protocol)[:-1]
    return content[2:] if protocol > 1 else content


def malicious(path: Path) -> dict[str, bytes]:
    """Values that would leave `path` behind if they were made as Python makes them."""
    command = f"touch {path}"
    code = f"open({str(path)!r}, 'w')"
    system = named("posix", "system")
    word = text(command)
    getattr_ = named("builtins", "getattr")
    imported = call(named("builtins", "__import__"), text("os"))
    return {
        "os.system": inner(Calls(os.system, command), 2),
        "protocol 0": f"cposix\nsystem\n(S'{command}'\ntR".encode(),
        "protocol 3": inner(Calls(eval, code), 3),
        "protocol 4": b"\x8c\x05posix\x8c\x06system\x93" + word + b"\x85R",
        "builtins.eval": call(named("__builtin__", "eval"), text(code)),
        "builtins.exec": call(named("builtins", "exec"), text(code)),
        "compile": call(named("builtins", "compile"), text(code), text(""), text("exec")),
        "subprocess": inner(Calls(subprocess.run, ["touch", str(path)]), 2),
        "path of a class": inner(Calls(Path.touch, path), 4),
        "numpy": inner(Calls(np.save, str(path), [1]), 2),
        "getattr chain": call(call(getattr_, imported, text("system")), word),
        "attrgetter": call(
            call(call(named("operator", "attrgetter"), text("system")), imported), word
        ),
        "methodcaller": call(call(named("operator", "methodcaller"), text("touch")), word),
        "partial": call(call(named("functools", "partial"), system, word)),
        "nested pickle": call(
            named("_pickle", "loads"),
            b"C"
            + bytes([len(command) + 24])
            + f"cposix\nsystem\n(V{command}\ntR.".encode().ljust(len(command) + 24),
        ),
        "torch.hub": call(named("torch.hub", "load"), text("a/b"), text("c")),
        "torch.load": call(named("torch.serialization", "load"), text(str(path))),
        "torch's own run": call(named("torch.utils.collect_env", "run"), word),
        "torch's compiler": call(named("torch._inductor.codecache", "compile_file"), word),
        "name with dots": call(named("torch._utils", "os.system"), word),
        "name of an allowed module": call(named("torch._utils", "_import_dotted_name"), word),
        "allowed name elsewhere": call(named("os", "OrderedDict"), word),
        "pip": call(named("pip", "main"), items(text("install"), text("x"))),
        "runpy": call(named("runpy", "_run_code"), text(code)),
        "ctypes": call(named("ctypes", "CDLL"), NONE),
        "file": call(named("io", "FileIO"), text(str(path)), text("w")),
        "socket": call(named("socket", "create_connection"), text("localhost")),
        "exit": call(named("sys", "exit"), number(0)),
        "INST": b"(" + word + b"iposix\nsystem\n",
        "OBJ": b"(" + system + word + b"o",
        "NEWOBJ": system + word + b"\x85\x81",
        "NEWOBJ of ours": named("torch", "FloatStorage") + word + b"\x85\x81",
        "NEWOBJ_EX": system + word + b"\x85" + entries({}) + b"\x92",
        "EXT1": b"\x82\x01" + word + b"\x85R",
        "EXT2": b"\x83\x01\x00" + word + b"\x85R",
        "EXT4": b"\x84\x01\x00\x00\x00" + word + b"\x85R",
        "PERSID": b"Pstorage\n",
        "persistent call": group(text("storage"), system, text("0"), text("cpu"), number(6)) + b"Q",
        "BUILD": named("collections", "OrderedDict") + entries({"__class__": system}) + b"b",
        "BUILD of a type": named("torch", "FloatStorage") + entries({"call": system}) + b"b",
        "BUILD of a tensor": tensor() + entries({"__setstate__": system}) + b"b",
        "function in a tensor": call(
            named("torch._tensor", "_rebuild_from_type_v2"), system, NONE, group(word), NONE
        ),
        "storage that is called": call(named("torch", "FloatStorage"), word),
        "call of text": call(text("os.system"), word),
        "call without a tuple": system + word + b"R",
        "memo": system + b"q\x050" + b"h\x05" + word + b"\x85R",
        "memo that is not there": b"h\x63",
        "type confusion": b"\x8c\x02osK\x2a\x93",
        "name not in UTF-8": b"cmod\n\xf8\n",
        "metaclass": call(named("builtins", "type"), text("X"), EMPTY, entries({})),
    }


@pytest.mark.parametrize("name", malicious(Path()))
def test_no_code_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    trace = tmp_path / "ran"
    value = malicious(trace)[name]
    contents = [entries({"a": tensor(), "b": value}), value, value + b"0" + STATE]
    before = set(sys.modules)
    for content in contents:
        refused(tmp_path / "here", good(content))
        refused(tmp_path / "here", good_legacy(content))
        refused(tmp_path / "here", pickled(content))
    assert set(sys.modules) <= before
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_code_in_the_other_pickles_of_the_old_format(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    evil = pickle.dumps(Calls(os.system, f"touch {tmp_path / 'ran'}"), 2)
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    parts += [pickled(STATE), pickle.dumps(["0"], 2)]
    for place in range(len(parts)):
        content = [*parts]
        content[place] = evil
        refused(tmp_path / "here", b"".join(content) + struct.pack("<q", 6) + SIX)
    # The magic number computed: eval("0x1950A86A20F9469CFC6C").
    magic = pickle.dumps(Calls(eval, "0x1950A86A20F9469CFC6C"), 2)
    refused(tmp_path / "here", magic + b"".join(parts[1:]))
    assert not (tmp_path / "ran").exists()


def memo(place: int) -> bytes:
    return b"r" + struct.pack("<I", place)


def again(place: int) -> bytes:
    return b"j" + struct.pack("<I", place)


def bombs() -> dict[str, bytes]:
    """Small files that would take all memory, or all time."""
    laughs = EMPTY + memo(0)
    dicts = entries({"a": number(1)}) + memo(0)
    for level in range(60):
        laughs += group(*[again(level)] * 10) + memo(level + 1)
        dicts += entries({"a": again(level), "b": again(level)}) + memo(level + 1)
    pairs = items(*[items(text("a"), NONE)] * 1000) + memo(0)
    ordered = pairs + named("collections", "OrderedDict") + memo(1)
    model = b"}" + memo(0) + text("model")
    tuples = b"(" * 20_000 + b"t" * 20_000
    deep = b"}" + (text("a") + b"}") * 3000 + b"s" * 3000
    return {
        "billion laughs": laughs,
        "laughing names": b"}" + laughs + NONE + b"s",
        "laughing identity": laughs + b"Q",
        "laughing shape": call(named("torch", "Size"), laughs),
        "laughing dicts": dicts,
        "dict in itself": b"}" + memo(0) + text("a") + again(0) + b"s",
        "model in a model": model + b"}" + text("model") + again(0) + b"ss",
        "list in itself": b"]" + memo(0) + again(0) + b"a",
        "deep dicts": deep,
        "deep tuples": tuples,
        "the same pairs": b"(" + ordered + (again(1) + again(0) + b"\x85R") * 20_000 + b"t",
        "claimed text": b"X\xff\xff\xff\xff",
        "claimed long text": b"\x8d" + struct.pack("<Q", 2**40),
        "claimed bytes": b"\x8e" + struct.pack("<Q", 2**40),
        "claimed frame": b"\x95" + struct.pack("<Q", 2**60),
        "claimed buffer": b"\x96" + struct.pack("<Q", 2**40),
        "claimed memo": b"N" + memo(2**32 - 1),
        "number of many digits": b"I" + b"9" * 200_000 + b"\n",
        "long of many bytes": b"\x8b" + struct.pack("<i", 100_000) + b"\x7f" * 100_000,
        "colliding names": b"}(" + b"".join(
            number(k * (2**61 - 1)) + NONE for k in range(1, 10_000)
        ) + b"u",
    }  # fmt: skip


@pytest.mark.parametrize("name", bombs())
def test_no_file_takes_all_memory_or_time(name: str, tmp_path: Path) -> None:
    value = bombs()[name]
    for content in (good(value), good_legacy(value)):
        tracemalloc.start()
        try:
            refused(tmp_path, content)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2**20 + 400 * len(content)


@pytest.mark.parametrize("value", [b"(" + b"N" * 1000 + b"t", b"(" * 1000])
def test_instructions_are_counted(
    value: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_pickle, "_MOST_INSTRUCTIONS", 900)
    assert "more instructions" in refused(tmp_path, good(value))
    assert "fc.weight" in read(tmp_path / "w.pt", good())


def test_storages_are_not_read_before_all_is_known(tmp_path: Path) -> None:
    """A size that a file claims is compared with the file's before there is memory for it."""
    for content in (
        good(entries({"a": tensor(storage(count=2**34), (2**34,), (1,))})),
        legacy(
            pickled(entries({"a": tensor(storage(count=2**34), (2**34,), (1,))})),
            {"0": (2**34, SIX)},
        ),
    ):
        tracemalloc.start()
        try:
            refused(tmp_path, content)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


def test_only_storages_that_are_needed_are_read(tmp_path: Path) -> None:
    state = {"state_dict": STATE, "optimizer": entries({"m": tensor(storage("1"))})}
    content = pickled(entries(state))
    damaged = zipped(content, {"data/0": SIX, "data/1": SIX}).replace(SIX, b"x" * 24)
    with pytest.raises(ValueError, match="another checksum"):
        read(tmp_path / "w.pt", damaged)
    assert list(read(tmp_path / "w.pt", zipped(content, {"data/0": SIX}))) == ["fc.weight"]


@pytest.mark.parametrize("pack", [good, good_legacy])
def test_a_file_cut_anywhere(pack: Callable[[], bytes], tmp_path: Path) -> None:
    content = pack()
    for length in range(len(content)):
        refused(tmp_path, content[:length])


def test_zip_files_of_other_kinds(tmp_path: Path) -> None:
    content = pickled(STATE)
    plain = good()
    cases = {
        "compressed or encrypted": zipped(
            content, {"data/0": SIX}, compression=zipfile.ZIP_DEFLATED
        ),
        "not of torch.save": zipped(content, {"data/0": SIX}, folder="a/b"),
        "something behind its end": plain + b"\0",
        "another checksum": plain.replace(SIX, SIX[::-1]),
        "not where its directory says": plain.replace(b"archive/data/0", b"archive/data/1", 1),
    }
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.comment = b"a comment"
        archive.writestr("archive/data.pkl", content)
    cases["cut, or one"] = (tmp_path / "c.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("archive/data.pkl", content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("archive/data.pkl", pickled(EMPTY))
    cases["two records"] = (tmp_path / "d.zip").read_bytes()
    locked = bytearray(plain)
    locked[plain.index(b"PK\1\2") + 8] |= 1
    cases["or encrypted"] = bytes(locked)
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    cases["but not of torch.save"] = (tmp_path / "arrays.npz").read_bytes()
    for reason, case in cases.items():
        assert reason.strip() in refused(tmp_path, case)


def test_records_that_share_their_bytes(tmp_path: Path) -> None:
    """A zip bomb: many records of the directory that are the same bytes of the file."""
    names = [f"{key:03}" for key in range(200)]
    state = {name: tensor(storage(name, 6000), (6000,), (1,)) for name in names}
    content = bytearray(
        zipped(pickled(entries(state)), {f"data/{name}": bytes(24000) for name in names[:1]})
    )
    directory = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    entry = bytes(content[content.index(b"PK\1\2", directory + 1) : end])
    more = b"".join(entry.replace(b"data/000", f"data/{name}".encode()) for name in names[1:])
    tail = bytearray(content[end:])
    struct.pack_into("<2HL", tail, 8, 201, 201, end - directory + len(more))
    whole = bytes(content[:end]) + more + bytes(tail)
    assert "not where its directory says" in refused(tmp_path, whole)


def test_files_without_checksums(tmp_path: Path) -> None:
    plain = good()
    assert checksum(SIX) in plain
    found = read(tmp_path / "w.pt", without_checksums(plain))
    assert found["fc.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_sizes_in_64_bits(tmp_path: Path) -> None:
    """The directory of a file of more than 4 GiB, in a small one."""
    plain = good()
    directory, end = plain.index(b"PK\1\2"), plain.index(b"PK\5\6")
    place = plain.index(b"PK\1\2", directory + 1)
    entry = bytearray(plain[place:end])
    size, header = struct.unpack_from("<L", entry, 24)[0], struct.unpack_from("<L", entry, 42)[0]
    for field in (20, 24, 42):
        struct.pack_into("<L", entry, field, 2**32 - 1)
    struct.pack_into("<H", entry, 30, 28 + 6)
    wide = struct.pack("<2H2s2H3Q", 0xCAFE, 2, b"..", 1, 24, size, size, header)
    entries_ = plain[directory:place] + bytes(entry) + wide
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, len(entries_), directory)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, directory + len(entries_), 1)
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    whole = plain[:directory] + entries_ + record + locator + tail
    assert read(tmp_path / "w.pt", whole)["fc.weight"].shape == (2, 3)
    refused(tmp_path, whole.replace(b"PK\6\6", b"PK\6\5"))
    refused(tmp_path, whole.replace(b"PK\6\7", b"PK\6\5"))


def test_storages_of_the_old_format(tmp_path: Path) -> None:
    content = pickled(STATE)
    assert "cut, or of another size" in refused(tmp_path, legacy(content, {"0": (5, SIX)}))
    assert "cut, or of another size" in refused(tmp_path, legacy(content, {"0": (6, SIX[:-1])}))
    assert "lacks the storage" in refused(tmp_path, legacy(content))
    assert "in the storage '1'" in refused(tmp_path, legacy(content, {"1": (6, SIX)}))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pc.read_torch(tmp_path / "no.pt")
    with pytest.raises(IsADirectoryError):
        pc.read_torch(tmp_path)


def test_names_out_of_a_file_are_harmless_in_a_terminal(tmp_path: Path) -> None:
    odd = tensor(storage(kind="ComplexFloatStorage"))
    message = refused(tmp_path, good(entries({"\x1b[2J\n" + "x" * 10_000: odd})))
    assert "\\x1b" in message
    refused(tmp_path, good(call(named("\x1b[2J" * 3, "y" * 10_000))))


def test_an_ordered_dict_with_attributes(tmp_path: Path) -> None:
    """As `state_dict` returns it."""
    made = named("collections", "OrderedDict") + EMPTY + b"R"
    state = made + b"(" + text("w") + tensor() + b"u" + entries({"_metadata": made}) + b"b"
    assert list(read(tmp_path / "w.pt", good(state))) == ["w"]
