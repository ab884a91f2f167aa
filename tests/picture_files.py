"""Picture files written by hand, byte by byte, as their formats say."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def png(depth: int, colour: int, size: tuple[int, int], rows: list[bytes], *chunks: bytes) -> bytes:
    """A PNG of unfiltered rows; `size` is width and height, `chunks` go before the pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def tiff(pixels: np.ndarray, photometric: int = 1, bits: int | None = None) -> bytes:
    """An uncompressed grey TIFF; packed bytes need their `bits` and have one byte per column."""
    order = ">" if pixels.dtype.byteorder == ">" else "<"
    height, width = pixels.shape
    if bits is not None:
        width = width * 8 // bits
    kinds = {"u": 1, "i": 2, "f": 3}
    data = pixels.tobytes()
    entries = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits or 8 * pixels.itemsize),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8 + 2 + 12 * 10 + 4),
        (277, 3, 1),
        (278, 3, height),
        (279, 4, len(data)),
        (339, 3, kinds[pixels.dtype.kind]),
    ]
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    for tag, kind, value in entries:
        packed = struct.pack(order + ("HH" if kind == 3 else "I"), *([value, 0][: 5 - kind]))
        out += struct.pack(order + "HHI", tag, kind, 1) + packed
    return out + struct.pack(order + "I", 0) + data


def exif(*tags: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block of (tag, type, count, value), little-endian."""
    entries, data = struct.pack("<H", len(tags)), b""
    offset = 8 + 2 + 12 * len(tags) + 4
    for tag, kind, count, value in tags:
        if len(value) <= 4:
            entries += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        else:
            entries += struct.pack("<HHII", tag, kind, count, offset + len(data))
            data += value
    return b"Exif\0\0II*\0\x08\0\0\0" + entries + b"\0\0\0\0" + data
