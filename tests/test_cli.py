"""The command line: what it writes, what it prints, and how it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketcnn as pc
from command_line import (
    RUN,
    assert_same_bits,
    few_digits,  # noqa: F401  # a fixture of every test here
    run,
    run_in_process,
    scale,
    write_folder,
)
from pocketcnn.commands import inputs
from pocketcnn.training.history import History

FILES = {
    *("model.safetensors", "checkpoint.safetensors", "run.json", "run.toml"),
    *("history.csv", "history.json", "curves.png", "filters.png"),
}
SPARE = {"checkpoint.1.safetensors"}  # of the epoch before


def assert_left(folder: str, files: set[str]) -> None:
    assert {file.name for file in Path(folder).iterdir()} - SPARE == files


def test_train_leaves_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--epochs", "2") == 0
    assert_left(RUN, FILES)
    out, err = capsys.readouterr()
    assert "conv1" in out  # the summary
    assert "300 training and 80 test images" in out
    assert "test accuracy" in out
    assert RUN in out
    table = out[out.index("epoch") :].splitlines()
    assert [line.split()[0] for line in table[:3]] == ["epoch", "1", "2"]
    assert err == ""
    history = History.from_json(f"{RUN}/history.json")
    assert len(history) == 2
    values = json.loads(Path(RUN, "run.json").read_text())
    assert values["options"]["epochs"] == 2
    net = pc.load(f"{RUN}/model.safetensors")
    (_, _), (x, t) = inputs.data.digits()
    assert net.accuracy(scale(x), t) == values["result"]["accuracy"]
    assert history[-1]["val_accuracy"] == values["result"]["accuracy"]


def test_runs_are_numbered_and_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run("train", "--epochs", "1", "--quiet") == 0
    runs = sorted(folder.name for folder in Path("runs").iterdir())
    assert runs == ["simple_convnet-digits-1", "simple_convnet-digits-2"]
    assert_same_bits(*(f"runs/{name}" for name in runs))  # the same seed
    capsys.readouterr()
    assert run("train", "--epochs", "1", "--out", RUN) == 1
    assert capsys.readouterr().err == f"pocketcnn: '{RUN}' exists already: " + (
        "a run is never overwritten\n"
    )


def test_quiet_prints_the_result_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--epochs", "1", "--quiet", "--out", "here") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert out.startswith("test accuracy")
    assert err == ""
    assert_left("here", FILES)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "adagrad", "rmsprop"])
def test_every_optimizer_learns_with_its_default_rate(optimizer: str) -> None:
    assert run("train", "--epochs", "5", "--quiet", "--optimizer", optimizer) == 0
    history = History.from_json(f"{RUN}/history.json")
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]


def test_resume_equals_an_uninterrupted_run(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--seed", "4", "--patience", "9", "--quiet")
    assert run("train", "--epochs", "3", "--out", "whole", *options) == 0
    assert run("train", "--epochs", "1", "--out", "parts", *options) == 0
    assert run("train", "--resume", "parts", "--epochs", "2") == 0
    assert run("train", "--resume", "parts", "--epochs", "3", "--quiet") == 0
    assert_same_bits("whole", "parts")
    capsys.readouterr()
    assert run("train", "--resume", "parts", "--lr", "1", "--model", "lenet5") == 2
    assert "leave out --model, --lr" in capsys.readouterr().err
    assert run("train", "--resume", "nowhere") == 1
    assert "not the folder of a run" in capsys.readouterr().err


def test_schedule_and_augmentation_resume_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (
        *("--epochs", "3", "--optimizer", "sgd", "--nesterov", "--schedule", "one_cycle"),
        *("--warmup", "0.5", "--augment", "shift:1,affine,cutout:4"),
    )
    assert run("train", "--out", "whole", *options) == 0
    assert "learning rate 0.05 (one_cycle)" in capsys.readouterr().out

    def interrupt(_self: object, trainer: pc.Trainer, _record: object) -> None:
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pc.ProgressBar, "on_epoch_end", interrupt)
        assert run("train", "--out", "parts", *options) == 130
    assert run("train", "--resume", "parts", "--quiet") == 0
    assert_same_bits("whole", "parts")
    rates = History.from_json("parts/history.json").column("learning_rate")
    assert rates == pytest.approx([0.005, 0.035, 0.1 / 3])


def test_choosing_settings_leaves_the_test_images_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--epochs", "1", "--validate", "--holdout", "0.2")
    assert run("train", *options) == 0
    assert "240 training and 60 validation images" in capsys.readouterr().out
    write_folder(Path("photos"))  # without test images of its own
    assert run("train", "--data", "photos", *options) == 0
    assert "16 training and 4 validation images" in capsys.readouterr().out
    assert run("train", *options, "--limit", "100") == 0
    assert "100 training and 60 validation images" in capsys.readouterr().out
    assert run("train", "--epochs", "1", "--limit", "999") == 0
    assert "300 training and 80 test images" in capsys.readouterr().out


def test_training_without_matplotlib(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run("train", "--epochs", "1", "--quiet") == 0
    assert_left(RUN, FILES - {"curves.png", "filters.png"})
    out, err = capsys.readouterr()
    assert out.startswith("test accuracy")
    assert err.startswith(
        "pocketcnn: no pictures: pictures need Matplotlib: pip install matplotlib"
    )


def test_a_folder_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(Path("photos"))
    arguments = ("--data", str(folder), "--size", "16", "--epochs", "4")
    assert run("train", *arguments, "--batch-size", "4", "--out", "run") == 0
    assert "18 training and 2 validation images, 2 classes" in capsys.readouterr().out
    values = json.loads(Path("run/run.json").read_text())
    assert values["classes"] == ["dark", "light"]
    assert run("predict", "run", str(folder / "light" / "3.png"), "--top", "2") == 0
    words = capsys.readouterr().out.split()
    assert words[1] == "light"
    assert words[3] == "dark"
    assert run("predict", "run", str(folder / "light" / "3.png"), "--invert") == 0
    assert "dark" in capsys.readouterr().out
    assert run("evaluate", "run", "--data", str(folder)) == 0
    assert "dark" in capsys.readouterr().out


def test_a_folder_with_train_and_test(capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(Path("photos/train"))
    write_folder(Path("photos/val"), per_class=3)
    assert run("train", "--data", "photos", "--epochs", "1") == 0
    assert "20 training and 6 test images" in capsys.readouterr().out
    Path("photos/val/light").rename("photos/val/bright")
    assert run("train", "--data", "photos", "--epochs", "1") == 1
    assert "differ in their classes: ['bright', 'light']" in capsys.readouterr().err


@pytest.fixture
def model() -> pc.ConvNet:
    """A model file without a run, not trained."""
    net = pc.models.simple_convnet(seed=3)
    net.save("m.safetensors")
    return net


def test_predict(model: pc.ConvNet, capsys: pytest.CaptureFixture[str]) -> None:
    x = inputs.data.digits()[1][0][:3]
    np.save("whole.npy", x)
    np.save("floats.npy", x[1, 0] / 255.0)
    Image.fromarray(x[2, 0]).save("two.png")
    assert run("predict", "m.safetensors", "whole.npy", "floats.npy", "two.png", "digits:0") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [
        *("whole.npy[0]", "whole.npy[1]", "whole.npy[2]", "floats.npy", "two.png", "digits:0")
    ]
    wanted = model.predict(scale(x)).argmax(axis=1).astype(str).tolist()
    assert [line[1] for line in lines] == [*wanted, wanted[1], wanted[2], wanted[0]]
    assert [line[2] for line in lines[:3]] == [lines[5][2], lines[3][2], lines[4][2]]


def test_evaluate(model: pc.ConvNet, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "m.safetensors") == 0
    x, t = inputs.data.digits()[1]
    out = capsys.readouterr().out
    assert f"accuracy {model.accuracy(scale(x), t):.2%}" in out
    assert len(out.splitlines()) == 2 + 1 + 11


@pytest.mark.usefixtures("model")
def test_pictures_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("filters", "m.safetensors") == 0
    assert run("features", "m.safetensors", "digits:3", "--layers", "conv1,pool1") == 0
    assert run("features", "m.safetensors", "digits:3", "--out", "x.svg", "--maps", "3") == 0
    assert capsys.readouterr().out.split() == ["filters-conv1.png", "features.png", "x.svg"]
    for name in ("filters-conv1.png", "features.png"):
        with Image.open(name) as picture:
            assert picture.width > 300
    assert run("filters", "m.safetensors", "--layer", "fc1") == 1
    assert "has no filters; those that do: conv1" in capsys.readouterr().err


@pytest.mark.usefixtures("model")
def test_a_look_inside(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("saliency", "m.safetensors", "digits:3", "digits:4") == 0
    assert run("saliency", "m.safetensors", "digits:3", "--class", "8", "--layer", "pool1") == 0
    assert run("patches", "m.safetensors") == 0
    assert run("patches", "m.safetensors", "--layer", "pool1", "--out", "patches.svg") == 0
    assert run("info", "m.safetensors", "--picture", "net.png") == 0
    assert run("evaluate", "m.safetensors", "--pictures") == 0
    out = capsys.readouterr().out
    for name in (
        *("saliency.png", "patches-relu1.png", "patches.svg"),
        *("net.png", "confusion.png", "misclassified.png"),
    ):
        assert Path(name).stat().st_size > 1000
        assert name in out.split()


@pytest.mark.usefixtures("model")
def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info") == 0
    assert capsys.readouterr().out.strip()
    assert run("info", "m.safetensors") == 0
    assert "conv1" in capsys.readouterr().out


def test_bench(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "--batch-size", "2", "--repeat", "2", "--threads", "1") == 0
    out = capsys.readouterr().out
    assert "1 thread" in out
    assert "training step" in out


@pytest.mark.parametrize(
    "command",
    ["", "train", "predict", "evaluate", "filters", "features", "patches", "saliency", "info"],
)
def test_help_is_0(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command.split(), "--help") == 0
    assert "usage: pocketcnn" in capsys.readouterr().out


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--data", "nowhere"), "neither digits, mnist nor a folder"),
        (("train", "--model", "vgg16"), "vgg16 does not take images (1, 28, 28): layer"),
        (("train", "--lr", "1e30", "--optimizer", "sgd"), "smaller learning rate"),
        (("predict", "nowhere", "digits:0"), "there is no model 'nowhere'"),
        (("predict", "m.safetensors", "digits:80"), "wanted a number from 0 to 79"),
        (("predict", "m.safetensors", "nowhere.png"), "nowhere.png"),
        (("predict", "m.safetensors", "nowhere.npy"), "nowhere.npy: No such file"),
        (("predict", "text.npy", "digits:0"), "text.npy"),
        (("predict", "m.safetensors", "text.npy"), "text.npy is not an array file"),
        (("evaluate", "m.safetensors", "--data", "."), "has no subfolders"),
        (("saliency", "m.safetensors", "digits:0", "--class", "cat"), "class 'cat' is not one"),
        (("saliency", "m.safetensors", "digits:0", "--layer", "fc1"), "layer 'fc1' has no maps"),
        (("patches", "m.safetensors", "--layer", "conv9"), "layer is 'conv9': wanted one of"),
    ],
)
def test_a_failure_is_1_and_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("text.npy").write_text("not an array")
    assert run(*arguments, *(["--quiet"] if arguments[0] == "train" else [])) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert err.startswith("pocketcnn: ")
    assert message in err


def test_a_process_of_its_own(tmp_path: Path) -> None:
    done = run_in_process("train", "--epochs", "1", "--threads", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    failed = run_in_process("predict", "nowhere", "digits:0", cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Traceback" not in failed.stderr
    assert run_in_process("--version").stdout == f"pocketcnn {pc.__version__}\n"


def test_a_reader_that_leaves_is_no_failure_worth_telling(tmp_path: Path) -> None:
    pc.models.simple_convnet().save(tmp_path / "m.safetensors")
    command = f"{sys.executable} -m pocketcnn info m.safetensors | true"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
