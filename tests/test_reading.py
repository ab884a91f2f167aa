"""Foreign files are opened without blocking, and their text is shown in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketcnn._files.reading import open_regular, read_json
from pocketcnn._text import excerpt
from pocketcnn.training.history import COLUMNS, History, Record


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("é 日本 🙂", "é 日本 🙂"),
        ("a\x1b[2J\r\n\tb\0", "a\\x1b[2J\\r\\n\\tb\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),  # written from right to left
        ("\x9b1m \u2028 \U000e0001", "\\x9b1m \\u2028 \\U000e0001"),
        ("\ud800", "\\ud800"),
        (ValueError("two\nlines"), "two\\nlines"),
    ],
)
def test_text_is_one_line_that_commands_nothing(text: object, shown: str) -> None:
    assert excerpt(text) == shown


@pytest.mark.parametrize("character", ["x", "\n", "\U000e0001"])
def test_long_text_is_cut_in_the_middle(character: str) -> None:
    for limit in (20, 200):
        text = excerpt("begin" + character * 10**6 + "end", limit)
        assert text.startswith("begin")
        assert " ... " in text
        assert text.endswith("end")
        assert len(text) == limit
    assert excerpt(character * 3, 200).count(excerpt(character)) == 3


@pytest.mark.parametrize("read", [open_regular, read_json, History.from_json])
def test_pipes_and_devices_are_refused(tmp_path: Path, read: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null"), str(tmp_path / "pipe")):
        with pytest.raises(ValueError, match="is a pipe or a device") as caught:
            read(path)
        assert str(path) in str(caught.value)
    with pytest.raises(FileNotFoundError) as missing:
        read(tmp_path / "none")
    assert missing.value.filename == str(tmp_path / "none")
    with pytest.raises(IsADirectoryError) as folder:
        read(tmp_path)
    assert folder.value.filename == str(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with pytest.raises(ValueError, match="link is a pipe"):
        read(tmp_path / "link")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 10**6, b"1" * 10**5, b"\0"])
def test_what_is_no_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json is not valid JSON") as caught:
        read_json(path)
    assert str(caught.value).isprintable()


RECORD: Record = {
    "epoch": 1, "loss": 0.5, "accuracy": 0.8, "val_loss": None, "val_accuracy": None,
    "seconds": 2.0, "images_per_second": 100.0, "learning_rate": 0.001,
}  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        {},
        3,
        None,
        [3],
        [[]],
        [{}],
        ["epoch"],
        [{**RECORD, "loss": "0.5"}],
        [{**RECORD, "epoch": [1]}],
        [{**RECORD, "epoch": True}],
        [RECORD, {name: RECORD[name] for name in COLUMNS if name != "seconds"}],
    ],
)
def test_what_is_no_history(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"history\.json is not a history: wanted"):
        History.from_json(path)


def test_histories_hold_numbers_of_numpy(tmp_path: Path) -> None:
    """A user's callback may add such numbers."""
    record: Any = {
        **RECORD,
        "epoch": np.int64(1),
        "loss": np.float32(0.5),
        "val_loss": np.float32("nan"),
        "val_accuracy": np.float64(0.25),
        "learning_rate": np.float16(0.125),
        "seconds": float("inf"),
    }
    history = History([record])
    history.to_json(tmp_path / "h.json")
    text = (tmp_path / "h.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    (read,) = History.from_json(tmp_path / "h.json")
    assert read == {
        **RECORD, "loss": 0.5, "val_accuracy": 0.25, "learning_rate": 0.125, "seconds": None
    }  # fmt: skip
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text().splitlines() == [
        ",".join(COLUMNS),
        "1,0.5,0.8,nan,0.25,inf,100.0,0.125",
    ]


def test_columns_of_a_callbacks_own(tmp_path: Path) -> None:
    mine: Any = {**RECORD, "val_f1": np.float32(0.75)}
    history = History([RECORD, mine])
    history.to_csv(tmp_path / "h.csv")
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert [line.rsplit(",", 1)[1] for line in lines] == ["val_f1", "", "0.75"]
    history.to_json(tmp_path / "h.json")
    assert History.from_json(tmp_path / "h.json")[1]["val_f1"] == 0.75  # type: ignore[typeddict-item]
