"""What the tests of the command line share: how it is called, and a folder of images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pocketcnn as pc
from pocketcnn import cli
from pocketcnn.commands import inputs

RUN = "runs/simple_convnet-digits-1"


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in an empty folder, with few enough digits for a test."""
    monkeypatch.chdir(tmp_path)
    (x, t), (x_test, t_test) = pc.data.digits()
    small = (x[:300], t[:300]), (x_test[:80], t_test[:80])
    monkeypatch.setattr(inputs.data, "digits", lambda: small)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training on so few digits."""
    monkeypatch.setattr("pocketcnn.commands.train._draw", lambda *_: [])


def scale(images: np.ndarray) -> np.ndarray:
    """As the command line scales pixels."""
    return np.divide(images, 255, dtype=np.float32)


def run(*arguments: str) -> int:
    return cli.main(arguments)


def train(folder: str, *arguments: str) -> None:
    assert run("train", "--epochs", "1", "--quiet", "--out", folder, *arguments) == 0


def run_in_process(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """As a user would, with all of the digits."""
    command = [sys.executable, "-m", "pocketcnn", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def assert_same_bits(one: str, other: str) -> None:
    arrays = [pc.load(Path(folder, "model.safetensors")).params for folder in (one, other)]
    for name, array in arrays[0].items():
        assert array.tobytes() == arrays[1][name].tobytes(), name


def write_folder(
    root: Path, per_class: int = 10, classes: tuple[str, str] = ("dark", "light")
) -> Path:
    """An image folder of two classes that differ in brightness."""
    rng = np.random.default_rng(0)
    for name, low in zip(classes, (0, 150), strict=True):
        (root / name).mkdir(parents=True)
        for index in range(per_class):
            pixels = rng.integers(low, low + 100, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The single line on standard error."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pocketcnn")
    assert "Traceback" not in line
    return line
