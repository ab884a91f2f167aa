"""How the commands read files and folders: arrays, classes, parts, unreadable files."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tokenize
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pocketcnn as pc
from command_line import (
    few_digits,  # noqa: F401  # a fixture of every test here
    no_pictures,  # noqa: F401
    one_error,
    run,
    train,
    write_folder,
)
from pocketcnn.commands import train as command
from pocketcnn.commands.datasets import load_dataset
from pocketcnn.commands.inputs import read_input

PHOTOS = ("--data", "photos", "--size", "16")


def small_net(shape: tuple[int, int, int] = (1, 4, 4)) -> pc.ConvNet:
    layers = [("flat", pc.Flatten()), ("out", pc.Linear(int(np.prod(shape)), 2))]
    return pc.ConvNet(layers, input_shape=shape)


# Arrays


@pytest.mark.parametrize(
    ("dtype", "white"),
    [("u1", 255), ("<u2", 65535), (">u2", 65535), ("i2", 255), ("i8", 255), ("u4", 255)],
)
def test_whole_numbers_are_scaled_by_what_their_type_holds(dtype: str, white: int) -> None:
    pixels = np.linspace(0, white, 16).round().astype(dtype).reshape(4, 4)
    np.save("a.npy", pixels)
    x, labels = read_input("a.npy", small_net(), invert=False)
    assert labels == ["a.npy"]
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[0, 0], pixels.astype(np.float64) / white, rtol=1e-6)
    inverted, _ = read_input("a.npy", small_net(), invert=True)
    np.testing.assert_allclose(inverted, 1 - x)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4), np.nan), "holds numbers that are not finite"),
        (np.full((4, 4), np.inf, np.float16), "holds numbers that are not finite"),
        (np.full((4, 4), 1e300), "holds numbers that are not finite"),
        (np.full((4, 4), -1), "holds -1 to -1: whole numbers are taken as 0 to 255"),
        (np.full((4, 4), 256, np.int32), "holds 256 to 256: whole numbers are taken as 0 to 255"),
        (np.zeros((4, 4), complex), "has dtype complex128"),
        (np.zeros((4, 4), bool), "has dtype bool"),
        (np.zeros((4, 4), "U1"), "has dtype <U1"),
        (np.zeros((4, 4), "M8[s]"), "has dtype datetime64[s]"),
        (np.zeros((0, 1, 4, 4)), "has shape (0, 1, 4, 4)"),
        (np.zeros((4, 5)), "has shape (1, 1, 4, 5)"),
        (np.zeros(()), "has shape ()"),
    ],
)
def test_arrays_that_are_no_images(
    array: np.ndarray, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small_net().save("m.safetensors")
    np.save("a.npy", array)
    assert run("predict", "m.safetensors", "a.npy") == 1
    assert f"a.npy {message}" in one_error(capsys)


def _damaged(kind: str) -> bytes:
    np.save("whole.npy", np.zeros((4, 4), np.uint8))
    np.savez("many.npz", np.zeros((4, 4)))
    npy, npz = Path("whole.npy").read_bytes(), Path("many.npz").read_bytes()
    return {
        "no array": b"hello",
        "empty": b"",
        "half": npy[:70],
        "cut pixels": npy[:-1],
        "open bracket": npy.replace(b"(4, 4)", b"(4, (4"),
        "odd token": npy.replace(b"'descr'", b"'descr\x00"),
        "huge": npy.replace(b"(4, 4), } ", b"(9**9, 4),"),
        "huge shape": npy.replace(b"(4, 4), }     ", b"(99999999, 4)}"),
        "objects": npy.replace(b"'|u1'", b"'|O' "),
        "archive": npz,
        "cut archive": npz[:-30],
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("no array", "empty", "half", "cut pixels", "open bracket", "odd token", "huge"),
        *("huge shape", "objects", "archive", "cut archive"),
    ],
)
def test_damaged_array_files(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    small_net().save("m.safetensors")
    Path("bad.npy").write_bytes(_damaged(kind))
    assert run("predict", "m.safetensors", "bad.npy") == 1
    assert "bad.npy is not an array file" in one_error(capsys)


def test_whatever_numpy_raises_is_told_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    np.save("a.npy", np.zeros((4, 4)))
    for error in (tokenize.TokenError("EOF in multi-line statement"), MemoryError(), SyntaxError()):

        def fail(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(np, "load", fail)
        with pytest.raises(ValueError, match=r"a\.npy is not an array file"):
            read_input("a.npy", small_net(), invert=False)


def test_every_changed_byte_of_an_array_file_is_an_image_or_a_value_error() -> None:
    seed = 5
    rng = np.random.default_rng(seed)
    np.save("a.npy", np.zeros((4, 4), np.uint8))
    whole, net = Path("a.npy").read_bytes(), small_net()
    for _ in range(400):
        changed = bytearray(whole)
        changed[rng.integers(128)] = rng.integers(256)
        Path("b.npy").write_bytes(changed)
        with contextlib.suppress(ValueError):  # nothing else
            x, _ = read_input("b.npy", net, invert=False)
            assert np.isfinite(x).all(), f"seed {seed}"


def test_a_pipe_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    small_net().save("m.safetensors")
    os.mkfifo("pipe.npy")
    assert run("predict", "m.safetensors", "pipe.npy") == 1
    assert one_error(capsys) == "pocketcnn: pipe.npy is not a file"


# Many images


def test_bad_images_do_not_end_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    small_net((3, 8, 8)).save("m.safetensors")
    folder = write_folder(Path("photos"), 2)
    Path("photos/light/0.png").write_bytes(b"\x89PNG no picture")
    Path("photos/notes.txt").write_text("no picture, and no picture's name")
    Path("empty").mkdir()
    assert run("predict", "m.safetensors", "gone.png", str(folder), "empty", "digits:999") == 1
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == [
        "photos/dark/0.png",
        "photos/dark/1.png",
        "photos/light/1.png",
    ]
    lines = err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("pocketcnn: ") for line in lines)
    for name in ("gone.png", "photos/light/0.png", "empty", "digits:999"):
        assert sum(name in line for line in lines) == 1


def test_a_folder_is_all_images_below_it_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    small_net((3, 8, 8)).save("m.safetensors")
    files = ["p/b.png", "p/a/deep/z.PNG", "p/a/y 1.jpg", "p/.hidden.png", "p/.git/x.png"]
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(file)
    assert run("predict", "m.safetensors", "p") == 0
    names = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["p/b.png", "p/a/y 1.jpg", "p/a/deep/z.PNG"]


def test_more_images_than_are_read_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    net = small_net()
    net.save("m.safetensors")
    x = np.random.default_rng(0).random((150, 1, 4, 4), dtype=np.float32)
    for index in range(150):
        np.save(f"{index}.npy", x[index])
    assert run("predict", "m.safetensors", *(f"{index}.npy" for index in range(150))) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [f"{index}.npy" for index in range(150)]
    assert [line[1] for line in lines] == net.predict(x).argmax(axis=1).astype(str).tolist()


# Folders of classes


def test_classes_may_be_called_like_parts() -> None:
    settings = {"size": 8, "channels": 1, "share": 0.5, "seed": 0}
    write_folder(Path("railway"), 2, ("plane", "train"))
    assert load_dataset("railway", **settings).classes == ["plane", "train"]
    write_folder(Path("both"), 2, ("test", "train"))
    assert load_dataset("both", **settings).classes == ["test", "train"]
    write_folder(Path("parts/training"), 2)
    write_folder(Path("parts/val"), 3)
    dataset = load_dataset("parts", **settings)
    assert (dataset.classes, dataset.test) == (["dark", "light"], "test")
    assert (len(dataset.training), len(dataset.measured)) == (4, 6)
    write_folder(Path("one/train"), 2)
    Path("one/notes").mkdir()
    dataset = load_dataset("one", **settings)
    assert (dataset.classes, dataset.test) == (["dark", "light"], "validation")


@pytest.mark.usefixtures("no_pictures")
def test_what_is_measured_depends_on_what_was_trained_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_folder(Path("photos"), 10)
    write_folder(Path("new"), 6)
    write_folder(Path("tests/test"), 4)
    train("run", *PHOTOS)
    capsys.readouterr()
    for arguments, title in [
        ((), "the 2 validation images of photos"),
        (("--data", "photos/../photos"), "the 2 validation images of photos"),
        (("--data", "new"), "all 12 images of new"),
        (("--data", "tests"), "the 8 test images of tests"),
        (("--data", "tests/test"), "all 8 images of test"),
    ]:
        assert run("evaluate", "run", *arguments) == 0
        assert f"run/model.safetensors on {title}\n" in capsys.readouterr().out
    assert run("train", "--data", "tests", "--epochs", "1") == 1
    assert "has 'test', but no images to train on" in one_error(capsys)
    for number in range(7):  # others are held out now
        shutil.copy("new/dark/0.png", f"photos/dark/{number}-more.png")
    assert run("evaluate", "run") == 0
    assert "photos is no longer as it was" in one_error(capsys)


@pytest.mark.usefixtures("no_pictures")
def test_classes_are_matched_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(Path("photos"), 10)
    train("run", *PHOTOS, "--epochs", "12", "--lr", "0.01", "--batch-size", "4")
    write_folder(Path("new"), 6)
    capsys.readouterr()

    def table(*arguments: str) -> list[list[str]]:
        assert run("evaluate", "run", "--data", "new", *arguments) == 0
        return [line.split() for line in capsys.readouterr().out.splitlines()[4:6]]

    dark, light = table()
    assert (dark[:2], light[:2]) == (["dark", "6"], ["light", "6"])
    wanted = (dark[2], light[2])
    # The model's order is its run's, not that of the alphabet.
    net = pc.load("run/model.safetensors")
    for name in ("out.weight", "out.bias"):
        key = next(key for key in reversed(net.params) if key.endswith(name.split(".")[1]))
        net.params[key][...] = net.params[key][::-1].copy()
    net.save("run/model.safetensors")
    values = json.loads(Path("run/run.json").read_text())
    values["classes"] = ["light", "dark"]
    Path("run/run.json").write_text(json.dumps(values))
    dark, light = table()
    assert (dark[0], light[0]) == ("dark", "light")
    assert (dark[2], light[2]) == wanted
    shutil.rmtree("new/dark")
    assert run("evaluate", "run", "--data", "new") == 0
    out = capsys.readouterr().out
    assert "all 6 images of new" in out
    assert f"accuracy {wanted[1].rstrip('%')}" in out
    assert out.endswith("1 of the 2 classes have no images here\n")
    Path("new/light").rename("new/Light")
    for words in ("evaluate run", "evaluate run --pictures", "patches run"):
        assert run(*words.split(), "--data", "new") == 1
        error = one_error(capsys)
        assert "data new has other classes than run/model.safetensors knows" in error
        assert "with 'Light'" in error


def test_images_that_do_not_fit_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    small_net((3, 8, 8)).save("m.safetensors")
    assert run("evaluate", "m.safetensors", "--data", "digits") == 1
    assert "has images (1, 28, 28), but m.safetensors takes (3, 8, 8)" in one_error(capsys)
    write_folder(Path("photos"), 2)
    Image.new("RGB", (9, 9)).save("photos/dark/9.png")
    assert run("train", "--data", "photos", "--epochs", "1") == 1
    assert "--size" in one_error(capsys)


# Other data sets


@pytest.mark.usefixtures("no_pictures")
def test_images_of_an_npz_file(capsys: pytest.CaptureFixture[str]) -> None:
    (x, t), (x_test, t_test) = pc.data.digits()
    np.savez("both.npz", x_train=x[:60], t_train=t[:60], x_test=x_test[:20], t_test=t_test[:20])
    assert run("train", "--data", "both.npz", "--epochs", "1", "--out", "both") == 0
    assert "simple_convnet on both.npz: 60 training and 20 test images" in capsys.readouterr().out
    assert run("evaluate", "both") == 0
    assert "on the 20 test images of both.npz" in capsys.readouterr().out
    np.savez("one.npz", images=x[:, 0], labels=t)
    assert run("train", "--data", "one.npz", "--epochs", "1", "--out", "one") == 0
    assert "270 training and 30 validation images" in capsys.readouterr().out
    assert run("evaluate", "both", "--data", "one.npz", "--doubtful", "1") == 0
    out = capsys.readouterr().out
    assert "on all 300 images of one.npz" in out
    assert re.search(r"one\.npz:\d+$", out)
    np.savez("floats.npz", x=x[:9] / 255, t=t[:9])
    np.savez("vectors.npz", x=x[:9], t=np.eye(10)[t[:9]])
    for name, message in (("floats", "wanted uint8"), ("vectors", "wanted labels")):
        assert run("train", "--data", f"{name}.npz", "--epochs", "1", "--out", "no") == 1
        assert f"{name}.npz has " in (error := one_error(capsys))
        assert message in error


@pytest.mark.usefixtures("no_pictures")
def test_a_rare_class_is_on_both_sides_of_the_split(capsys: pytest.CaptureFixture[str]) -> None:
    x, t = np.zeros((100, 1, 28, 28), np.uint8), np.repeat([0, 1], [96, 4])
    np.savez("rare.npz", x=x, t=t)
    for seed in range(5):
        train(f"run{seed}", "--data", "rare.npz", "--seed", str(seed))
        capsys.readouterr()
        assert run("evaluate", f"run{seed}") == 0
        assert re.search(r"^1 +1 ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.usefixtures("no_pictures")
def test_runs_of_earlier_versions_hold_out_what_they_held_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(Path("photos"), 10)
    options = {"share": 0.4, "seed": 0, "size": 16}
    old = load_dataset("photos", stratified=False, **options)
    order = np.random.default_rng(0).permutation(20)
    assert [str(file.name) for file in old.measured.files or []] == [
        f"{'0123456789'[place % 10]}.png" for place in sorted(order[:8])
    ]
    with monkeypatch.context() as patch:
        patch.setattr(command, "load_dataset", partial(load_old, load_dataset))
        train("run", *PHOTOS, "--holdout", "0.4", "--epochs", "1")
    assert "split" not in json.loads(Path("run/run.json").read_text())["data"]
    assert run("train", "--resume", "run", "--epochs", "2", "--quiet") == 0
    capsys.readouterr()
    assert run("evaluate", "run") == 0
    assert capsys.readouterr().err == ""


def load_old(load: Any, *words: Any, **settings: Any) -> Any:
    return load(*words, **{**settings, "stratified": False})
