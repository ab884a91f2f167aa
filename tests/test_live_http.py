"""The server of the page: what it answers, and whom it refuses."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from live_server import CLASSES, SHAPE, Client, collection, images, page, serving
from pocketcnn.live import guard
from pocketcnn.live.app import Page
from pocketcnn.live.server import LiveServer

STATIC = Path(str(files("pocketcnn.live").joinpath("static")))
IMAGE = images(1)[0].tobytes()


@pytest.fixture(scope="module")
def shown() -> Page:
    return page()


@pytest.fixture(scope="module")
def client(shown: Page) -> Iterator[Client]:
    with serving(shown) as made:
        yield made


def test_the_page_and_every_file_that_it_names_are_served(client: Client) -> None:
    assert client.ask("").headers["Content-Type"] == "text/html; charset=utf-8"
    names = set()
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8")
        names |= set(re.findall(r'(?:from "\./|href="|src=")([\w-]+\.\w+)"', text))
    assert {"main.js", "backend.js", "page.css", "icon.svg"} <= names
    for name in names:
        answer = client.ask(name)
        assert answer.status == 200, name
        assert answer.body == (STATIC / name).read_bytes()


def test_nothing_but_its_own_files_is_served(client: Client) -> None:
    hidden = ("..", "../app.py", "%2e%2e/app.py", "static/main.js", "//etc/passwd", "..%2fapp.py")
    for path in (*hidden, "%00", "main.js/", "words-en.js%00.html", "index.html", "api"):
        assert client.ask(path).status == 404, path
    assert client.ask("main.js", b"").status == 405


def test_the_page_may_load_nothing_from_elsewhere(client: Client) -> None:
    policy = client.ask("").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_requests_are_answered(client: Client) -> None:
    network = client.ask("api/network").json
    assert network["input"] == list(SHAPE)
    assert network["classes"] == CLASSES
    assert network["data"]["training"] == 60
    assert [layer["name"] for layer in network["layers"]][-1] == "fc"

    look = client.ask("api/look", IMAGE, layers="conv1,fc", maps=3).packed
    assert sum(look["probabilities"]) == pytest.approx(1)
    assert look["conv1"].shape == (3, 9, 7)
    assert set(look["strips"]) == {"conv1", "fc"}

    two = client.ask("api/predict", images(2).tobytes()).packed["probabilities"]
    np.testing.assert_allclose(two[0], look["probabilities"], rtol=1e-4)

    plane = client.ask("api/plane", IMAGE, layer="conv1", channel=2).packed["plane"]
    value = client.ask("api/value", IMAGE, layer="conv1", place="2,4,3").packed
    assert value["value"] == pytest.approx(plane[4, 3], rel=1e-5)
    products = value["patch"].astype(np.float64) * value["weight"]
    assert products.sum() + value["bias"] == pytest.approx(value["value"], rel=1e-4)

    found = client.ask("api/attribute", IMAGE, **{"class": 1}, kind="saliency").packed
    assert found["shares"].shape == SHAPE[1:]
    sample = client.ask("api/sample", index=23, part="training").packed
    np.testing.assert_array_equal(sample["image"], collection().x[23])
    near = client.ask("api/neighbours", sample["image"].tobytes()).packed
    np.testing.assert_array_equal(near["images"][0], sample["image"])
    assert near["labels"][0] == sample["label"] == 3
    excited = client.ask("api/excite", layer="relu1", channel=0).packed
    assert len(excited["labels"]) == len(excited["values"]) == len(excited["patches"])


def test_a_run_is_started_watched_and_looked_at(client: Client) -> None:
    number = client.train(action="start", epochs=1).json["run"]
    version, report = "", None
    while report is None or report["state"] == "running":
        answer = client.ask("api/progress", version=version).json
        version = answer["version"]
        report = answer["runs"][-1] if "runs" in answer else report
    assert report["state"] == "done"
    assert "runs" not in client.ask("api/progress", version=version).json
    before = client.ask("api/predict", IMAGE, run=number, epoch=0).packed["probabilities"]
    after = client.ask("api/predict", IMAGE, run=number, epoch=1).packed["probabilities"]
    assert not np.allclose(before, after)
    assert client.ask("api/filters", run=number, epoch=1).packed["filters"].shape == (6, 2, 3, 2)
    assert client.ask("api/network", run=number).json["layers"]


@pytest.mark.parametrize(
    ("path", "body", "query", "status", "message"),
    [
        ("api/value", IMAGE, {"layer": "conv7", "place": "0,0,0"}, 404, "layer is 'conv7'"),
        ("api/value", IMAGE, {"layer": "conv1", "place": "0,x,0"}, 400, "place is 'x'"),
        ("api/value", IMAGE, {"layer": "conv1", "place": "99,0,0"}, 404, "place is"),
        ("api/value", IMAGE, {"layer": "conv1", "place": "-1,0,0"}, 400, "place is '-1'"),
        ("api/plane", IMAGE, {"layer": "conv1", "channel": "9" * 400}, 400, "channel is"),
        ("api/look", IMAGE, {"layers": "a" * 3000}, 404, "layer is"),
        ("api/look", IMAGE, {"run": 99, "epoch": 0}, 404, "run is 99"),
        ("api/look", IMAGE, {"run": "x"}, 400, "run is 'x'"),
        ("api/attribute", IMAGE, {"class": 12, "kind": "cam"}, 404, "class is 12"),
        ("api/attribute", IMAGE, {"class": 1, "kind": "x"}, 404, "kind is 'x'"),
        ("api/look", IMAGE[:-1], {}, 400, "no image of this size"),
        ("api/look", b"", {}, 400, "no image of this size"),
        ("api/look", IMAGE + b"x", {}, 413, "wanted at most 288"),
        ("api/predict", IMAGE * 65, {}, 413, "wanted at most"),
        ("api/predict", IMAGE + b"x", {}, 400, "no image of this size"),
        ("api/train", b"{", {}, 400, "no JSON"),
        ("api/train", b"[" * 4000, {}, 400, "no JSON"),
        ("api/train", b"[]", {}, 400, "no JSON object"),
        ("api/train", b"{}" + b" " * 5000, {}, 413, "wanted at most 4096"),
        ("api/train", b'{"action": "sing", "run": 1}', {}, 400, "action is 'sing'"),
        ("api/train", b'{"action": "pause", "run": "1"}', {}, 404, "run is '1'"),
        ("api/train", b'{"action": "start", "epochs": 0}', {}, 400, "epochs is 0"),
    ],
)
def test_bad_requests_are_told_why(
    client: Client, path: str, body: bytes, query: dict[str, object], status: int, message: str
) -> None:
    client.train(action="start", epochs=1)  # a run with the number 1 or later
    answer = client.ask(path, body, **query)
    assert (answer.status, message in answer.json["error"]) == (status, True), answer.body


def test_without_images_nothing_is_compared_or_trained() -> None:
    with serving(page(with_images=False)) as bare:
        assert bare.ask("api/network").json["data"] is None
        for answer in (
            bare.ask("api/sample", index=0),
            bare.ask("api/neighbours", IMAGE),
            bare.ask("api/excite", layer="conv1", channel=0),
        ):
            assert (answer.status, answer.json["error"]) == (404, "there are no images at hand")
        assert "no labelled images" in bare.train(action="start").json["error"]
        assert bare.ask("api/look", IMAGE).status == 200


def test_the_secret_in_the_address_is_needed(client: Client) -> None:
    secret = client.address.path.strip("/")
    assert len(secret) >= 20
    for prefix in ("/", f"/{secret[:-1]}/", f"/{secret}x/", f"/{secret.upper()}/", "/%C3%A9/"):
        answer = client.ask("api/network", prefix=prefix)
        assert answer.status == 403, prefix
        assert secret not in answer.body.decode()
    with serving(page(False)) as other:
        assert other.address.path != client.address.path


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:80"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Host": "evil.example@127.0.0.1.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_pages_are_refused(client: Client, headers: dict[str, str]) -> None:
    answer = client.ask("api/look", IMAGE, headers)
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_its_own_page_is_not_refused(client: Client) -> None:
    for host in (client.address.netloc, f"localhost:{client.address.port}", "[::1]:9"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert client.ask("api/look", IMAGE, headers).status == 200


def test_answers_may_not_be_kept_framed_or_guessed(client: Client) -> None:
    for path in ("", "main.js", "api/network", "nowhere"):
        headers = client.ask(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] is None


def test_it_listens_on_this_computer_alone() -> None:
    server = LiveServer(page(False))
    server.start()
    assert server._socket.getsockname()[0] == "127.0.0.1"
    server.stop()


def test_a_slow_sender_is_sent_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", client.address.port), timeout=30) as connection:
        head = f"POST {client.address.path}api/look HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(f"{head}Content-Length: 288\r\n\r\nabc".encode())
        assert b"408" in connection.recv(100)


def test_a_body_without_a_length_is_counted_while_it_comes(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.address.port), timeout=30) as connection:
        head = f"POST {client.address.path}api/look HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        connection.sendall(b"200\r\n" + b"x" * 512 + b"\r\n")
        assert b"413" in connection.recv(100)


def test_many_tabs_ask_at_once(client: Client) -> None:
    """Every one gets the answer to its own image, also while something trains."""
    client.train(action="start", epochs=200)
    pictures = images(12, 9)
    expected = client.ask("api/predict", pictures.tobytes()).packed["probabilities"]
    wrong: list[str] = []

    def tab(index: int) -> None:
        for _ in range(15):
            found = client.ask("api/look", pictures[index].tobytes(), layers="conv1", maps=2)
            if found.status != 200:
                wrong.append(f"{index}: {found.status}")
            elif not np.allclose(found.packed["probabilities"], expected[index], rtol=1e-3):
                wrong.append(f"{index}: the answer to another image")

    tabs = [threading.Thread(target=tab, args=(index,)) for index in range(len(pictures))]
    for each in tabs:
        each.start()
    for each in tabs:
        each.join()
    assert wrong == []


def test_epochs_of_a_run_are_not_mixed_up_by_many_tabs(client: Client) -> None:
    number = client.train(action="start", epochs=3, rate=0.05).json["run"]
    while client.ask("api/progress").json["runs"][-1]["state"] == "running":
        pass
    ask = [
        lambda epoch=epoch: client.ask("api/predict", IMAGE, run=number, epoch=epoch).body
        for epoch in range(4)
    ]
    expected = [each() for each in ask]
    assert len(set(expected)) == 4
    found: list[list[bytes]] = [[] for _ in ask]

    def tab(epoch: int) -> None:
        found[epoch] = [ask[epoch]() for _ in range(10)]

    tabs = [threading.Thread(target=tab, args=(epoch,)) for epoch in range(4)]
    for each in tabs:
        each.start()
    for each in tabs:
        each.join()
    assert [set(answers) for answers in found] == [{answer} for answer in expected]


def test_stopping_ends_what_trains() -> None:
    shown = page()
    with serving(shown) as own:
        own.train(action="start", epochs=200)
    assert shown.workshop.report()[0]["state"] == "stopped"
    assert json.dumps(shown.workshop.report())
