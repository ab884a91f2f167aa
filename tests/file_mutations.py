"""Changes to bytes and to JSON, such as disks, transfers or strangers may make."""

from __future__ import annotations

import copy
import json
import zlib
from random import Random
from typing import Any

EXTREMES = [0, 1, 2**7, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1]
BYTES = [*b'\0\1\xff"0919.-{}[],: \n\x1b(}).', 0x7F, 0x80]
VALUES: list[Any] = [
    None, True, False, "", "x", "\x1b[2J\n", "\ud800", "x" * 5000, "float32", "F32", [], {}, [[]],
    [0] * 40, {"a": {}}, -1, 0, 1, 2, 2**31, 2**62, 2**63, 2**64, 10**30, 10**400, -(10**400), 0.5,
    1e308, float("nan"), float("inf"), -float("inf"),
]  # fmt: skip


def damage(rng: Random, content: bytes) -> bytes:
    """Change one to four places of some bytes."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(changed) + 1)
        end = min(len(changed), place + rng.choice([1, 2, 8, 64]))
        match rng.randrange(9):
            case 0 | 1 | 2 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 3 if place < len(changed):
                changed[place] = rng.choice(BYTES)
            case 4:
                del changed[place:]
            case 5:
                del changed[place:end]
            case 6:
                changed[place:place] = rng.randbytes(end - place + 1)
            case 7:
                other = rng.randrange(len(changed) + 1)
                changed[place:end] = changed[other : other + end - place]
            case _:
                number = rng.choice(EXTREMES)
                size = rng.choice([2, 4, 8])
                order: Any = rng.choice(["little", "big"])
                changed[place : place + size] = (number % 256**size).to_bytes(size, order)
    return bytes(changed)


def change_json(rng: Random, value: Any) -> Any:
    """Change one to three places of a value, in place, at any depth."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        value = _change(rng, value)
    return value


def _change(rng: Random, value: Any) -> Any:
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.1:
        return _other(rng, value)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key, other = rng.choice(keys), rng.choice(keys)
    match rng.randrange(10):
        case 0:
            del value[key]
        case 1:
            value[key] = copy.deepcopy(value[other])
        case 2 if isinstance(value, dict):
            value[rng.choice(["", "x", "__metadata__", "\x1b", f"{other}"])] = value.pop(key)
        case 2:
            value.insert(key, copy.deepcopy(value[other]))
        case _:
            value[key] = _change(rng, value[key])
    return value


def _other(rng: Random, value: Any) -> Any:
    """Another value, usually close to this one."""
    if type(value) in (int, float) and rng.random() < 0.5:
        return rng.choice([value + 1, value - 1, -value, value * 10, f"{value}", [value]])
    if isinstance(value, str) and rng.random() < 0.7:
        try:
            inner = json.loads(value)
        except ValueError:
            return damage(rng, value.encode("utf-8", "surrogatepass")).decode("latin1")
        return json.dumps(change_json(rng, inner))
    return copy.deepcopy(rng.choice(VALUES))


def rebuild_container(rng: Random, content: bytes) -> bytes:
    """Change header or arrays of a .safetensors file, and correct length and checksums."""
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    sealed = "header_crc32" in header["__metadata__"]
    if rng.random() < 0.2:
        data = damage(rng, data)
    else:
        header = change_json(rng, header)
    if not sealed or not isinstance(header, dict):
        return _seal(header, data)
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict):
        metadata["data_crc32"], metadata["header_crc32"] = f"{zlib.crc32(data):08x}", "0" * 8
    whole = _seal(header, data)
    start = len(whole) - len(data)
    field = b'"header_crc32":"%s"'
    crc = b"%08x" % zlib.crc32(whole[:start])
    return whole[:start].replace(field % (b"0" * 8), field % crc) + data


def _seal(header: Any, data: bytes) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + data
