"""Options from a file: one table makes the arguments, the file of a run, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import (
    RUN,
    assert_same_bits,
    few_digits,  # noqa: F401  # a fixture of every test here
    no_pictures,  # noqa: F401
    one_error,
    run,
    train,
)
from pocketcnn._files.reading import read_toml
from pocketcnn.cli import _make_parser
from pocketcnn.commands.fields import flag_of, key_of, option, read_values, to_toml
from pocketcnn.commands.options import Common, Options, Place

LIMIT = ("--limit", "50")


@dataclasses.dataclass
class Made:
    """Options of every type."""

    text: str = option("a", "text", group="one")
    from_: str | None = option(None, "from where", group="one")
    count: int | None = option(None, "count", group="two", read=int)
    rate: float = option(0.5, "rate", group="two", read=float)
    bare: bool = option(False, "bare", group="two")


@pytest.mark.parametrize(
    "values",
    [
        Made(),
        Made('"\\ \n\t\x7f\x00 猫 # = ', "-x", -3, 1e-300, True),
        Made("", "--text", 2**40, 1e20, False),
    ],
)
def test_what_is_written_is_read(values: Made) -> None:
    Path("made.toml").write_text(to_toml(values), encoding="utf-8")
    found = read_values(read_toml("made.toml"), Made)
    for field in dataclasses.fields(Made):
        wanted = getattr(values, field.name)
        assert getattr(found, field.name) == (None if wanted is False else wanted)


@pytest.mark.usefixtures("no_pictures")
def test_the_file_of_a_run_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--optimizer", "sgd", "--nesterov", "--seed", "3", "--augment", "shift:1")
    train("one", *LIMIT, *options)
    assert run("train", "--config", "one/run.toml", "--out", "two", "--quiet") == 0
    assert_same_bits("one", "two")
    text = Path("one/run.toml").read_text()
    assert text == Path("two/run.toml").read_text().replace("two/", "one/")
    assert "# pocketcnn train --config one/run.toml" in text
    # The command line counts more, also for a switch.
    words = ("--config", "one/run.toml", "--no-nesterov", "--seed", "4", "--out", "three")
    assert run("train", *words, "--quiet") == 0
    found = json.loads(Path("three/run.json").read_text())["options"]
    assert (found["nesterov"], found["seed"], found["limit"]) == (False, 4, 50)
    capsys.readouterr()
    assert run("train", "--resume", "one", "--config", "one/run.toml") == 2
    assert "a resumed run keeps its own options: leave out --model" in one_error(capsys)


@pytest.mark.usefixtures("no_pictures")
def test_any_option_may_be_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.toml").write_text(
        'out = "here"\nquiet = true\nthreads = 1\nepochs = 1\nlr = 1\nlimit = 50\n'
        'optimizer = "sgd"\n'
    )
    assert run("train", "--config", "mine.toml", "--lr", "0.01") == 0
    assert capsys.readouterr().out.startswith("test accuracy")
    assert json.loads(Path("here/run.json").read_text())["options"]["lr"] == 0.01
    Path("on.toml").write_text('resume = "here"\nepochs = 2\nquiet = true\n')
    assert run("train", "--config", "on.toml") == 0
    assert json.loads(Path("here/run.json").read_text())["result"]["epochs"] == 2
    assert "epochs = 2" in Path("here/run.toml").read_text()


WRONG = [
    ("gpu = 1", "mine.toml has options that train does not take: unknown options ['gpu']"),
    ("batch-size = 5", "unknown options ['batch-size']"),
    ('"\\u001b[2J" = 1', "unknown options ['\\x1b[2J']"),
    ("[data]\nname = 1", "data is {'name': 1}: wanted text"),
    ('epochs = "5"', "epochs is '5': wanted a whole number"),
    ("epochs = 2.0", "epochs is 2.0: wanted a whole number"),
    ("epochs = true", "epochs is True: wanted a whole number"),
    ("epochs = 0", "argument --epochs: 0 is less than 1"),
    ("lr = inf", "argument --lr: inf is not a number"),
    ("lr = 1979-05-27", "lr is datetime.date(1979, 5, 27): wanted a number"),
    ("nesterov = 1", "nesterov is 1: wanted true or false"),
    ("model = 'gpt'", "argument --model: invalid choice: 'gpt'"),
    ("momentum = 0.5", "momentum belongs to sgd: adam has none"),
    ("augment = 'cropp'", "augment has 'cropp'"),
    ("threads = 0", "argument --threads: 0 is less than 1"),
    ("config = 'other.toml'", "config is for the command line alone"),
    ("epochs = ", "mine.toml is not valid TOML"),
    ("epochs = 1\nepochs = 2", "mine.toml is not valid TOML"),
    ("[" * 100_000, "mine.toml is not valid TOML"),
    ("\udcff", "mine.toml is not valid TOML"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:20] for text, _ in WRONG])
def test_wrong_files_are_2_and_one_line(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.toml").write_bytes(text.encode(errors="surrogateescape"))
    assert run("train", "--config", "mine.toml") == 2
    assert message in one_error(capsys)
    assert [entry.name for entry in Path().iterdir()] == ["mine.toml"]


def test_a_file_that_is_not_there_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    for name, message in (("nowhere.toml", "No such file"), (".", "Is a directory")):
        assert run("train", "--config", name) == 2
        assert message in one_error(capsys)


def test_every_option_is_there_once_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--help") == 0
    text = capsys.readouterr().out
    for kind in (Options, Place, Common):
        for field in dataclasses.fields(kind):
            assert len(re.findall(rf"^  {flag_of(field.name)}\b", text, re.MULTILINE)) == 1
            assert key_of(field.name).isidentifier()
    assert not re.search(r"\bNone\b", text)


def test_help_fits_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for width in (60, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        for command in ("train", "predict", "evaluate", "export"):
            assert run(command, "--help") == 0
            assert max(map(len, capsys.readouterr().out.splitlines())) <= width


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab")
    assert run("--print-completion", shell) == 0
    script = capsys.readouterr().out
    for word in ("evaluate", "compact_resnet", "batch-size" if shell == "fish" else "--batch-size"):
        assert word in script
    assert "--no-nesterov" not in script
    if shell == "bash":
        asked = "COMP_WORDS=(pocketcnn train --model res); COMP_CWORD=3; _shtab_pocketcnn"
        done = subprocess.run(
            ["bash", "-c", f'{script}\n{asked}\necho "${{COMPREPLY[@]}}"'],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ["resnet18", "resnet50"]


def test_completion_without_shtab(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert run("--print-completion", "bash") == 1
    assert "pip install shtab" in one_error(capsys)
    assert run("--print-completion", "ksh") == 2
    assert "invalid choice: 'ksh'" in one_error(capsys)
    assert _make_parser().prog == "pocketcnn"
    assert not Path(RUN).exists()
