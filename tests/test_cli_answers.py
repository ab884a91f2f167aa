"""What predict and evaluate tell: JSON, doubtful images, the confusion, many images in parts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from command_line import (
    assert_same_bits,
    few_digits,  # noqa: F401  # a fixture of every test here
    no_pictures,  # noqa: F401
    one_error,
    run,
    scale,
    train,
    write_folder,
)
from pocketcnn import functional as F
from pocketcnn.commands import inputs, sources
from pocketcnn.commands.inputs import read_parts
from pocketcnn.commands.recipe import balanced


@pytest.fixture
def net() -> pc.ConvNet:
    """A model of the digits, not trained, as `m.safetensors`."""
    net = pc.models.simple_convnet(seed=3)
    net.save("m.safetensors")
    return net


def answers(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predictions_as_json(net: pc.ConvNet, capsys: pytest.CaptureFixture[str]) -> None:
    x = inputs.data.digits()[1][0]
    np.save("猫\n.npy", x[:2])
    words = ("digits:5", "gone.png", "猫\n.npy", "digits:6", "--top", "3")
    assert run("predict", "m.safetensors", *words, "--json") == 1
    out, err = capsys.readouterr()
    assert out.isascii()
    assert len(err.splitlines()) == 1
    found = [json.loads(line) for line in out.splitlines()]
    names = ["digits:5", "gone.png", "猫\n.npy[0]", "猫\n.npy[1]", "digits:6"]
    assert [one["image"] for one in found] == names
    assert found[1] == {"image": "gone.png", "error": "gone.png does not exist"}
    del found[1]
    rows = F.softmax(net.predict(scale(x[[5, 0, 1, 6]])).astype(np.float64))
    for one, row in zip(found, rows, strict=True):
        best = np.argsort(-row)[:3]
        assert one["class"] == str(best[0])
        assert one["probability"] == one["top"][0]["probability"]
        assert [each["class"] for each in one["top"]] == [str(k) for k in best]
        told = [each["probability"] for each in one["top"]]
        np.testing.assert_allclose(told, row[best], rtol=1e-5)


def test_arrays_are_read_in_parts(
    net: pc.ConvNet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(0).integers(0, 255, (150, 1, 28, 28), np.uint8)
    np.save("a.npy", x)
    parts = list(read_parts("a.npy", net, invert=True, at_most=64))
    assert [len(part) for part, _ in parts] == [64, 64, 22]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), 1 - scale(x))
    sizes: list[int] = []
    predict = net.predict

    def watch(_self: pc.ConvNet, x: np.ndarray, **_: Any) -> np.ndarray:
        sizes.append(len(x))
        return predict(x)

    monkeypatch.setattr(pc.ConvNet, "predict", watch)
    monkeypatch.setattr("pocketcnn.commands.predicting._BYTES_TOGETHER", 4 * 28 * 28 * 40)
    assert run("predict", "m.safetensors", "a.npy", "digits:0") == 0
    assert sizes == [40, 40, 40, 31]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*(f"a.npy[{k}]" for k in range(150)), "digits:0"]


def test_scores_that_are_not_finite_are_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    net = pc.models.simple_convnet()
    net.params["fc2.bias"][...] = np.nan
    net.save("nan.safetensors")
    for words in ("predict nan.safetensors digits:0 --json", "evaluate nan.safetensors --json"):
        assert run(*words.split()) == 1
        assert "nan.safetensors gives scores that are not finite" in one_error(capsys)


def test_an_evaluation_as_json(net: pc.ConvNet, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "m.safetensors", "--json", "--doubtful", "4", "--pictures") == 0
    (found,) = answers(capsys)
    x, t = inputs.data.digits()[1]
    scores = net.predict(scale(x))
    assert found["accuracy"] == net.accuracy(scale(x), t)
    assert found["images"] == 80
    assert found["confusion"] == pc.inspection.confusion_matrix(scores, t).tolist()
    rows = F.softmax(scores.astype(np.float64))
    of_truth = rows[np.arange(len(t)), t]
    doubtful = np.argsort(of_truth)[:4]
    assert [one["image"] for one in found["doubtful"]] == [f"digits:{k}" for k in doubtful]
    for one, k in zip(found["doubtful"], doubtful, strict=True):
        assert (one["truth"], one["guess"]) == (str(t[k]), str(rows[k].argmax()))
        assert one["probability"] == pytest.approx(rows[k].max(), rel=1e-5)
        assert one["probability_of_truth"] == pytest.approx(of_truth[k], rel=1e-5)
    assert Path("misclassified.png").stat().st_size > 1000


@pytest.mark.usefixtures("no_pictures")
def test_doubtful_images_are_named_by_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(Path("photos"), 10, ("猫", "light"))
    Path("photos/猫/0.png").rename("photos/light/wrong.png")
    train("run", "--data", "photos", "--size", "16", "--epochs", "12", "--batch-size", "4")
    capsys.readouterr()
    shutil.copytree("photos", "new")  # of photos itself, the images that were held out are measured
    assert run("evaluate", "run", "--data", "new", "--doubtful", "1", "--confusion") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].endswith("new/light/wrong.png")
    assert lines[-1].split()[0] == "light"
    head = next(line for line in lines if line.endswith("guess"))
    at = lines.index(head)
    cells = [word for line in lines[at + 1 : at + 3] for word in line.split()[-2:]]
    assert sum(int(cell) for cell in cells if cell != ".") == 20


@pytest.mark.usefixtures("no_pictures")
def test_a_folder_is_trained_on_alike_in_memory_and_from_its_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_folder(Path("photos"), 10)
    options = ("--data", "photos", "--size", "16", "--batch-size", "4", "--limit", "15")
    train("memory", *options, "--augment", "flip")
    monkeypatch.setattr(sources, "_IN_MEMORY", 0)
    train("files", *options, "--augment", "flip")
    assert_same_bits("memory", "files")
    assert run("train", "--resume", "files", "--epochs", "2", "--quiet") == 0
    assert run("evaluate", "files") == 0


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.usefixtures("no_pictures")
def test_damaged_files_end_a_run_or_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(Path("photos"), 6)
    Path("photos/dark/0.png").write_bytes(b"\x89PNG no picture")
    options = ("--data", "photos", "--size", "16", "--epochs", "1", "--holdout", "0.4", "--quiet")
    assert run("train", *options, "--out", "no") == 1
    assert "photos/dark/0.png" in one_error(capsys)
    assert run("train", *options, "--out", "run", "--on-error", "skip") == 0
    error = one_error(capsys)
    assert "skipped 1 of 12 files" in error
    assert "photos/dark/0.png" in error
    assert run("train", "--on-error", "skip", "--epochs", "1") == 2
    assert "resize and on-error are for folders of images" in one_error(capsys)


@pytest.mark.usefixtures("no_pictures")
def test_ways_of_training_are_options_and_resume_to_the_same_bits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = (
        *("--limit", "120", "--batch-size", "20", "--metrics", "top3, f1", "--accumulate", "2"),
        *("--clip-norm", "0.5", "--ema", "0.9", "--class-weight", "balanced"),
        *("--checkpoint-every", "2", "--augment", "mixup,shift"),
    )
    train("parts", *options)
    train("whole", *options, "--epochs", "2")
    assert run("train", "--resume", "parts", "--epochs", "2", "--quiet") == 0
    assert_same_bits("parts", "whole")
    head = Path("whole/history.csv").read_text().splitlines()[0].split(",")
    assert {"top3", "f1", "val_top3", "val_f1"} <= set(head)
    capsys.readouterr()
    assert run("train", "--metrics", "top3,beauty", "--epochs", "1", "--out", "no") == 1
    assert "beauty" in one_error(capsys)


def test_balanced_weights_let_all_classes_count_alike() -> None:
    labels = np.repeat([0, 1, 3], [60, 30, 10])
    weights = np.array(balanced(labels, 4))
    counts = np.bincount(labels, minlength=4)
    np.testing.assert_allclose((weights * counts)[[0, 1, 3]], 100 / 3)
    assert weights[labels].mean() == pytest.approx(1)
