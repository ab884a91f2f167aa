"""Make the pictures of the live page in ``docs/images``: ``python tools/make_live_pictures.py``.

Needs Playwright, Pillow and Debian's chromium. Draws as a visitor would, trains two networks on the
page, and takes pictures of it; the moving one is put together from single ones.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from pocketcnn.commands.live import make_page
from pocketcnn.live.server import LiveServer

IMAGES = Path(__file__).parent.parent / "docs" / "images"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FIVE = [
    *((0.68, 0.22), (0.38, 0.22), (0.35, 0.47), (0.5, 0.43), (0.64, 0.5), (0.67, 0.64)),
    *((0.58, 0.77), (0.42, 0.79), (0.33, 0.72)),
]
# Colours of a page are few.
_COLOURS = 128

# Width and height of the page in the moving picture, and of the picture itself.
_FILMED, _SHOWN = (1280, 800), (1024, 640)


class Film:
    """Pictures of a page, one after another, and for how many milliseconds each is shown."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.frames: list[Image.Image] = []
        self.times: list[int] = []

    def take(self, time: int) -> None:
        """Take a picture, to be shown for some milliseconds."""
        picture = Image.open(io.BytesIO(self.tab.screenshot())).convert("RGB")
        self.frames.append(picture.resize(_SHOWN, Image.Resampling.LANCZOS))
        self.times.append(time)

    def save(self, path: Path) -> None:
        """Write all as an animated WebP."""
        first, *others = self.frames
        settings = {"duration": self.times, "loop": 0, "quality": 60, "method": 4}
        first.save(path, save_all=True, append_images=others, **settings)


def main() -> int:
    """Make all pictures."""
    server = LiveServer(make_page(None))
    server.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=ARGUMENTS
            )
            make_film(open_page(browser, server.address, *_FILMED))
            for take in (picture_layers, picture_windows, picture_phone, picture_training):
                take(browser, server.address)
            browser.close()
    finally:
        server.stop()
    return 0


def picture_layers(browser: Any, address: str) -> None:
    """A drawing, the first layers, and a number explained."""
    tab = open_page(browser, address, 1280, 860)
    draw(tab, FIVE)
    explain(tab)
    keep(tab, "live.png")


def picture_windows(browser: Any, address: str) -> None:
    """The step-by-step figure of im2col."""
    tab = open_page(browser, address, 1100, 640)
    draw(tab, FIVE)
    tab.click("#tab-learn")
    figure = tab.locator("[data-figure=im2col]")
    figure.locator("[data-setting=padding]").select_option("1")
    figure.locator("[data-setting=stride]").select_option("2")
    figure.locator("input[type=range]").fill("2")
    keep(tab, "live-learn.png")


def picture_phone(browser: Any, address: str) -> None:
    """The inspector on a phone, dark."""
    tab = open_page(browser, address, 390, 780, color_scheme="dark", has_touch=True)
    draw(tab, FIVE)
    explain(tab)
    keep(tab, "live-phone.png")


def picture_training(browser: Any, address: str) -> None:
    """A run that trains, compared with one that is done; dark."""
    tab = open_page(browser, address, 1100, 760, color_scheme="dark")
    draw(tab, FIVE)
    tab.click("#tab-train")
    for optimizer, rate, state in (("Adam", "0.001", "is done"), ("SGD", "0.01", "epoch 4 of 5")):
        tab.select_option("#set-optimizer", optimizer)
        tab.select_option("#set-rate", rate)
        tab.click("#do-start")
        tab.locator("#train .note", has_text=state).first.wait_for(timeout=600_000)
    keep(tab, "live-train.png")


def make_film(tab: Any) -> None:
    """Draw, look at a map, and ask why, in single pictures."""
    film = Film(tab)
    film.take(600)
    draw(tab, FIVE, after=lambda: film.take(110))
    settle(tab)
    film.take(1500)
    explain(tab)
    film.take(2200)
    tab.check("[name=overlay][value=cam]")
    settle(tab)
    film.take(2200)
    film.save(IMAGES / "live.webp")


def open_page(browser: Any, address: str, width: int, height: int, **settings: Any) -> Any:
    """Open the page as a visitor who speaks English."""
    size = {"width": width, "height": height}
    tab = browser.new_context(viewport=size, locale="en-US", **settings).new_page()
    tab.set_default_timeout(120_000)
    tab.goto(address)
    tab.wait_for_selector("[data-ready]")
    settle(tab)
    return tab


def draw(tab: Any, points: list[tuple[float, float]], after: Any = None) -> None:
    """Draw a line through places of the pad; `after` is called now and then."""
    box = tab.locator("#pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]:
        tab.mouse.move(*place, steps=6)
        if after is not None:
            settle(tab)
            after()
    tab.mouse.up()
    settle(tab)


def explain(tab: Any) -> None:
    """Open a map of the first layer in the inspector."""
    tab.locator("[data-layer=conv1_1] .map").nth(5).click()
    tab.wait_for_selector("#inspector .thumbs li:nth-child(9)")
    settle(tab)


def settle(tab: Any) -> None:
    """Wait until the page has been answered, and has drawn it."""
    tab.wait_for_load_state("networkidle")
    tab.wait_for_timeout(200)


def keep(tab: Any, name: str) -> None:
    """Take a picture of the page, in few colours."""
    picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
    small = picture.quantize(_COLOURS, dither=Image.Dither.NONE)
    small.save(IMAGES / name, optimize=True)
    tab.context.close()


if __name__ == "__main__":
    sys.exit(main())
