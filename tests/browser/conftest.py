"""A browser for the tests of the page: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pocketcnn as pc
from live_server import Client, page, serving
from pocketcnn.commands.live import make_page

CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def knows_digits() -> pc.ConvNet:
    return pc.models.deep_convnet(pretrained=True)


@pytest.fixture(scope="session")
def digits() -> Iterator[Client]:
    """The page that `pocketcnn live` alone opens."""
    with serving(make_page(None)) as client:
        yield client


@pytest.fixture(scope="session")
def clothes() -> Iterator[Client]:
    """The page of a network with blocks, branches and gates, on images of two channels."""
    with serving(page()) as client:
        yield client


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page as a visitor with some settings; it must not complain in the console."""
    contexts, complaints = [], []

    def open_page(client: Client, *, width: int = 1280, height: int = 900, **settings: Any) -> Any:
        settings.setdefault("locale", "en-US")
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, **settings)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("console", lambda told: told.type == "error" and complaints.append(told.text))
        tab.goto(client.address.geturl())
        tab.wait_for_selector("[data-ready]")
        tab.complaints = complaints
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
