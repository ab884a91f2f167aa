"""The records of a zip file without compression, as PyTorch writes it.

Not read by `zipfile`: here a record is read directly into its array, the memory for the directory
is bounded by the file's size, and local headers must agree with the directory. Records that are
compressed, encrypted or there twice are refused.
"""

from __future__ import annotations

import struct
import zlib
from io import BufferedReader
from typing import NamedTuple

_END = struct.Struct("<4s4H2LH")
_END_64_PLACE = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

_LARGEST_DIRECTORY = 2**25
_ENCRYPTED = 1
_FULL = 2**32 - 1  # stands for a number of 64 bits elsewhere


class Record(NamedTuple):
    """Position of a record's header, size and checksum of its content."""

    header: int
    size: int
    crc: int


class ZipRecords:
    """The records of an open zip file by name.

    Parameters
    ----------
    file : file of bytes
    size : int
        Its length.

    Attributes
    ----------
    records : dict of str to Record

    Raises
    ------
    ValueError
        It is no such zip file.
    """

    def __init__(self, file: BufferedReader, size: int) -> None:
        self._file = file
        self._directory, length, count = self._find_directory(size)
        file.seek(self._directory)
        content = file.read(length)
        self.records: dict[str, Record] = {}
        place = 0
        while place < len(content):
            place = self._read_entry(content, place)
        if len(self.records) != count:
            raise ValueError("its directory has another number of records than it says")

    def __contains__(self, name: str) -> bool:
        return name in self.records

    def read(self, name: str) -> bytes:
        """Return a record's bytes."""
        content = bytearray(self.size(name))
        self.read_into(name, memoryview(content))
        return bytes(content)

    def size(self, name: str) -> int:
        """Return how many bytes a record has."""
        if name not in self.records:
            raise ValueError(f"it lacks the record {name!r}")
        return self.records[name].size

    def read_into(self, name: str, content: memoryview) -> None:
        """Read a record into memory of its size."""
        header, size, crc = self.records[name]
        self._file.seek(header)
        local = _LOCAL.unpack(self._file.read(_LOCAL.size))
        name_length, extra_length = local[-2:]
        named = self._file.read(name_length)
        start = header + _LOCAL.size + name_length + extra_length
        if local[0] != b"PK\3\4" or named != name.encode() or start + size > self._directory:
            raise ValueError(f"the record {name!r} is not where its directory says")
        self._file.seek(start)
        if self._file.readinto(content) < size:
            raise ValueError("it was cut while it was read")
        # PyTorch writes 0 if it is configured to compute none.
        if crc and zlib.crc32(content) != crc:
            raise ValueError(f"the record {name!r} has another checksum than when it was written")

    def _find_directory(self, size: int) -> tuple[int, int, int]:
        """Where the directory begins, its length, and how many records it has."""
        file = self._file
        if size < _END.size:
            raise ValueError("it is shorter than any zip file")
        file.seek(size - _END.size)
        mark, disk, first, _, count, length, start, comment = _END.unpack(file.read(_END.size))
        if mark != b"PK\5\6" or comment or disk or first:
            raise ValueError("it is a zip file that is cut, or one with something behind its end")
        end = size - _END.size
        if _FULL in (length, start) or count == 2**16 - 1:
            end, (count, length, start) = self._find_directory_64(end)
        if length > min(end - start, _LARGEST_DIRECTORY):
            raise ValueError("its directory has no possible length")
        return start, length, count

    def _find_directory_64(self, end: int) -> tuple[int, tuple[int, int, int]]:
        """The same for a file of more than 4 GiB, and where the directory ends."""
        file = self._file
        file.seek(max(0, end - _END_64_PLACE.size))
        mark, _, place, _ = _END_64_PLACE.unpack(file.read(_END_64_PLACE.size))
        if mark != b"PK\6\7" or place > end - _END_64.size:
            raise ValueError("it has no directory for its size")
        file.seek(place)
        mark, *_, count, length, start = _END_64.unpack(file.read(_END_64.size))
        if mark != b"PK\6\6":
            raise ValueError("it has no directory for its size")
        return place, (count, length, start)

    def _read_entry(self, content: bytes, place: int) -> int:
        """Read one entry of the directory; return the position of the next."""
        entry = _ENTRY.unpack_from(content, place)
        mark, _, _, flags, method, _, _, crc, packed, size = entry[:10]
        name_length, extra_length, comment_length, disk, _, _, header = entry[10:]
        start = place + _ENTRY.size
        end: int = start + name_length + extra_length + comment_length
        if mark != b"PK\1\2" or end > len(content):
            raise ValueError("its directory is damaged")
        name = content[start : start + name_length].decode()
        extra = content[start + name_length : start + name_length + extra_length]
        size, packed, header = _in_64_bits(extra, size, packed, header)
        if method or size != packed or flags & _ENCRYPTED or disk:
            raise ValueError(f"its record {name!r} is compressed or encrypted")
        if name in self.records:
            raise ValueError(f"it has two records {name!r}")
        if header + _LOCAL.size + name_length + size > self._directory:
            raise ValueError(f"its record {name!r} is larger than the file")
        self.records[name] = Record(header, size, crc)
        return end


def _in_64_bits(extra: bytes, *numbers: int) -> tuple[int, ...]:
    """The numbers, where those that need 64 bits are taken from the extra field."""
    wide: list[int] = []
    while len(extra) >= 4 and not wide:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = [n for (n,) in struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8])]
        extra = extra[4 + length :]
    return tuple(wide.pop(0) if n == _FULL and wide else n for n in numbers)
