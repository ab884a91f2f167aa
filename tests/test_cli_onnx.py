"""Export and import on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import pocketcnn as pc
from command_line import (
    RUN,
    few_digits,  # noqa: F401  # a fixture of every test here
    one_error,
    run,
    train,
    write_folder,
)


def test_export_takes_the_classes_along(capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(Path("photos"))
    train(RUN, "--data", "photos", "--size", "16")
    capsys.readouterr()
    assert run("export", RUN, "photos.onnx", "--opset", "20") == 0
    assert capsys.readouterr().out == "photos.onnx: opset 20, (N, 3, 16, 16) to (N, 2)\n"
    model = onnx.load("photos.onnx")
    assert model.opset_import[0].version == 20
    written = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert written == {
        "classes": ["dark", "light"],
        "preprocessing": {"scale": "unit", "resize": "stretch"},
    }
    x = np.random.default_rng(0).random((3, 3, 16, 16), np.float32)
    (y,) = ReferenceEvaluator(model).run(None, {"input": x})
    expected = pc.load(f"{RUN}/model.safetensors").predict(x)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_onnx_files_are_models_of_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(Path("photos"))
    train(RUN, "--data", "photos", "--size", "16")
    assert run("export", RUN, "photos.onnx") == 0
    pictures = [str(folder / "dark" / "1.png"), str(folder / "light" / "2.png")]
    told = []
    for model in (RUN, "photos.onnx"):
        capsys.readouterr()
        assert run("predict", model, *pictures) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "light" in told[0]
    assert run("evaluate", "photos.onnx", "--data", "photos") == 0
    assert run("features", "photos.onnx", pictures[0], "--out", "features.png") == 0
    assert run("saliency", "photos.onnx", pictures[0], "--out", "saliency.png") == 0
    assert run("info", "photos.onnx") == 0
    assert "classes: dark, light" in capsys.readouterr().out


def test_info_shows_a_graph(capsys: pytest.CaptureFixture[str]) -> None:
    pc.models.unet(input_shape=(1, 16, 16), depth=2, width=4).save("unet.safetensors")
    assert run("info", "unet.safetensors", "--picture", "unet.png") == 0
    told = capsys.readouterr().out
    assert "Concat" in told
    assert "takes " in told
    assert Path("unet.png").stat().st_size > 1000


def test_export_takes_what_is_no_classifier() -> None:
    pc.ConvNet([("conv", pc.Conv2d(1, 2, 3))], (1, 8, 8)).save("maps.safetensors")
    assert run("export", "maps.safetensors", "maps.onnx") == 0
    onnx.checker.check_model(onnx.load("maps.onnx"), full_check=True)
    assert not onnx.load("maps.onnx").metadata_props


def test_import_gives_the_options_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def load(path: str, **options: Any) -> pc.ConvNet:
        asked.update(options, path=path)
        return pc.models.lenet5()

    monkeypatch.setattr(pc.onnx, "load", load, raising=False)
    assert run("import", "a.onnx", "b.safetensors") == 0
    assert asked == {"path": "a.onnx", "input_shape": None, "output": None}
    out = capsys.readouterr().out
    assert "conv1" in out
    assert f"b.safetensors ({Path('b.safetensors').stat().st_size:,} bytes)" in out
    assert pc.load("b.safetensors").output_shape == (10,)
    words = ("--input-shape", "3,32,48", "--output", "scores")
    assert run("import", "a.onnx", "b.safetensors", *words) == 0
    assert asked == {"path": "a.onnx", "input_shape": (3, 32, 48), "output": "scores"}


def test_failures_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pc.models.lenet5().save("net.safetensors")
    assert run("export", "net.safetensors", "net.onnx", "--opset", "5") == 1
    assert "opset is 5, but must be 13 to " in one_error(capsys)
    assert run("export", "net.safetensors", "nowhere/net.onnx") == 1
    assert "nowhere/net.onnx: No such file or directory" in one_error(capsys)
    assert run("export", "nothing", "net.onnx") == 1
    assert "there is no model 'nothing'" in one_error(capsys)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run("export", "net.safetensors", "net.onnx") == 1
    assert "pip install pocketcnn[onnx]" in one_error(capsys)
    assert not Path("net.onnx").exists()
