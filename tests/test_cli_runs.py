"""The folder of a run: what survives which failure, and who may write."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pocketcnn as pc
from command_line import (
    RUN,
    assert_same_bits,
    few_digits,  # noqa: F401  # a fixture of every test here
    no_pictures,  # noqa: F401
    one_error,
    run,
    run_in_process,
    train,
    write_folder,
)
from pocketcnn.commands import console
from pocketcnn.commands import run as folders
from pocketcnn.commands import train as command
from pocketcnn.commands.run import Run
from pocketcnn.training.checkpoint import read_checkpoint
from pocketcnn.training.history import History

LIMIT = ("--limit", "50")


def names(folder: str) -> set[str]:
    return {file.name for file in Path(folder).iterdir()}


def read_json(folder: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = Path(folder, "run.json").read_text()
    values: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return values


def resume(folder: str, *arguments: str) -> int:
    return run("train", "--resume", folder, "--quiet", *arguments)


# What is lost, and what is not


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("damage", ["absent", "empty", "half", "other"])
def test_a_run_is_continued_without_its_run_json(
    damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*LIMIT, "--seed", "5", "--batch-size", "20")
    train("parts", *options)
    train("whole", *options, "--epochs", "2")
    file = Path("parts/run.json")
    text = file.read_text()
    if damage == "absent":
        file.unlink()
    else:
        file.write_text({"empty": "", "half": text[: len(text) // 2], "other": "[1]"}[damage])
    capsys.readouterr()
    assert resume("parts", "--epochs", "2") == 0
    err = capsys.readouterr().err
    if damage == "absent":
        assert err == ""
    else:
        assert "run.json is not valid" in err
        assert len(err.splitlines()) == 1
    assert_same_bits("parts", "whole")
    assert read_json("parts") == read_json("whole")


@pytest.mark.usefixtures("no_pictures")
def test_a_result_stays_until_there_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    train("run", *LIMIT)
    before = read_json("run")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "run/checkpoint.safetensors")

    with monkeypatch.context() as patch:
        patch.setattr(pc.Trainer, "fit", full)
        assert resume("run", "--epochs", "3") == 1
    after = read_json("run")
    assert before["result"] is not None
    assert after["result"] == before["result"]
    assert after["options"]["epochs"] == 3
    assert run("predict", "run", "digits:0") == 0
    assert resume("run") == 0  # continues with the last requested number of epochs
    assert read_json("run")["result"]["epochs"] == 3


@pytest.mark.usefixtures("no_pictures")
def test_run_json_is_not_touched_by_a_resume_that_cannot_write(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train("run", *LIMIT)
    before = Path("run/run.json").read_bytes()

    def full(_self: object, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        assert resume("run", "--epochs", "3") == 1
    assert one_error(capsys).endswith("run/run.json: No space left on device")
    assert Path("run/run.json").read_bytes() == before


@pytest.mark.usefixtures("no_pictures")
def test_a_run_that_died_before_its_first_epoch_begins_at_the_beginning() -> None:
    train("whole", *LIMIT)
    train("died", *LIMIT)
    for file in Path("died").iterdir():
        if file.name != "run.json":
            file.unlink()
    assert resume("died") == 0
    assert_same_bits("died", "whole")


@pytest.mark.usefixtures("no_pictures")
def test_a_folder_that_is_not_free_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    Path("empty/lock").write_text("process 1 on elsewhere\n")
    Path("empty/.0123456789abcdef.tmp").write_text("half")
    train("empty", *LIMIT)  # what killed processes leave is not a run
    assert not {"lock", ".0123456789abcdef.tmp"} & names("empty")
    capsys.readouterr()
    assert run("train", "--out", "empty") == 1
    assert "exists already: a run is never overwritten" in one_error(capsys)
    Path("empty/model.safetensors").unlink()
    assert run("train", "--out", "empty") == 1
    assert "'empty' holds a run that is not finished: continue it with --resume" in one_error(
        capsys
    )
    assert run("predict", "empty", "digits:0") == 1
    assert "continue it with: pocketcnn train --resume empty" in one_error(capsys)
    Path("other").mkdir()
    assert run("train", "--resume", "other") == 1
    assert "'other' is not the folder of a run" in one_error(capsys)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"options": []}, "options should be an object"),
        ({"classes": [1, 2]}, "classes should be a list of names"),
        ({"data": {"test": 1}}, "data should be an object of digests"),
        ({"options": {"gpu": 1}}, "unknown options ['gpu']"),
        ({"options": {"epochs": -3}}, "-3 is less than 1"),
    ],
)
def test_a_foreign_run_json_is_refused_in_one_line(
    values: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train("run", *LIMIT)
    Path("run/checkpoint.safetensors").unlink()
    Path("run/run.json").write_text(json.dumps({**read_json("run"), **values}))
    capsys.readouterr()
    assert resume("run") == 1
    assert message in one_error(capsys)
    assert run("predict", "run", "digits:0") == 0  # the model is as it was


def test_a_result_that_is_not_finite_is_none() -> None:
    text = '{"options": {}, "classes": [], "result": {"epochs": 1, "loss": NaN, "accuracy": 0.1}}'
    assert Run.from_json(text, Path("run.json")).result is None
    assert Run.from_json(text.replace("NaN", "1e999"), Path("run.json")).result is None
    whole = Run.from_json(text.replace("NaN", "0.5"), Path("run.json"))
    assert whole.result == {"epochs": 1, "loss": 0.5, "accuracy": 0.1}
    with pytest.raises(ValueError, match="JSON"):
        Run({}, [], {}, {"loss": float("nan")}).to_json()


def test_an_exploded_run_is_1_and_leaves_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--epochs", "1", "--limit", "100", "--optimizer", "sgd", "--lr", "1e30")
    assert run("train", *arguments, "--quiet") == 1
    assert "a smaller learning rate may help" in capsys.readouterr().err.splitlines()[-1]
    assert read_json(RUN)["result"] is None
    assert not Path(RUN, "model.safetensors").exists()


# The data


@pytest.mark.usefixtures("no_pictures")
def test_a_run_is_continued_on_the_same_images_only(capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(Path("photos"), 6)
    train("run", "--data", "photos", "--holdout", "0.4")
    assert read_json("run")["options"]["data"] == str(folder.resolve())
    capsys.readouterr()
    photo = folder / "dark" / "0.png"
    before = photo.read_bytes()
    photo.write_bytes((folder / "light" / "0.png").read_bytes())
    assert resume("run", "--epochs", "2") == 1
    assert "images of" in (error := one_error(capsys))
    assert "are not those that the run began with" in error
    photo.write_bytes(before)
    (folder / "dark").rename(folder / "dim")
    assert resume("run", "--epochs", "2") == 1
    assert "other classes than when the run began: without 'dark' and with 'dim'" in one_error(
        capsys
    )
    (folder / "dim").rename(folder / "dark")
    folder.rename("moved")
    assert resume("run", "--epochs", "2") == 1
    assert f"data '{folder.resolve()}' is neither" in one_error(capsys)
    assert resume("run", "--epochs", "2", "--data", "moved") == 0
    capsys.readouterr()
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    os.chdir(elsewhere)
    assert resume("../run", "--epochs", "3") == 0
    assert run("evaluate", "../run") == 0
    assert "on the 5 validation images of moved" in capsys.readouterr().out


@pytest.mark.usefixtures("no_pictures")
def test_augmentation_larger_than_the_images_is_refused_before_the_folder_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("train", "--augment", f"shift:{10**9}") == 1
    assert "but the images are 28 x 28 pixels" in one_error(capsys)
    assert not Path("runs").exists()


# Results and pictures


@pytest.mark.parametrize("error", [RuntimeError("no font"), OSError(28, "full"), KeyError("x")])
def test_a_picture_that_fails_is_a_warning(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(command.plot, "curves", fail)
    train("run", *LIMIT)
    out, err = capsys.readouterr()
    assert out.startswith("test accuracy")
    assert err.startswith("pocketcnn: no pictures: ")
    assert len(err.splitlines()) == 1
    assert read_json("run")["result"] is not None


def test_ctrl_c_while_pictures_are_drawn_says_that_the_run_is_finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.plot, "curves", interrupt)
    assert run("train", "--epochs", "1", *LIMIT, "--out", "run", "--quiet") == 130
    out, err = capsys.readouterr()
    assert out.startswith("test accuracy")
    assert err == (
        "pocketcnn: interrupted while pictures were drawn: the run is finished in run/\n"
    )
    assert pc.load("run/model.safetensors")


@pytest.mark.usefixtures("no_pictures")
def test_a_resumed_run_tells_what_it_trained(capsys: pytest.CaptureFixture[str]) -> None:
    train("run", *LIMIT)
    assert run("train", "--resume", "run", "--epochs", "3") == 0
    assert "trained 2 epochs in" in (out := capsys.readouterr().out)
    assert ", after 1 before" in out
    assert len(History.from_json("run/history.json")) == 3


# Other processes and signals


@pytest.mark.usefixtures("no_pictures")
def test_one_process_at_a_time_writes_in_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    train("run", *LIMIT)
    files = {name: Path("run", name).read_bytes() for name in names("run")}
    capsys.readouterr()
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    with folders.hold(Path("run")):
        assert resume("run") == 1
        assert one_error(capsys) == f"pocketcnn: 'run' is in use by {holder}"
    assert {name: Path("run", name).read_bytes() for name in names("run")} == files
    Path("new").mkdir()
    with folders.hold(Path("new")):
        assert run("train", "--epochs", "1", "--out", "new", *LIMIT) == 1
        assert "'new' is in use by" in one_error(capsys)
    train("new", *LIMIT)


def test_a_lock_is_let_go_by_a_killed_process(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from pocketcnn.commands import run\n"
        "with run.hold(Path('.')): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with (
            pytest.raises(BlockingIOError, match=f"process {process.pid} on"),
            folders.hold(tmp_path),
        ):
            pass
        process.kill()
    Path(".0123456789abcdef.tmp").touch()
    Path(".mine.tmp").touch()
    with folders.hold(tmp_path):
        assert names(".") == {".mine.tmp", "lock"}
    assert names(".") == {".mine.tmp"}


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    Path("victim").write_text("precious")
    Path("lock").symlink_to("victim")
    with pytest.raises(OSError, match="lock"), folders.hold(tmp_path):
        pass
    assert Path("victim").read_text() == "precious"


@pytest.fixture
def heeded_interrupts() -> Iterator[None]:
    """Programs started in the background may ignore SIGINT, and their children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded_interrupts")
@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_leaves_the_checkpoint_of_the_last_step(number: signal.Signals, word: str) -> None:
    command = [sys.executable, "-m", "pocketcnn", "train", "--epochs", "100000", "--threads", "1"]
    with subprocess.Popen(
        [*command, "--limit", "500"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.split()[:1] == ["2"]:  # the second epoch is done
                break
        time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate()
        assert process.returncode == 128 + number
    (line,) = err.splitlines()
    assert line.startswith(f"pocketcnn: {word} in epoch ")
    where = re.search(r"in epoch (\d+) of 100000, after step (\d+); ", line)
    assert where is not None
    assert f"continue with: pocketcnn train --resume {RUN}" in line
    assert {"checkpoint.safetensors", "run.json"} <= names(RUN)
    assert not [name for name in names(RUN) if name.startswith((".", "lock"))]
    _, values = read_checkpoint(Path(RUN, "checkpoint.safetensors"))
    assert len(values["history"]) in (int(where[1]) - 1, int(where[1]))
    # The rest of the epoch is trained to the same bits.
    for words in (("--resume", RUN), ("--limit", "500", "--out", "whole")):
        done = run_in_process("train", *words, "--epochs", where[1], "--quiet")
        assert done.returncode == 0
    assert_same_bits(RUN, "whole")


@pytest.mark.usefixtures("heeded_interrupts")
def test_ctrl_c_during_imports_is_130_without_a_traceback() -> None:
    # The interrupt comes where NumPy is imported, in the middle of the package's own imports.
    script = (
        "import builtins, os, runpy, signal, sys\n"
        "real = builtins.__import__\n"
        "def hook(name, *rest):\n"
        "    if name == 'numpy': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = hook\n"
        "sys.argv = ['-m']\n"
        "runpy.run_module('pocketcnn', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "pocketcnn: interrupted\n")


@pytest.mark.usefixtures("heeded_interrupts")
def test_a_library_that_is_imported_leaves_signals_alone() -> None:
    script = (
        "import signal, pocketcnn, pocketcnn.cli\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
        "assert pocketcnn.cli.main(['info', 'nowhere']) == 1\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_terminated_is_143() -> None:
    assert console.describe_stop(console.Terminated(signal.SIGTERM)) == ("terminated", 143)
    assert console.describe_stop(KeyboardInterrupt()) == ("interrupted", 130)
