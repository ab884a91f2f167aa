"""`pocketcnn live` on the command line: what it opens, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import pocketcnn as pc
from command_line import few_digits, no_pictures, one_error, run, train, write_folder
from live_server import Client
from pocketcnn.commands import live

__all__ = ["few_digits", "no_pictures"]


@contextmanager
def living(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """The command as a user starts it, and a client of the address that it prints."""
    command = [sys.executable, "-m", "pocketcnn", "live", "--no-browser", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background, these tests perhaps, ignores Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stdout is not None
            yield process, Client(process.stdout.readline().split()[0])
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code", "last"),
    [(signal.SIGINT, 0, "stopped"), (signal.SIGTERM, 143, "pocketcnn: terminated")],
)
def test_it_serves_until_it_is_interrupted_and_says_one_line(
    number: signal.Signals, code: int, last: str
) -> None:
    with living() as (process, client):
        assert b"<title>pocketcnn live</title>" in client.ask("").body
        assert client.ask("api/network").json["title"] == "deep_convnet"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (code, "", f"{last}\n")
        with pytest.raises(OSError, match="refused"):
            client.ask("")


def test_a_port_may_be_chosen_and_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert run("live", "--no-browser", "--port", str(number)) == 1
    assert one_error(capsys) == f"pocketcnn: port {number}: Address already in use"
    with living("--port", str(number)) as (_, client):
        assert client.address.port == number


@pytest.mark.parametrize("port", ["-1", "65536", "x", "80.5"])
def test_what_is_no_port_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("live", "--port", port) == 2
    assert "argument --port" in one_error(capsys)


@pytest.mark.parametrize("model", ["nowhere", "nowhere.onnx"])
def test_a_model_that_is_not_there_is_one_line(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("live", "--no-browser", model) == 1
    assert "there is no model" in one_error(capsys)


def test_a_network_that_takes_no_images_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    net = pc.ConvNet([("fc", pc.Linear(3, 2))], input_shape=(3,))
    net.save("numbers.safetensors")
    assert run("live", "--no-browser", "numbers.safetensors") == 1
    assert "wanted images (C, H, W)" in one_error(capsys)


def test_without_the_extra_the_message_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("pocketcnn.live.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run("live", "--no-browser") == 1
    assert "pip install starlette uvicorn (pocketcnn's extra `live`)" in one_error(capsys)


@pytest.mark.usefixtures("no_pictures")
def test_a_run_brings_its_data_and_classes() -> None:
    write_folder(Path("photos"))
    train("run", "--data", "photos", "--size", "20", "--channels", "1")
    made = live.make_page("run")
    told = made.describe()
    assert told["title"] == "run"
    assert told["classes"] == ["dark", "light"]
    assert made.collection is not None
    assert told["data"]["training"] + told["data"]["test"] == 20
    assert set(made.collection.t.tolist()) == {0, 1}
    bright = made.collection.x.mean(axis=(1, 2, 3)) > 125
    np.testing.assert_array_equal(bright, made.collection.t == 1)


@pytest.mark.usefixtures("no_pictures")
def test_a_run_whose_data_are_gone_is_shown_without_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_folder(Path("photos"))
    train("run", "--data", "photos", "--size", "20", "--channels", "1")
    folder.rename("elsewhere")
    capsys.readouterr()
    assert live.make_page("run").collection is None
    assert "the page has no images to train on" in one_error(capsys)


def test_a_model_that_knows_ten_digits_gets_the_built_in_ones() -> None:
    pc.models.lenet5().save("digits.safetensors")
    named = pc.models.lenet5()
    named.classes = [f"class {index}" for index in range(10)]
    named.save("others.safetensors")
    assert live.make_page("digits.safetensors").collection is not None
    assert live.make_page("others.safetensors").collection is None


def test_a_large_data_set_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_TRAINING", 50)
    pc.models.lenet5().save("digits.safetensors")
    x = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1)
    part = live.Part(pc.data.Arrays(x, np.arange(200)), np.arange(200), (1, 1, 1))
    images, labels = live._some(part, 50)
    assert len(images) == 50
    np.testing.assert_array_equal(images.ravel(), labels)
    assert len(live._some(part, 500)[0]) == 200
