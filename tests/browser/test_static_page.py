"""The page of `pocketcnn live --static`: a server of files alone, and the network in the browser.

What the browser computes is compared with what Python computes of the same pixels.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from visitor import DIGITS, ONE, SEVEN, Visit, assert_answer, draw, until, until_text

import pocketcnn as pc
from live_server import Client, images, page
from pocketcnn.commands.live import make_page
from pocketcnn.live.app import Page
from pocketcnn.live.publishing import publish
from pocketcnn.live.recipe import OPTIMIZERS

MODULE = os.environ.get("POCKETCNN_WASM")
pytestmark = pytest.mark.skipif(MODULE is None, reason="needs the WebAssembly module: nox -s wasm")


class Quiet(SimpleHTTPRequestHandler):
    """What `python -m http.server` answers with, but for its lines on the screen."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def published(own: Page, folder: Path) -> Iterator[Client]:
    publish(own, Path(str(MODULE)), folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Client(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()


@pytest.fixture(scope="module")
def of_digits() -> Page:
    return make_page(None)


@pytest.fixture(scope="module")
def digits(of_digits: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with published(of_digits, tmp_path_factory.mktemp("digits") / "site") as client:
        yield client


@pytest.fixture(scope="module")
def of_clothes() -> Page:
    return page()


@pytest.fixture(scope="module")
def clothes(of_clothes: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with published(of_clothes, tmp_path_factory.mktemp("clothes") / "site") as client:
        yield client


# Typed arrays become plain ones on their way to Python, and images the other way.
ASK = """async ([name, values]) => {
  const { backend } = await import('./backend.js');
  const plain = (value) => {
    if (ArrayBuffer.isView(value)) return Array.from(value);
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  };
  const given = values.map((value) => (value?.pixels ? Uint8Array.from(value.pixels) : value));
  return plain(await backend[name](...given));
}"""


def ask(tab: Any, name: str, *values: object) -> Any:
    """Ask the page's backend."""
    sent = [
        {"pixels": value.ravel().tolist()} if isinstance(value, np.ndarray) else value
        for value in values
    ]
    return tab.evaluate(ASK, [name, sent])


def array(found: dict[str, Any]) -> NDArray[Any]:
    return np.array(found["data"]).reshape(found["shape"])


def assert_shades(found: dict[str, Any], wanted: NDArray[np.uint8]) -> None:
    """Numbers that are equal but for rounding may lie in neighbouring shades."""
    assert np.abs(array(found) - wanted.astype(int)).max() <= 1


@pytest.mark.parametrize(("points", "digit"), [(ONE, "1"), (SEVEN, "7")])
def test_a_digit_is_recognised(visit: Visit, digits: Client, points: Any, digit: str) -> None:
    tab = visit(digits)
    draw(tab, points)
    until_text(tab, "#spoken", f"{digit}, ")
    assert assert_answer(tab, pc.models.deep_convnet(pretrained=True), DIGITS) == digit


def test_maps_and_numbers_are_those_of_python(
    visit: Visit, clothes: Client, of_clothes: Page
) -> None:
    tab, image = visit(clothes), images(1, 7)[0]
    exhibit = of_clothes.exhibit
    batch = images(3, 8)
    found = ask(tab, "predict", batch, None)["probabilities"]
    np.testing.assert_allclose(array(found), exhibit.predict(batch), atol=1e-5)
    layers = exhibit.describe()["layers"]
    names = ["input", *(layer["name"] for layer in layers)]
    looked = ask(tab, "look", image, None, names, 4)
    about, shades = exhibit.look(image, names, 4)
    np.testing.assert_allclose(looked["probabilities"], about["probabilities"], atol=1e-5)
    for name in names:
        assert looked["strips"][name]["signed"] == about["strips"][name]["signed"]
        assert looked["strips"][name]["high"] == pytest.approx(about["strips"][name]["high"], 1e-4)
        assert_shades(looked["strips"][name], shades[name])
    for layer in layers:
        shape = layer["shape"]
        if len(shape) == 3:
            plane = ask(tab, "plane", image, None, layer["name"], shape[0] - 1)["plane"]
            wanted = exhibit.plane(image, layer["name"], shape[0] - 1)
            np.testing.assert_allclose(array(plane), wanted, rtol=1e-4, atol=1e-5)
        for place in ([0] * len(shape), [size - 1 for size in shape], [s // 2 for s in shape]):
            assert_explained(tab, of_clothes, image, layer["name"], place)


def assert_explained(
    tab: Any, own: Page, image: NDArray[np.uint8], layer: str, place: list[int]
) -> None:
    found = ask(tab, "value", image, None, layer, place)
    about, arrays = own.exhibit.explain(image, layer, place)
    assert found["kind"] == about["kind"]
    assert found["field"] == list(about["field"])
    for name in ("value", "bias", "before"):
        if name in about:
            assert found[name] == pytest.approx(float(about[name]), rel=1e-4, abs=1e-5), layer
    for name, wanted in arrays.items():
        np.testing.assert_allclose(array(found[name]), wanted, rtol=1e-4, atol=1e-5)
    for one, other in zip(found.get("parts", []), about.get("parts", []), strict=True):
        assert one["name"] == other["name"]
        assert one["value"] == pytest.approx(float(other["value"]), rel=1e-4, abs=1e-5)


def test_reasons_neighbours_and_patches_are_those_of_python(
    visit: Visit, digits: Client, of_digits: Page
) -> None:
    tab = visit(digits)
    collection, neighbours = of_digits.collection, of_digits.neighbours
    assert collection is not None
    assert neighbours is not None
    for index in (0, 3):
        image = collection.x_test[index]
        sample = ask(tab, "sample", index)
        assert sample["label"] == collection.t_test[index]
        assert np.array_equal(array(sample["image"]), image)
        near = ask(tab, "neighbours", image)
        wanted = neighbours.nearest(image, 8)
        np.testing.assert_allclose(near["cosines"], [cosine for _, cosine in wanted], atol=1e-5)
        assert near["labels"] == collection.t[[at for at, _ in wanted]].tolist()
    # On the even ground of a digit rounding decides which number of a pooling's window is largest.
    noise = np.random.default_rng(5).integers(0, 256, (1, 28, 28), dtype=np.uint8)
    for chosen in (0, 5):
        for kind in ("cam", "saliency"):
            found = ask(tab, "attribute", noise, None, chosen, kind)["shares"]
            assert_shades(found, of_digits.exhibit.attribute(noise, chosen, kind))
    found = ask(tab, "excite", None, "conv1_2", 3)
    searched = collection.x_test[: found["searched"]]
    about, patches = of_digits.exhibit.excite("conv1_2", 3, searched)
    np.testing.assert_allclose(found["values"], about["values"], rtol=1e-4)
    assert found["images"] == about["images"]
    assert np.array_equal(array(found["patches"]), patches)


LEARN = """async ([optimizer, batches, names]) => {
  const { start } = await import('./engine.js');
  const engine = await start();
  const file = await (await fetch('lenet5.safetensors')).arrayBuffer();
  const network = engine.load(new Uint8Array(file));
  network.prepare(optimizer);
  const told = batches.map(([images, labels]) =>
    network.learn(Float32Array.from(images), Int32Array.from(labels), 0.003));
  return [told, names.map((name) => Array.from(network.array(name)))];
}"""


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_are_those_of_python(visit: Visit, digits: Client, optimizer: str) -> None:
    tab = visit(digits)
    (x, t), _ = pc.data.digits()
    batches = [(x[i : i + 20] / np.float32(255), t[i : i + 20]) for i in (0, 20, 40)]
    net = pc.models.lenet5(10, input_shape=(1, 28, 28))
    names = list(net.params)
    sent = [[one.ravel().tolist(), labels.tolist()] for one, labels in batches]
    told, arrays = tab.evaluate(LEARN, [optimizer, sent, names])
    rule = OPTIMIZERS[optimizer](0.003)
    for (one, labels), learned in zip(batches, told, strict=True):
        expected, gradients = net.value_and_gradient(one, labels)
        assert learned["loss"] == pytest.approx(expected, rel=1e-4)
        assert learned["hits"] == np.count_nonzero(net.predict(one).argmax(axis=1) == labels)
        rule.update(net.params, gradients)
    for name, values in zip(names, arrays, strict=True):
        np.testing.assert_allclose(values, net.params[name].ravel(), rtol=1e-3, atol=2e-4)


def test_a_network_learns_in_the_browser(visit: Visit, digits: Client) -> None:
    tab = visit(digits)
    draw(tab, ONE)
    tab.click("#tab-train")
    assert tab.input_value("#set-begin") == "simple_convnet"
    tab.select_option("#set-epochs", "2")
    tab.click("#do-step")
    until_text(tab, "#train .note", "after step 1.")
    tab.click("#do-resume")
    until_text(tab, "#train .note", "is done")
    run = ask(tab, "progress", "")["runs"][0]
    assert run["records"][-1]["val_accuracy"] > 0.9
    assert run["epochs"] == [0, 1, 2]
    assert len(run["points"]) == 100
    assert tab.locator(".filters canvas").count() == 30
    tab.focus("#epoch")
    tab.keyboard.press("Home")
    until(tab, "document.querySelector('#source').selectedOptions[0].text.includes('epoch 0')")
    assert_answer(tab, pc.models.simple_convnet(), DIGITS)
    tab.select_option("#set-begin", "fresh")  # with Dropout
    tab.click("#do-start")
    until(tab, "document.querySelectorAll('.runs li').length === 2")
    tab.click("#do-stop")
    until_text(tab, "#train .note", "was stopped")


def test_a_network_with_branches_is_not_offered_for_training(visit: Visit, clothes: Client) -> None:
    about = ask(visit(clothes), "network")
    assert about["begins"] == ["simple_convnet", "lenet5"]
    assert about["begin"] == "simple_convnet"
