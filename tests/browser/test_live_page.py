"""The page of `pocketcnn live` in a browser: what people do on it, and what they see.

What the page shows is compared with what `predict` says of the pixels that the page took.
"""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import pocketcnn as pc
from live_server import Client, page, serving
from pocketcnn.commands.live import make_page

pytest.importorskip("playwright.sync_api", reason="needs Playwright: nox -s live")

Visit = Callable[..., Any]

ONE = [(0.5, 0.15), (0.5, 0.5), (0.5, 0.85)]
SEVEN = [(0.25, 0.22), (0.5, 0.22), (0.75, 0.22), (0.55, 0.55), (0.4, 0.85)]
LANGUAGES = {"en": "What it sees", "ko": "무엇으로 보이나", "ja": "何に見えているか"}


@pytest.fixture(scope="module")
def knows_digits() -> pc.ConvNet:
    return pc.models.deep_convnet(pretrained=True)


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


DIGITS = list("0123456789")


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
    until(tab, "document.querySelectorAll('#neighbours li').length === 8")
    labels = tab.locator("#neighbours li").all_inner_texts()
    assert sum(label.startswith(digit) for label in labels) > 4
    tab.click("#clear")
    assert not pixels(tab).any()
    tab.click("#undo")
    assert assert_answer(tab, knows_digits, DIGITS) == digit


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


def test_a_number_is_explained(visit: Visit, digits: Client, knows_digits: pc.ConvNet) -> None:
    tab = visit(digits)
    draw(tab, SEVEN)
    tab.locator("[data-layer=conv1_2] .map").nth(3).click()
    aim = tab.locator("#inspector .aim")
    box = aim.bounding_box()
    aim.hover(position={"x": box["width"] * 14.5 / 28, "y": box["height"] * 9.5 / 28})
    until_text(tab, ".explained h3", "[9, 14]")
    outputs = knows_digits.activations(pixels(tab) / np.float32(255))
    expected = float(outputs["conv1_2"][0, 3, 9, 14])
    head = tab.inner_text(".explained h3").replace("−", "-")
    assert float(head.split("=")[1]) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    sum_line = tab.inner_text(".explained .big strong").replace("−", "-")
    assert float(sum_line) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert tab.locator(".explained table[aria-label=filter] td").count() == 9
    aim.press("ArrowRight")
    until_text(tab, ".explained h3", "[9, 15]")
    tab.click(".explained summary")
    assert tab.locator(".products tbody tr").count() == 9
    tab.wait_for_selector("#inspector .thumbs li:nth-child(9)")
    tab.keyboard.press("Escape")
    assert tab.locator("#inspector.open").count() == 0


@pytest.mark.parametrize("kind", ["grad_cam", "saliency"])
def test_what_speaks_for_a_class_lies_where_the_network_sees_it(
    visit: Visit, digits: Client, knows_digits: pc.ConvNet, kind: str
) -> None:
    tab = visit(digits)
    draw(tab, [(x / 2, y / 2) for x, y in SEVEN])  # in a corner, so that centring moves it
    tab.check(f"[name=overlay][value={kind.removeprefix('grad_')}]")
    tab.locator("#scores button").nth(2).click()
    until_text(tab, "#why", "2")
    tab.wait_for_load_state("networkidle")
    x = pixels(tab) / np.float32(255)
    shares = getattr(pc.inspection, kind)(knows_digits, x, 2)[0]

    def warmth(place: tuple[int, ...]) -> int:
        """How much redder than blue the picture is in the middle of a share's square."""
        row, column = (int((at + 0.5) * 280 / len(shares)) for at in place)
        red, _, blue, _ = tab.evaluate(
            "([x, y]) => [...document.querySelector('#overlay').getContext('2d')"
            ".getImageData(x, y, 1, 1).data]",
            [column, row],
        )
        return int(red) - int(blue)

    assert warmth(np.unravel_index(shares.argmax(), shares.shape)) > 80
    assert warmth(np.unravel_index(shares.argmin(), shares.shape)) < 20


def test_every_layer_of_a_graph_is_entered_and_explained(visit: Visit, clothes: Client) -> None:
    tab = visit(clothes)
    draw(tab, SEVEN)
    network = clothes.ask("api/network").json
    for layer in network["layers"]:
        strip = tab.locator(f"[data-layer='{layer['name']}']")
        tab.locator(f".diagram .entry[aria-label^='{layer['name']}:']").first.press("Enter")
        until(tab, f"document.activeElement.id === 'strip-{layer['name']}'")
        strip.locator(".map").first.click()
        until(
            tab,
            f"document.querySelector('#inspector h2').textContent.startsWith('{layer['name']},')",
        )
        tab.wait_for_selector(".explained h3")
        tab.wait_for_load_state("networkidle")
        assert tab.inner_text("#told") == ""


def test_a_network_is_trained_compared_and_gone_back_in(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    draw(tab, SEVEN)
    tab.click("#tab-train")
    tab.select_option("#set-begin", "simple_convnet")
    tab.select_option("#set-epochs", "1")
    tab.click("#do-step")
    until_text(tab, "#train .note", "after step 1.")
    tab.click("#do-resume")
    until_text(tab, "#train .note", "is done")
    assert tab.locator(".filters canvas").count() == 30
    assert tab.locator("path.curve").count() == 2  # a run's loss and accuracy
    tab.focus("#epoch")
    tab.keyboard.press("Home")
    until(tab, "document.querySelector('#source').selectedOptions[0].text.includes('epoch 0')")
    assert_answer(tab, pc.models.simple_convnet(), DIGITS)
    tab.click("#tab-see")
    assert "conv1" in tab.inner_text("#strips h3:nth-child(1) >> nth=1")
    tab.click("#tab-train")
    tab.select_option("#set-optimizer", "SGD")
    tab.select_option("#set-rate", "0.01")
    tab.click("#do-start")
    until(tab, "document.querySelectorAll('.runs li').length === 2")
    tab.click("#do-stop")
    until_text(tab, "#train .note", "was stopped")
    assert tab.locator(".curve").count() == 4
    tab.uncheck("#run-1")
    assert tab.locator(".curve").count() == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_whole_in_every_language(visit: Visit, digits: Client, language: str) -> None:
    tab = visit(digits, locale={"en": "en-GB", "ko": "ko-KR", "ja": "ja-JP"}[language])
    draw(tab, ONE)
    assert tab.evaluate("document.documentElement.lang") == language
    assert LANGUAGES[language] in tab.inner_text("#score-box h2")
    tab.locator("[data-layer=conv1_1] .map").first.click()
    tab.wait_for_selector(".explained h3")
    for name in ("see", "train", "learn"):
        tab.click(f"#tab-{name}")
        text = tab.inner_text("body")
        assert (
            re.findall(r"\b(?:kind|state|set|explain|why|begin)_\w+|\{\w+\}|undefined", text) == []
        )
    for other, words in LANGUAGES.items():
        tab.select_option("#language", other)
        assert words in tab.inner_text("#score-box h2")
    tab.reload()
    tab.wait_for_selector("[data-ready]")
    assert tab.evaluate("document.documentElement.lang") == "ja"  # the last is kept


@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(
    visit: Visit, digits: Client, width: int, scheme: str
) -> None:
    tab = visit(digits, width=width, height=800, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    draw(tab, ONE)
    for language in LANGUAGES:
        tab.select_option("#language", language)
        for name in ("see", "train", "learn"):
            tab.click(f"#tab-{name}")
            over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert tab.evaluate(over) <= 0, (language, name)
    tab.click("#tab-see")
    tab.locator("[data-layer=conv1_1] .map").first.click()
    tab.wait_for_selector(".explained h3")
    box = tab.locator("#inspector").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    tab.click("#theme")
    assert tab.evaluate("document.documentElement.dataset.theme") != scheme


def test_nothing_moves_while_one_draws(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    draw(tab, ONE)
    tab.wait_for_selector("#neighbours li")
    tab.wait_for_timeout(600)
    tab.evaluate(
        "() => { window.shifts = 0; new PerformanceObserver((list) => {"
        " for (const entry of list.getEntries()) window.shifts += entry.value;"
        " }).observe({ type: 'layout-shift' }); }"
    )
    draw(tab, SEVEN)
    tab.wait_for_load_state("networkidle")
    tab.wait_for_timeout(1000)
    assert tab.evaluate("window.shifts") < 0.001


def test_everything_has_a_name_for_those_who_listen(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    draw(tab, ONE)
    tab.locator("[data-layer=conv1_1] .map").first.click()
    tab.wait_for_selector(".explained h3")
    nameless = """() => [...document.querySelectorAll(
        'button, select, input:not([hidden]), [tabindex="0"], [role=img]')].filter((one) =>
        one.checkVisibility() && !one.getAttribute('aria-label') && !one.textContent.trim()
        && !one.labels?.length).map((one) => one.outerHTML.slice(0, 120))"""
    for name in ("see", "train", "learn"):
        tab.click(f"#tab-{name}")
        assert tab.evaluate(nameless) == [], name
    tab.focus("#tab-learn")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.id") == "tab-see"
    assert tab.locator("#see").is_visible()


def test_windows_move_with_stride_and_padding(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    tab.click("#tab-learn")
    figure = tab.locator("[data-figure=im2col]")
    figure.locator("[data-setting=padding]").select_option("1")
    figure.locator("[data-setting=stride]").select_option("2")
    assert "= 2" in figure.locator(".note").inner_text()
    figure.locator("input[type=range]").fill("3")
    # The window's last place sees rows and columns 2 to 4 of the padded image.
    image = np.zeros((6, 6), int)
    image[1:5, 1:5] = [[0, 1, 3, 2], [2, 7, 9, 6], [1, 8, 4, 7], [0, 2, 5, 9]]
    row = pc.functional.im2col(image[np.newaxis, np.newaxis].astype(float), 3, stride=2)[3]
    expected = int(row @ np.array([1, 0, -1, 2, 0, -2, 1, 0, -1]))
    told = figure.locator(".big").inner_text()
    assert told.endswith(f"= {expected}".replace("-", "−"))
    pool = tab.locator("[data-figure=pooling]")
    assert pool.locator(".big").inner_text() == "max(0, 1, 2, 7) = 7"
    pool.locator("[data-setting=kind]").select_option("mean")
    assert pool.locator(".big").inner_text() == "(0 + 1 + 2 + 7) / 4 = 2.5"
    pool.locator("button.primary").click()
    until(tab, "document.querySelector('[data-figure=pooling] input[type=range]').value > 0")


def test_when_the_server_is_gone_the_page_says_so_and_goes_on_with_it(
    visit: Visit, knows_digits: pc.ConvNet
) -> None:
    with serving(make_page(None)) as client:
        tab = visit(client)
        draw(tab, ONE)
        assert shown(tab)["1"] > 50
        port, token = client.address.port, client.address.path.strip("/")
    draw(tab, SEVEN)
    tab.wait_for_selector("#gone:not([hidden])")
    assert "does not answer" in tab.inner_text("#gone")
    with serving(make_page(None), port=port, token=token):
        tab.wait_for_selector("#gone", state="hidden")
        assert_answer(tab, knows_digits, DIGITS)
    with serving(make_page(None), port=port):
        until(tab, "document.querySelector('#gone').dataset.reason === 'renewed'")
        assert "with another address" in tab.inner_text("#gone")
    # Requests that fail are in the console, as they should be; nothing else is.
    assert [told for told in tab.complaints if "Failed to load resource" not in told] == []
    tab.complaints.clear()


def test_without_images_or_classes_the_rest_works(visit: Visit) -> None:
    with serving(page(with_images=False)) as client:
        tab = visit(client)
        draw(tab, ONE)
        assert tab.locator("#sample").is_hidden()
        assert len(shown(tab)) == 4
        tab.click("#tab-train")
        assert "no labelled images" in tab.inner_text("#train")
    tab.complaints.clear()  # of the server that is gone
