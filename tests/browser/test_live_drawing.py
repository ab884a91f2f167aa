"""Drawing, and pictures that are given to the page, in a browser.

What the page shows is compared with what `predict` says of the pixels that the page took.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from visitor import (
    DIGITS,
    ONE,
    SEVEN,
    Visit,
    assert_answer,
    draw,
    drop,
    pixels,
    png,
    shown,
    until,
    until_text,
)

import pocketcnn as pc
from live_server import Client

pytest.importorskip("playwright.sync_api", reason="needs Playwright: nox -s live")


@pytest.mark.parametrize(("points", "digit"), [(ONE, "1"), (SEVEN, "7")])
def test_a_digit_drawn_with_the_mouse_is_recognised(
    visit: Visit, digits: Client, knows_digits: pc.ConvNet, points: Any, digit: str
) -> None:
    tab = visit(digits)
    draw(tab, points)
    assert assert_answer(tab, knows_digits, DIGITS) == digit
    until_text(tab, "#spoken", f"{digit}, ")
    shown(tab)
    # The first question for what is alike looks at all images at hand.
    until(tab, "document.querySelectorAll('#neighbours button:enabled').length === 8")
    labels = tab.locator("#neighbours li").all_inner_texts()
    assert sum(label.startswith(digit) for label in labels) > 4
    tab.click("#clear")
    assert not pixels(tab).any()
    assert tab.locator("#pad-hint").is_visible()
    tab.click("#undo")
    assert assert_answer(tab, knows_digits, DIGITS) == digit
    assert tab.locator("#pad-hint").is_hidden()


def test_a_digit_is_drawn_with_keys_alone(
    visit: Visit, digits: Client, knows_digits: pc.ConvNet
) -> None:
    tab = visit(digits)
    tab.keyboard.press("Tab")  # past the link to the layers
    while tab.evaluate("document.activeElement.id") != "pad":
        tab.keyboard.press("Tab")
    for _ in range(10):
        tab.keyboard.press("ArrowUp")
    tab.keyboard.press(" ")
    for _ in range(20):
        tab.keyboard.press("ArrowDown")
    tab.keyboard.press(" ")
    tab.keyboard.press("ArrowRight")
    assert assert_answer(tab, knows_digits, DIGITS) == "1"
    tab.keyboard.press("Control+z")
    assert not pixels(tab).any()


def test_a_digit_is_drawn_with_a_finger(
    visit: Visit, digits: Client, knows_digits: pc.ConvNet
) -> None:
    tab = visit(digits, width=360, height=740, has_touch=True, is_mobile=True)
    box = tab.locator("#pad").bounding_box()
    touch = tab.context.new_cdp_session(tab)

    def point(x: float, y: float) -> dict[str, Any]:
        at = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        return {"touchPoints": [at]}

    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", **point(0.5, 0.15)})
    for step in range(1, 15):
        moved = point(0.5, 0.15 + 0.05 * step)
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", **moved})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert assert_answer(tab, knows_digits, DIGITS) == "1"
    assert tab.evaluate("scrollY") == 0  # the page did not move under the finger


def test_a_dropped_picture_of_the_right_size_is_taken_pixel_by_pixel(
    visit: Visit, digits: Client, knows_digits: pc.ConvNet
) -> None:
    tab = visit(digits)
    image = pc.data.digits()[1][0][3]
    drop(tab, ("digit.png", png(image[0])))
    until(tab, "document.querySelector('#pad').dataset.drawn === 'picture'")
    np.testing.assert_array_equal(pixels(tab)[0], image)
    assert assert_answer(tab, knows_digits, DIGITS) == "0"
    assert tab.locator("#drop").is_hidden()


def test_ink_on_white_paper_is_turned_round(
    visit: Visit, digits: Client, knows_digits: pc.ConvNet
) -> None:
    tab = visit(digits)
    image = 255 - np.kron(pc.data.digits()[1][0][0, 0], np.ones((20, 20), np.uint8))
    drop(tab, ("photo.png", png(image)))
    until(tab, "document.querySelector('#invert').checked")
    assert assert_answer(tab, knows_digits, DIGITS) == "7"
    tab.uncheck("#invert")
    assert pixels(tab).mean() > 128


def test_several_pictures_become_a_gallery(
    visit: Visit, digits: Client, knows_digits: pc.ConvNet, tmp_path: Path
) -> None:
    tab = visit(digits)
    x = pc.data.digits()[1][0][:5]
    for index, image in enumerate(x):
        (tmp_path / f"{index}.png").write_bytes(png(image[0]))
    tab.set_input_files("#file", sorted(tmp_path.iterdir()))
    tab.wait_for_selector("#gallery li:nth-child(5)")
    told = tab.locator("#gallery li").all_inner_texts()
    expected = knows_digits.predict(x / np.float32(255)).argmax(axis=1)
    assert [text.split()[0] for text in told] == [str(best) for best in expected]
    tab.click("#gallery li:nth-child(4) button")
    np.testing.assert_array_equal(pixels(tab)[0], x[3])


def test_a_dropped_folder_becomes_a_gallery(visit: Visit, digits: Client, tmp_path: Path) -> None:
    tab = visit(digits)
    x = pc.data.digits()[1][0][:3]
    folder = tmp_path / "digits" / "inner"
    folder.mkdir(parents=True)
    for index, image in enumerate(x):
        (folder / f"{index}.png").write_bytes(png(image[0]))
    hand = tab.context.new_cdp_session(tab)
    data = {"items": [], "files": [str(tmp_path / "digits")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        hand.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 200, "data": data})
    tab.wait_for_selector("#gallery li:nth-child(3)")
    np.testing.assert_array_equal(pixels(tab)[0], x[0])


def bomb(side: int) -> bytes:
    """A small PNG file of very many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        sealed = kind + content
        return struct.pack(">I", len(content)) + sealed + struct.pack(">I", zlib.crc32(sealed))

    row = zlib.compress(bytes(side * (side // 8 + 1)), 9)
    size = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("bomb.png", bomb(16_000), "16000 × 16000 pixels are too many"),
        ("text.png", b"hello", "no picture that this browser reads"),
        ("cut.png", png(np.zeros((28, 28), np.uint8))[:20], "no picture that this browser reads"),
        ("long.png", bytes(41_000_000), "more than 40 MB"),
    ],
)
def test_hostile_files_are_refused(
    visit: Visit, digits: Client, name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    tab = visit(digits)
    draw(tab, ONE)
    before = pixels(tab)
    (tmp_path / name).write_bytes(content)
    tab.set_input_files("#file", tmp_path / name)
    until(tab, "document.querySelector('#told').textContent !== ''")
    assert told in tab.inner_text("#told")
    np.testing.assert_array_equal(pixels(tab), before)


def test_the_camera_is_seen_and_stopped(visit: Visit, digits: Client) -> None:
    tab = visit(digits, permissions=["camera"])
    tab.click("#camera")
    until(tab, "document.querySelector('#pad').dataset.drawn === 'picture'")
    assert pixels(tab).any()
    tab.click("#camera")
    assert tab.inner_text("#camera") == "Camera"
    still = pixels(tab)
    tab.wait_for_timeout(400)
    np.testing.assert_array_equal(pixels(tab), still)
