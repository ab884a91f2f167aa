"""PyTorch's two containers and its pickles, put together by hand and without PyTorch."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from random import Random

from file_mutations import damage

MAGIC = 0x1950A86A20F9469CFC6C
EMPTY = b")"
NONE = b"N"


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def group(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def numbers(*values: int) -> bytes:
    return group(*map(number, values))


def items(*parts: bytes) -> bytes:
    return b"](" + b"".join(parts) + b"e"


def entries(content: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in content.items()) + b"u"


def call(function: bytes, *given: bytes) -> bytes:
    return function + group(*given) + b"R"


def storage(key: str = "0", count: int = 6, kind: str = "FloatStorage", *view: bytes) -> bytes:
    module = "torch.storage" if "Untyped" in kind else "torch"
    parts = (text("storage"), named(module, kind), text(key), text("cpu"), number(count), *view)
    return group(*parts) + b"Q"


def tensor(
    where: bytes | None = None,
    shape: Sequence[int] = (2, 3),
    strides: Sequence[int] = (3, 1),
    offset: int = 0,
    *more: bytes,
    function: str = "_rebuild_tensor_v2",
) -> bytes:
    return call(
        named("torch._utils", function),
        storage() if where is None else where,
        number(offset),
        numbers(*shape),
        numbers(*strides),
        *(() if function == "_rebuild_tensor" else (b"\x89", named("collections", "OrderedDict"))),
        *more,
    )


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def zipped(
    content: bytes,
    records: Mapping[str, bytes] | None = None,
    folder: str = "archive",
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """The container of today, of a pickle and its storages."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", content)
        for name, data in (records or {}).items():
            archive.writestr(f"{folder}/{name}", data)
    return file.getvalue()


def legacy(content: bytes, storages: Mapping[str, tuple[int, bytes]] | None = None) -> bytes:
    """The container before it; a storage has a number of elements, and its bytes."""
    storages = storages or {}
    heads = [pickle.dumps(value, 2) for value in (MAGIC, 1001, {"little_endian": True})]
    tails = [struct.pack("<q", count) + data for count, data in storages.values()]
    return b"".join([*heads, content, pickle.dumps(list(storages), 2), *tails])


def rezipped(rng: Random, content: bytes) -> bytes:
    """Change the pickle or a record of a zip file, and make its checksum right."""
    if not content.startswith(b"PK"):
        return damage(rng, content)
    archive = zipfile.ZipFile(io.BytesIO(content))
    names = archive.namelist()
    changed = names[0] if rng.random() < 0.8 else rng.choice(names)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as other:
        for name in names:
            data = archive.read(name)
            other.writestr(name, damage(rng, data) if name == changed else data)
    return file.getvalue()


def without_checksums(content: bytes) -> bytes:
    """What PyTorch writes when it is told to compute none."""
    for crc in {info.CRC for info in zipfile.ZipFile(io.BytesIO(content)).infolist()}:
        content = content.replace(struct.pack("<I", crc), bytes(4))
    return content


def checksum(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))
