"""What visitors do on the page, and what they see, for the tests of it in a browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import pocketcnn as pc

Visit = Callable[..., Any]

DIGITS = list("0123456789")
ONE = [(0.5, 0.15), (0.5, 0.5), (0.5, 0.85)]
SEVEN = [(0.25, 0.22), (0.5, 0.22), (0.75, 0.22), (0.55, 0.55), (0.4, 0.85)]


def until(tab: Any, condition: str) -> None:
    """Wait until something is true on the page, whose policy forbids Playwright's own way."""
    for _ in range(600):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}")


def until_text(tab: Any, place: str, part: str) -> None:
    """Wait until the first element of a place has a text."""
    until(tab, f"document.querySelector({place!r})?.textContent.includes({part!r}) ?? false")


def draw(tab: Any, points: Sequence[tuple[float, float]]) -> None:
    box = tab.locator("#pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]:
        tab.mouse.move(*place, steps=5)
    tab.mouse.up()


def pixels(tab: Any) -> NDArray[np.uint8]:
    """What the page gives the network."""
    values = tab.evaluate(
        "async () => { const { state } = await import('./state.js');"
        " return [[...state.image], state.network.input]; }"
    )
    return np.array(values[0], np.uint8).reshape(1, *values[1])


def shown(tab: Any) -> dict[str, float]:
    """The probabilities in percent, once the page has nothing more to ask."""
    tab.wait_for_load_state("networkidle")
    texts = tab.locator("#scores button").all_inner_texts()
    rows = [text.split("\n") for text in texts]
    return {row[0]: float(row[-1].rstrip(" %")) for row in rows}


def assert_answer(tab: Any, net: pc.ConvNet, classes: Sequence[str]) -> str:
    """The page shows what the network says of its pixels; return the class."""
    scores = net.predict(pixels(tab) / np.float32(255))[0].astype(np.float64)
    expected = 100 * np.exp(scores) / np.exp(scores).sum()
    found = shown(tab)
    for name, share in zip(classes, expected, strict=True):
        assert found[name] == pytest.approx(share, abs=0.1)
    return classes[int(expected.argmax())]


def png(array: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def drop(tab: Any, *files: tuple[str, bytes]) -> None:
    """Drop files as another program would."""
    contents = [[name, base64.b64encode(content).decode()] for name, content in files]
    tab.evaluate(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, text] of files) {
                const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: 'image/png' }));
            }
            for (const type of ['dragenter', 'dragover', 'drop']) {
                document.body.dispatchEvent(new DragEvent(
                    type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }
        }""",
        contents,
    )
