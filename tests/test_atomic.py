"""Every file is whole or not there: links, modes, long names, errors, other writers."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from pocketcnn.atomic import write_atomically


def _write(path: Path, text: str) -> None:
    with write_atomically(path) as temporary:
        temporary.write_text(text)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_while_writing_leaves_the_previous_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("before")

    def interrupted() -> None:
        with write_atomically(file) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_text() == "before"
    assert _names(tmp_path) == ["a.json"]


def test_errors_of_the_system_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.json"

    def full() -> None:
        with write_atomically(file):
            raise OSError(errno.ENOSPC, "full", "some temporary name")

    with pytest.raises(OSError, match=r"a\.json") as caught:
        full()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(file)
    with pytest.raises(FileNotFoundError) as missing:
        _write(tmp_path / "none" / "a.json", "")
    assert missing.value.filename == str(tmp_path / "none" / "a.json")
    with pytest.raises(IsADirectoryError):
        _write(tmp_path, "")
    assert _names(tmp_path) == []


def test_a_link_is_kept_and_its_target_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "real", tmp_path / "link"
    link.symlink_to(target)
    for text in ("first", "second"):
        _write(link, text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert _names(tmp_path / "disk") == ["real"]


def test_modes_are_those_of_the_umask_and_then_the_users(tmp_path: Path) -> None:
    file = tmp_path / "a"
    umask = os.umask(0o027)
    try:
        _write(file, "")
    finally:
        os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    file.chmod(0o604)
    _write(file, "again")
    assert stat.S_IMODE(file.stat().st_mode) == 0o604


def test_the_longest_name_of_the_file_system_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / ("n" * 255)
    _write(file, "long")
    assert file.read_text() == "long"


def test_a_pipe_is_written_in_place(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    came: list[str] = []
    reader = threading.Thread(target=lambda: came.append(pipe.read_text()))
    reader.start()
    _write(pipe, "through")
    reader.join()
    assert came == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_several_writers_each_leave_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    texts = [str(digit) * 50_000 for digit in range(4)]

    def write(text: str) -> None:
        for _ in range(25):
            _write(file, text)

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert not file.exists() or file.read_text() in texts
    assert _names(tmp_path) == ["a"]
