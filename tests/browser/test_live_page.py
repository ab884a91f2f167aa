"""The page of `pocketcnn live` in a browser: layers, numbers, trainings, a server that is gone."""

from __future__ import annotations

import numpy as np
import pytest
from visitor import DIGITS, ONE, SEVEN, Visit, assert_answer, draw, pixels, shown, until, until_text

import pocketcnn as pc
from live_server import Client, page, serving
from pocketcnn.commands.live import make_page
from pocketcnn.live.app import Page

pytest.importorskip("playwright.sync_api", reason="needs Playwright: nox -s live")


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


def test_a_training_is_watched_paused_and_given_another_rate(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    tab.click("#tab-train")
    tab.select_option("#set-begin", "simple_convnet")
    tab.select_option("#set-batch_size", "16")
    tab.select_option("#set-epochs", "5")
    before = tab.locator("#train .runs li").count()
    tab.click("#do-start")
    until(tab, f"document.querySelectorAll('#train .runs li').length === {before + 1}")
    curve = "document.querySelector('path.curve:last-of-type')?.getAttribute('d')"
    filters = "document.querySelector('.filters canvas')?.toDataURL()"
    until(tab, f"{curve} && {filters}")
    seen = tab.evaluate(f"[{curve}, {filters}]")
    until(tab, f"{curve} !== {seen[0]!r} && {filters} !== {seen[1]!r}")
    tab.select_option("#set-rate", "0.0003")
    until_text(tab, "#train .runs li:last-child", "0.0003")
    tab.click("#do-pause")
    until_text(tab, "#train .note", "is paused")
    tab.wait_for_timeout(1000)  # the step that was under way ends
    step = tab.inner_text("#train .note")
    tab.wait_for_timeout(700)
    assert tab.inner_text("#train .note") == step
    tab.click("#do-stop")
    until_text(tab, "#train .note", "was stopped")


def test_many_tabs_are_answered_at_once(
    visit: Visit, digits: Client, knows_digits: pc.ConvNet
) -> None:
    tabs = [visit(digits) for _ in range(8)]
    for index, tab in enumerate(tabs):
        draw(tab, SEVEN if index % 2 else ONE)
    for index, tab in enumerate(tabs):
        assert assert_answer(tab, knows_digits, DIGITS) == "17"[index % 2]


def test_a_residual_network_for_colours_is_shown_from_within(visit: Visit) -> None:
    net = pc.models.resnet18(10, input_shape=(3, 32, 32), seed=0)
    names = [f"thing {index}" for index in range(10)]
    with serving(Page(net, names, "resnet18", None)) as client:
        tab = visit(client)
        draw(tab, SEVEN)
        assert_answer(tab, net, names)
        layers = client.ask("api/network").json["layers"]
        assert tab.locator("#strips section").count() == len(layers) + 1
        # Five blocks add what they take; three project it first, with a line to there and back.
        assert tab.locator(".diagram .skip-line").count() == 5 + 2 * 3
        inner = [layer["name"] for layer in layers if layer["kind"] == "Conv2d"][-1]
        tab.locator(f".diagram .entry[aria-label^='{inner}:']").first.press("Enter")
        tab.locator(f"[data-layer='{inner}'] .map").first.click()
        until_text(tab, ".explained .big", "bias")
        tab.close()  # before its server is gone


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
        tab.close()  # before its server is gone
