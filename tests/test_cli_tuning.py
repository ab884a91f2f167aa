"""Models that go on: in another folder, without their run, and as the beginning of another run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pocketcnn as pc
from command_line import (
    assert_same_bits,
    few_digits,  # noqa: F401  # a fixture of every test here
    no_pictures,  # noqa: F401
    one_error,
    run,
    train,
    write_folder,
)
from pocketcnn import functional as F
from pocketcnn.commands.inputs import read_input


def write_wide(root: Path) -> Path:
    """Pictures whose middle is of another brightness than their sides."""
    rng = np.random.default_rng(1)
    for name, low in (("dark", 0), ("light", 150)):
        (root / name).mkdir(parents=True)
        for index in range(10):
            pixels = rng.integers(0, 255, (16, 40, 3), dtype=np.uint8)
            pixels[:, 12:28] = rng.integers(low, low + 100, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> list[Any]:
    assert run(*words, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("rule", ["stretch", "crop", "pad"])
def test_a_lone_model_file_answers_as_in_its_run(
    rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wide(Path("photos"))
    shutil.copytree("photos", "new")
    train("run", "--data", "photos", "--size", "16", "--resize", rule, "--epochs", "2")
    Path("alone").mkdir()
    shutil.copy("run/model.safetensors", "alone/m.safetensors")
    capsys.readouterr()
    files = ("new/dark/1.png", "new/light")
    found = answer(capsys, "predict", "run", *files, "--top", "2")
    assert found == answer(capsys, "predict", "alone/m.safetensors", *files, "--top", "2")
    assert {one["class"] for one in found[0]["top"]} == {"dark", "light"}
    words = ("--data", "new", "--doubtful", "3")
    (whole,) = answer(capsys, "evaluate", "run", *words)
    (lone,) = answer(capsys, "evaluate", "alone/m.safetensors", *words)
    assert {**whole, "model": ""} == {**lone, "model": ""}
    for command, picture in (("features", "features.png"), ("saliency", "saliency.png")):
        for model in ("run", "alone/m.safetensors"):
            assert run(command, model, "new/light/2.png") == 0
        with Image.open(f"run/{picture}") as one, Image.open(f"alone/{picture}") as other:
            assert one.tobytes() == other.tobytes()
    # The middle alone is what a cropped picture is.
    x, _ = read_input("new/dark/1.png", pc.load("run/model.safetensors"), invert=False)
    with Image.open("new/dark/1.png") as picture:
        middle = np.asarray(picture)[:, 12:28].transpose(2, 0, 1) / np.float32(255)
    assert np.array_equal(x[0], middle) == (rule == "crop")


def test_pixels_are_scaled_as_the_model_says(capsys: pytest.CaptureFixture[str]) -> None:
    layers = [("norm", pc.Normalize([100.0], [50.0])), ("flat", pc.Flatten())]
    net = pc.ConvNet([*layers, ("out", pc.Linear(784, 3))], input_shape=(1, 28, 28))
    net.preprocessing = pc.Preprocessing(scale="raw")
    net.save("m.safetensors")
    x = pc.data.digits()[1][0][:1]
    row = F.softmax(net.predict(x.astype(np.float32)).astype(np.float64))[0]
    np.save("wide.npy", x.astype(np.uint16) * 257)
    for name in ("digits:0", "wide.npy"):
        (found,) = answer(capsys, "predict", "m.safetensors", name)
        assert found["probability"] == pytest.approx(row.max(), rel=1e-5)
    inverted, _ = read_input("digits:0", net, invert=True)
    np.testing.assert_array_equal(inverted, 255 - x.astype(np.float32))


@pytest.mark.usefixtures("no_pictures")
def test_a_run_goes_on_from_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    train("base", "--limit", "60")
    write_folder(Path("photos"), 10)
    options = ("--from", "base", "--data", "photos", "--freeze", "conv1, fc1", "--batch-size", "4")
    capsys.readouterr()
    assert run("train", *options, "--epochs", "2", "--out", "whole") == 0
    assert "base on photos: 18 training and 2 validation images" in capsys.readouterr().out
    base, tuned = (pc.load(f"{name}/model.safetensors").params for name in ("base", "whole"))
    for name, array in base.items():
        same = array.tobytes() == tuned[name].tobytes()
        assert same == name.startswith(("conv1", "fc1")), name
    assert tuned["fc2.bias"].shape == (2,)
    assert pc.load("whole/model.safetensors").classes == ["dark", "light"]
    train("parts", *options)
    assert run("train", "--resume", "parts", "--epochs", "2", "--quiet") == 0
    assert_same_bits("whole", "parts")
    assert run("train", "--config", "whole/run.toml", "--out", "again", "--quiet") == 0
    assert_same_bits("whole", "again")
    # All but the new last layer; and a name that there is not.
    train("head", *options[:4], "--freeze", "*", "--batch-size", "4")
    assert pc.load("head/model.safetensors").params["fc1.bias"].tobytes() == (
        base["fc1.bias"].tobytes()
    )
    capsys.readouterr()
    assert run("train", "--from", "base", "--freeze", "conv9", "--out", "no") == 1
    assert "conv9" in one_error(capsys)


@pytest.mark.usefixtures("no_pictures")
def test_frozen_first_layers_are_computed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """As if they were in every step, but for rounding."""
    base = pc.models.simple_convnet(seed=3)
    base.save("base.safetensors")
    write_folder(Path("photos"), 10)
    words = ("--from", "base.safetensors", "--data", "photos", "--batch-size", "4")
    begun = (*words, "--optimizer", "sgd", "--lr", "0.01")
    for frozen in ("*", "conv1"):  # maps of conv1 take more memory than the pictures
        assert run("train", *begun, "--freeze", frozen, "--epochs", "3", "--out", frozen[0]) == 0
        told = " (computed once, up to relu2)"
        assert (told in capsys.readouterr().out) == (frozen == "*")
    whole = pc.load("base.safetensors")
    whole.freeze("*")
    whole.replace_head(2)
    photos = pc.data.ImageFolder("photos", size=28, channels=1)
    training, _ = pc.data.split(photos, 0.1, seed=0)
    x, t = training.batch(np.arange(len(training)))
    trainer = pc.Trainer(whole, pc.optim.SGD(0.01, momentum=0.9), batch_size=4, seed=0)
    trainer.fit(x / np.float32(255), t, epochs=3)
    found = pc.load("*/model.safetensors").params
    for name, array in whole.params.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.usefixtures("no_pictures")
def test_a_model_that_knows_the_classes_keeps_its_last_layer() -> None:
    train("base", "--limit", "60")
    train("same", "--limit", "60", "--from", "base/model.safetensors", "--lr", "0")
    assert_same_bits("base", "same")


@pytest.mark.usefixtures("no_pictures")
def test_images_that_the_model_does_not_take(capsys: pytest.CaptureFixture[str]) -> None:
    pc.models.lenet5(input_shape=(3, 32, 32)).save("m.safetensors")
    assert run("train", "--from", "m.safetensors", "--out", "no") == 1
    assert "digits has images (1, 28, 28), but" in one_error(capsys)
    assert run("train", "--from", "nowhere", "--out", "no") == 1
    assert "there is no model 'nowhere'" in one_error(capsys)
