"""Single pictures: every kind of pixel against values worked out by hand, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from picture_files import exif, png, png_chunk, tiff
from pocketcnn.data.image_folder import read_images

BLACK, WHITE = 0, 255


def read(path: Path, channels: int = 1, size: Any = None) -> list[Any]:
    """The pixels of one picture, (C, H, W), as lists."""
    return read_images([path], size, channels)[0].tolist()


def pixels(folder: Path, content: bytes, channels: int, name: str = "x.png") -> list[Any]:
    """The first row of a picture of these bytes, each pixel with its channels."""
    (folder / name).write_bytes(content)
    return read_images([folder / name], None, channels)[0][:, 0].T.tolist()


# More than 8 bits. 65535 / 257 = 255; 32767 / 257 = 127.498, 32768 / 257 = 127.502.

WIDE = np.array([[0, 1, 257, 32767, 32768, 65535]], np.uint16)
SCALED = [[0, 0, 1, 127, 128, 255]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff(tmp_path: Path, order: str) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(WIDE.astype(order + "u2")))
    assert read(tmp_path / "x.tif") == [SCALED]
    assert read(tmp_path / "x.tif", 3) == [SCALED] * 3
    assert read(tmp_path / "x.tif", 4) == [SCALED] * 3 + [[[255] * 6]]


def test_16_bit_png_and_pgm(tmp_path: Path) -> None:
    row = WIDE.astype(">u2").tobytes()
    (tmp_path / "x.png").write_bytes(png(16, 0, (6, 1), [row]))
    (tmp_path / "x.pgm").write_bytes(b"P5 6 1 65535\n" + row)
    Image.fromarray(WIDE).save(tmp_path / "x.tif", compression="tiff_lzw")
    for name in ("x.png", "x.pgm", "x.tif"):
        assert read(tmp_path / name) == [SCALED], name


def test_12_bits(tmp_path: Path) -> None:
    """The largest number is 4095: 2048 * 255 / 4095 = 127.53."""
    packed = np.frombuffer(bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x10]), np.uint8)[np.newaxis]
    (tmp_path / "x.tif").write_bytes(tiff(packed, bits=12))
    assert read(tmp_path / "x.tif") == [[[0, 255, 128, 1]]]
    (tmp_path / "x.pgm").write_bytes(b"P5 3 1 4095\n" + struct.pack(">3H", 0, 2048, 4095))
    assert read(tmp_path / "x.pgm") == [[[0, 128, 255]]]


def test_white_may_be_zero(tmp_path: Path) -> None:
    for array in (WIDE.astype("<u2"), np.array([[0, 0, 1, 127, 128, 255]], np.uint8)):
        (tmp_path / "x.tif").write_bytes(tiff(array, photometric=0))
        assert read(tmp_path / "x.tif") == [[[255, 255, 254, 128, 127, 0]]]
    (tmp_path / "x.tif").write_bytes(tiff(np.array([[0, 0.25, 1]], "<f4"), photometric=0))
    assert read(tmp_path / "x.tif") == [[[255, 191, 0]]]


def test_floating_point_from_0_to_1(tmp_path: Path) -> None:
    """0.25 * 255 = 63.75, 0.5 * 255 = 127.5, to the even neighbour."""
    array = np.array([[0, 0.25, 0.5, 1]], np.float32)
    (tmp_path / "x.tif").write_bytes(tiff(array))
    (tmp_path / "x.pfm").write_bytes(b"Pf\n4 1\n-1.0\n" + array.tobytes())
    for name in ("x.tif", "x.pfm") if ".pfm" in Image.registered_extensions() else ("x.tif",):
        assert read(tmp_path / name) == [[[0, 64, 128, 255]]], name


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0, 70000]], "<i4"), "32-bit or signed integers"),
        (np.array([[0, 70000]], "<u4"), "32-bit or signed integers"),
        (np.array([[0, 300]], "<i2"), "32-bit or signed integers"),
        (np.array([[0, 255]], "<f4"), "floating point pixels go from 0 to 255: wanted 0 to 1"),
        (np.array([[-0.5, 1]], "<f4"), "floating point pixels go from -0.5 to 1"),
        (np.array([[0, np.nan]], "<f4"), "floating point pixels go from nan"),
        (np.array([[0, np.inf]], "<f4"), "floating point pixels go from 0 to inf"),
    ],
)
def test_unknown_ranges_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(array))
    with pytest.raises(ValueError, match=rf"x\.tif cannot be read as an image: .*{message}"):
        read(tmp_path / "x.tif")


# Transparency: (colour * alpha + 255 * (255 - alpha)) / 255. At alpha 128, 10 -> 132.0,
# 20 -> 137.0, 30 -> 142.0, 200 -> 227.4, 100 -> 177.2, 0 -> 127.

PALETTE = png_chunk(b"PLTE", bytes([0, 0, 0, 200, 100, 0, 9, 9, 9]))


def clear(*values: int) -> bytes:
    """A tRNS chunk of 16-bit numbers."""
    return png_chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        pytest.param(png(8, 6, (2, 1), [bytes([0, 0, 0, 0, 10, 20, 30, 128])]),
                     [(0, 0, 0, 0), (10, 20, 30, 128)], id="RGBA"),
        pytest.param(png(8, 4, (2, 1), [bytes([0, 0, 10, 128])]),
                     [(0, 0, 0, 0), (10, 10, 10, 128)], id="LA"),
        pytest.param(png(16, 4, (2, 1), [struct.pack(">4H", 0, 0, 10 * 257, 128 * 257)]),
                     [(0, 0, 0, 0), (10, 10, 10, 128)], id="LA of 16 bits"),
        pytest.param(png(8, 3, (3, 1), [b"\0\1\2"], PALETTE, png_chunk(b"tRNS", b"\0\x80")),
                     [(0, 0, 0, 0), (200, 100, 0, 128), (9, 9, 9, 255)], id="palette"),
        pytest.param(png(8, 3, (2, 1), [b"\0\1"], PALETTE, png_chunk(b"tRNS", b"\0")),
                     [(0, 0, 0, 0), (200, 100, 0, 255)], id="one colour of a palette"),
        pytest.param(png(8, 2, (2, 1), [bytes([1, 2, 3, 4, 5, 6])], clear(1, 2, 3)),
                     [(1, 2, 3, 0), (4, 5, 6, 255)], id="colour"),
        pytest.param(png(16, 2, (2, 1), [struct.pack(">6H", 513, 513, 513, 1028, 1285, 1542)],
                         clear(513, 513, 513)),
                     [(2, 2, 2, 0), (4, 5, 6, 255)], id="colour of 16 bits"),
        pytest.param(png(8, 0, (2, 1), [b"\0\7"], clear(0)),
                     [(0, 0, 0, 0), (7, 7, 7, 255)], id="grey"),
        pytest.param(png(4, 0, (2, 1), [b"\x3a"], clear(3)),
                     [(51, 51, 51, 0), (170, 170, 170, 255)], id="grey of 4 bits"),
        pytest.param(png(2, 0, (4, 1), [b"\x1b"], clear(1)),
                     [(0, 0, 0, 255), (85, 85, 85, 0), (170, 170, 170, 255), (255,) * 4],
                     id="grey of 2 bits"),
        pytest.param(png(1, 0, (2, 1), [b"\x40"], clear(0)),
                     [(0, 0, 0, 0), (255,) * 4], id="grey of 1 bit"),
        pytest.param(png(16, 0, (2, 1), [struct.pack(">2H", 258, 771)], clear(258)),
                     [(1, 1, 1, 0), (3, 3, 3, 255)], id="grey of 16 bits"),
    ],
)  # fmt: skip
def test_transparency_lies_on_white(
    tmp_path: Path, content: bytes, wanted: list[tuple[int, ...]]
) -> None:
    assert pixels(tmp_path, content, 4) == [list(pixel) for pixel in wanted]
    on_white = [
        [round((value * alpha + 255 * (255 - alpha)) / 255) for value in colour]
        for *colour, alpha in wanted
    ]
    assert pixels(tmp_path, content, 3) == on_white
    # ITU-R 601-2: what Pillow takes for the grey of a colour.
    grey = [[round(0.299 * r + 0.587 * g + 0.114 * b)] for r, g, b in on_white]
    assert pixels(tmp_path, content, 1) == grey


def test_transparent_gif_and_webp(tmp_path: Path) -> None:
    ink = Image.new("RGBA", (4, 3), (0, 0, 0, 0))
    ink.putpixel((1, 2), (0, 0, 0, 255))
    for name in ["x.gif", "x.tif", *(["x.webp"] if features.check("webp") else [])]:
        ink.save(tmp_path / name, **({"lossless": True} if name == "x.webp" else {}))
        wanted = np.full((3, 4), WHITE)
        wanted[2, 1] = BLACK
        assert read(tmp_path / name) == [wanted.tolist()], name


def test_a_resized_picture_is_composed_first(tmp_path: Path) -> None:
    """Hidden colours do not show: half-transparent black over a transparent red is grey."""
    image = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    image.save(tmp_path / "x.png")
    assert read(tmp_path / "x.png", 3, 4) == [[[255] * 4] * 4] * 3


# Orientation

TURNED = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[3, 0], [4, 1], [5, 2]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[2, 5], [1, 4], [0, 3]],
    9: [[0, 1, 2], [3, 4, 5]],
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("name", ["x.png", "x.tif", "wide.png"])
def test_photographs_are_turned_upright(tmp_path: Path, orientation: int, name: str) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.fromarray(array.astype(np.uint16) * 257 if name == "wide.png" else array)
    tags = Image.Exif()
    tags[0x0112] = orientation
    image.save(tmp_path / name, exif=tags)
    assert read(tmp_path / name) == [TURNED[orientation]]


SIX = (0x0112, 3, 1, b"\6\0")


@pytest.mark.parametrize(
    "tag",
    [
        pytest.param((0x011A, 10, 1, struct.pack("<ii", -1, 0)), id="negative XResolution"),
        pytest.param((0x011A, 2, 4, b"abc\0"), id="XResolution of text"),
        pytest.param((0x0100, 2, 4, b"abc\0"), id="ImageWidth of text"),
        pytest.param((0x0111, 2, 4, b"abc\0"), id="StripOffsets of text"),
        pytest.param((0x0128, 2, 4, b"abc\0"), id="ResolutionUnit of text"),
        pytest.param((0x0213, 2, 4, b"abc\0"), id="YCbCrPositioning of text"),
        pytest.param((0x8769, 2, 4, b"abc\0"), id="ExifIFD of text"),
    ],
)
def test_odd_tags_do_not_matter(tmp_path: Path, tag: tuple[int, int, int, bytes]) -> None:
    content = io.BytesIO()
    Image.new("RGB", (6, 4)).save(content, "JPEG", exif=exif(SIX, tag))
    (tmp_path / "x.jpg").write_bytes(content.getvalue())
    assert read_images([tmp_path / "x.jpg"], None, 3).shape == (1, 3, 6, 4)


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0nothing like it",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        exif(SIX)[:-9],
        exif((0x0112, 2, 4, b"six\0")),
        exif((0x0112, 3, 2, b"\6\0\1\0")),
    ],
)
def test_unreadable_exif_leaves_the_picture(tmp_path: Path, block: bytes) -> None:
    content = io.BytesIO()
    Image.new("RGB", (6, 4)).save(content, "JPEG", exif=block)
    (tmp_path / "x.jpg").write_bytes(content.getvalue())
    assert sorted(read_images([tmp_path / "x.jpg"], None, 3).shape) == [1, 3, 4, 6]


# Other modes


def test_modes_of_pillow(tmp_path: Path) -> None:
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(tmp_path / "ink.tif")
    assert read(tmp_path / "ink.tif", 3) == [[[255, 255]], [[0, 0]], [[0, 0]]]
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    assert read(tmp_path / "bits.png") == [[[255, 0]]]
    (tmp_path / "bits.pbm").write_bytes(b"P4 2 1\n\x40")
    assert read(tmp_path / "bits.pbm") == [[[255, 0]]]
    image = Image.new("P", (2, 1))
    image.putpalette([1, 2, 3, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png")
    assert read(tmp_path / "palette.png", 3) == [[[1, 40]], [[2, 50]], [[3, 60]]]


def test_the_first_of_an_animated_picture(tmp_path: Path) -> None:
    frames = [Image.new("L", (2, 2), grey) for grey in (40, 200)]
    for name in ["x.gif", "x.tif", "x.png"]:
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert read(tmp_path / name) == [[[40, 40], [40, 40]]], name


# What is refused


def test_programs_are_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""

    def start(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    lines = [b"%!PS-Adobe-3.0 EPSF-3.0", b"%%BoundingBox: 0 0 10 10", b"%%EndComments", b"showpage"]
    (tmp_path / "x.png").write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError, match="its bytes are of no format that Pillow reads"):
        read(tmp_path / "x.png")


@pytest.mark.parametrize("size", [(13000, 13000), (60000, 60000), (2**31 - 1, 2**31 - 1)])
def test_a_header_cannot_ask_for_any_memory(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "x.png").write_bytes(png(8, 0, size, [b"\0"]))
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image"):
        read(tmp_path / "x.png")


def test_pillows_own_limit_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (11, 10)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 110)
    assert np.shape(read(tmp_path / "x.png")) == (1, 10, 11)
    with pytest.raises(ValueError, match=r"size is \(37, 3\), more than 110 pixels"):
        read(tmp_path / "x.png", 1, (37, 3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 109)
    with pytest.raises(ValueError, match="11 x 10 are more than 109 pixels"):
        read(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert np.shape(read(tmp_path / "x.png")) == (1, 10, 11)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png is not a regular file"):
        read(tmp_path / "x.png")


def test_a_folder_or_nothing_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ValueError, match="is not a regular file"):
        read(tmp_path / "x.png")
    with pytest.raises(FileNotFoundError, match=r"y\.png does not exist"):
        read(tmp_path / "y.png")


def test_pillow_prints_nothing(tmp_path: Path) -> None:
    """It logs what it cannot decode; without a handler, that would go to standard error."""
    content = bytearray(tiff(WIDE.astype("<u2")))
    content[10 + 12 * 6 + 8] = 93  # samples per pixel
    (tmp_path / "x.tif").write_bytes(content)
    code = (
        "import sys; from pocketcnn.data.image_folder import read_images\n"
        "try: read_images([sys.argv[1]], None, 3)\n"
        "except ValueError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be read as an image" in done.stdout
    assert done.stderr == ""


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """A copy that is truncated, or has some bytes changed."""
    if rng.random() < 0.2:
        return content[: rng.integers(len(content))]
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        changed[rng.integers(min(len(content), rng.choice([64, 2**20])))] = rng.integers(256)
    return bytes(changed)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "PPM", "TGA", "ICO"])
def test_damage_is_a_value_error(tmp_path: Path, kind: str) -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print(f"seed {seed}", file=sys.stderr)
    rng = np.random.default_rng(seed)
    content = io.BytesIO()
    image = Image.fromarray(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8))
    image.save(content, kind, **({"exif": exif(SIX)} if kind in ("PNG", "JPEG", "TIFF") else {}))
    file = tmp_path / "x.png"
    for _ in range(60):
        file.write_bytes(damaged(rng, content.getvalue()))
        message = outcome(file)
        assert not message or (message.startswith(f"{file} ") and len(message) < 600)


def outcome(file: Path) -> str:
    """The message of a ValueError; empty if the picture was read."""
    try:
        assert read_images([file], 5, 3).shape == (1, 3, 5, 5)
    except ValueError as error:
        return str(error)
    return ""
