"""What is shown: foreign text made harmless, tables that fit, streams that are closed or full."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from command_line import (
    few_digits,  # noqa: F401  # a fixture of every test here
    no_pictures,  # noqa: F401
    run,
    train,
    write_folder,
)
from pocketcnn._text import columns, fit, printable
from pocketcnn.training.ranks import Alone

LIMIT = ("--limit", "50")
# The counts of an epoch that has just begun.
NOTHING = SimpleNamespace(seen=0)
# Clears the screen, names the window, turns the direction of writing, begins a line.
NASTY = "a\x1b[2J\x1b]0;gone\x07\u202e\nb\x9b31m"


class Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


# Text


def test_what_a_terminal_would_obey_is_escaped() -> None:
    for code in [*range(32), *range(127, 160), 0x2028, 0x202E, 0x2066, 0xFEFF, 0xDC80]:
        assert printable(f"a{chr(code)}b").isascii()
        assert printable(f"a{chr(code)}b") == f"a{chr(code).encode('unicode_escape').decode()}b"
    for harmless in ("cat", "Äpfel", "猫", "é", "नमस्ते", "a b", "🙂", "\u3000", "می\u200cخواهم"):
        assert printable(harmless) == harmless


def test_columns_are_those_of_a_terminal() -> None:
    assert [columns(text) for text in ("", "cat", "猫", "e\u0301", "ｗｉｄｅ")] == [0, 3, 2, 1, 8]
    for text in ("", "cat", "caterpillar", "猫猫猫猫", "a猫b猫", "e\u0301e\u0301e\u0301e\u0301"):
        for width in range(1, 12):
            assert columns(fit(text, width)) == width, (text, width)
            assert fit(text, width).startswith(text) == (columns(text) <= width)


def test_names_of_foreign_files_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    layers = [(f"flat{NASTY}", pc.Flatten()), ("out", pc.Linear(16, 2))]
    net = pc.ConvNet(layers, input_shape=(1, 4, 4))
    Path("odd\x1b[1m").mkdir()
    net.save("odd\x1b[1m/model.safetensors")
    values = {"options": {"model": NASTY}, "classes": [NASTY, "x"], "result": None}
    Path("odd\x1b[1m/run.json").write_text(json.dumps(values))
    np.save(f"{NASTY.replace('/', '')}.npy", np.zeros((4, 4)))
    for words in (
        ("info", "odd\x1b[1m"),
        ("predict", "odd\x1b[1m", f"{NASTY}.npy", "no\x1bthing.npy", "--top", "2"),
        ("evaluate", "odd\x1b[1m", "--data", "no\x1b\nthing"),
        ("saliency", "odd\x1b[1m", f"{NASTY}.npy", "--class", "\x1b[2J"),
        (f"fly{NASTY}",),
    ):
        run(*words)
        out, err = capsys.readouterr()
        assert out + err
        for text in (out, err):
            assert all(line.isprintable() for line in text.splitlines())
            assert set(text.splitlines()) == set(text.split("\n")) - ({""} - set(text.splitlines()))
        if words[0] == "info":
            assert "flata\\x1b[2J" in out
            assert "classes: a\\x1b[2J\\x1b]0;gone\\x07\\u202e\\nb\\x9b31m, x" in out
        if words[0] == "predict":
            assert len(out.splitlines()) == len(err.splitlines()) == 1


@pytest.mark.usefixtures("no_pictures")
def test_names_of_any_length_leave_room_for_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(Path("photos"), 10, ("猫", "n" * 200))
    train("run", "--data", "photos", "--size", "16")
    capsys.readouterr()
    assert run("evaluate", "run", "--data", "photos") == 0
    lines = capsys.readouterr().out.splitlines()
    head, *rows = lines[lines.index(next(line for line in lines if line[:5] == "class")) :]
    ends = {columns(row[: row.index("%") + 1]) for row in rows if "%" in row}
    assert ends == {head.index("right") + len("right")}
    assert max(map(columns, rows)) < 100


def test_text_that_standard_output_cannot_encode() -> None:
    script = "from pocketcnn.commands import console; console.say('猫'); console.warn('犬')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"\\u732b\n", b"pocketcnn: \\u72ac\n")


# Tables and the bar


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 100, 160])
def test_the_summary_fits_the_terminal(width: int) -> None:
    net = pc.models.compact_resnet()
    whole, table = net.summary().splitlines(), net.summary(width).splitlines()
    assert len(table) == len(whole)
    widest = max(map(len, table))
    assert widest <= max(width, 65)  # names and shapes are whole
    if width >= 160:
        assert table == whole
    assert [line.split()[0] for line in table] == [
        word if set(word) != {"-"} else "-" * widest for word in (line.split()[0] for line in whole)
    ]
    assert ("multiply-adds" in table[0]) == (width >= 80)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (200, "epoch loss accuracy val loss val accuracy rate images/s time"),
        (80, "epoch loss accuracy val loss val accuracy rate images/s time"),
        (79, "epoch loss accuracy val loss val accuracy images/s time"),
        (60, "epoch loss accuracy val loss val accuracy time"),
        (40, "epoch val loss val accuracy"),
        (10, "epoch val loss val accuracy"),
    ],
)
def test_the_table_of_epochs_fits_the_terminal(
    width: int, titles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    screen, bar = Screen(), io.StringIO()
    fit_two_epochs(pc.ProgressBar(stream=bar, table=screen))
    lines = screen.getvalue().splitlines()
    assert " ".join(lines[0].split()) == titles
    assert [line.split()[0] for line in lines] == ["epoch", "1", "2"]
    assert len(set(map(len, lines))) == 1
    assert len(lines[0]) < max(width, 31)
    assert bar.getvalue() == ""  # no terminal, no bar


def fit_two_epochs(progress: pc.ProgressBar) -> None:
    net = pc.ConvNet([("flat", pc.Flatten()), ("out", pc.Linear(16, 2))], input_shape=(1, 4, 4))
    x = np.random.default_rng(0).random((40, 1, 4, 4), dtype=np.float32)
    t = np.arange(40) % 2
    trainer = pc.Trainer(net, pc.optim.SGD(0.1), batch_size=10)
    trainer.fit(x, t, epochs=2, validation=(x, t), callbacks=[progress])
    assert len(trainer.history) == 2


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_a_plain_terminal_gets_plain_characters(
    setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    screen = Screen()
    progress = pc.ProgressBar(stream=screen)
    half_done: Any = SimpleNamespace(epoch=1, epochs=2, samples=10, counts=NOTHING, columns=())
    progress.on_fit_begin(half_done)
    progress.on_fit_end(half_done)
    text = screen.getvalue()
    assert text.isascii() == bool(setting)
    assert ("\r" in text) == ("TERM" not in setting)
    assert ("50%, ? left" in text) == ("TERM" not in setting)


@pytest.mark.parametrize(("width", "shown"), [(60, False), (75, False), (80, True)])
def test_the_bar_keeps_the_time_left_in_a_narrow_terminal(
    width: int, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    screen = Screen()
    progress = pc.ProgressBar(stream=screen)
    running: Any = SimpleNamespace(
        ranks=Alone(),
        epoch=10,
        epochs=20,
        samples=10,
        counts=NOTHING,
        columns=(),
        running=lambda: (0.12345, 0.987, 12345.0),
    )
    progress.on_fit_begin(running)
    progress.on_batch_end(running, 1)
    assert progress._bar is not None
    progress._bar.refresh()
    last = screen.getvalue().split("\r")[-1]
    progress.on_fit_end(running)
    assert "left, loss 0.1235, acc 98.7%" in last
    assert (", 12,345 images/s" in last) == shown


@pytest.mark.usefixtures("no_pictures")
def test_a_log_holds_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--epochs", "2", *LIMIT, "--out", "run") == 0
    out, err = capsys.readouterr()
    table = out[out.index("epoch") :].splitlines()
    assert [line.split()[0] for line in table[:3]] == ["epoch", "1", "2"]
    assert err == ""


# Streams


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("closed", [("stdout",), ("stderr",), ("stdout", "stderr")])
def test_commands_work_without_standard_streams(
    closed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in closed:
        monkeypatch.setattr(sys, name, None)
    assert run("train", "--epochs", "1", *LIMIT, "--out", "run") == 0
    assert json.loads(Path("run/run.json").read_text())["result"] is not None
    assert run("predict", "run", "digits:0") == 0
    assert run("evaluate", "run") == 0
    assert run("predict", "run", "nowhere.npy") == 1
    assert run("train", "--epochs", "0") == 2


@pytest.mark.parametrize("closing", ["2>&-", ">&- 2>&- <&-"])
def test_closed_descriptors_are_filled_before_a_file_gets_their_numbers(closing: str) -> None:
    pc.models.simple_convnet().save("m.safetensors")
    command = f"{sys.executable} -m pocketcnn predict m.safetensors digits:0 {closing}"
    assert subprocess.run(command, shell=True, check=False).returncode == 0
    script = (
        "import os; from pocketcnn.commands.console import fill_standard_streams as fill;"
        "fill(); exit(os.open(os.devnull, os.O_RDONLY) < 3)"
    )
    command = f'{sys.executable} -c "{script}" {closing}'
    assert subprocess.run(command, shell=True, check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full")
def test_a_full_disk_under_standard_output_is_told() -> None:
    pc.models.simple_convnet().save("m.safetensors")
    command = f"{sys.executable} -m pocketcnn predict m.safetensors digits:0 > /dev/full"
    done = subprocess.run(command, shell=True, check=False, stderr=subprocess.PIPE, text=True)
    message = "pocketcnn: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, message)


class Leaver(io.StringIO):
    """A reader that closes the pipe after the first line of the table."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0

    def write(self, text: str) -> int:
        self.lines += "epoch" in text
        if self.lines:
            raise BrokenPipeError
        return super().write(text)


@pytest.mark.usefixtures("no_pictures")
def test_training_goes_on_when_the_reader_of_the_table_leaves() -> None:
    with contextlib.redirect_stdout(Leaver()):
        assert run("train", "--epochs", "2", *LIMIT, "--out", "run") == 1
    assert json.loads(Path("run/run.json").read_text())["result"]["epochs"] == 2


def test_warnings_are_one_line() -> None:
    script = (
        "import warnings; from pocketcnn.commands import console\n"
        "with console.answering(): warnings.warn('old\\nand slow', UserWarning)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "pocketcnn: warning: old and slow\n"
