"""Every file is whole or not there: links, modes, long names, errors, other writers."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pocketcnn._files.atomic import write_atomically


@pytest.fixture(autouse=True, params=["unnamed", "named", "linkless", "macos"])
def files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which temporary files the system has: without a name, with one only, or never linked.

    The last is a system that does not know of files without a name.
    """
    kind: str = request.param
    system_open = os.open

    def open_named(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported", path)
        return system_open(path, flags, *rest, **options)

    def no_link(source: Any, target: Any, **_: Any) -> None:
        raise PermissionError(errno.EPERM, "not permitted", source, None, target)

    if kind == "named":
        monkeypatch.setattr(os, "open", open_named)
    if kind == "linkless":
        monkeypatch.setattr(os, "link", no_link)
    if kind == "macos":
        monkeypatch.setattr("pocketcnn._files.atomic.sys", SimpleNamespace(platform="darwin"))
        monkeypatch.delattr(os, "O_TMPFILE")
    return kind


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


@pytest.mark.parametrize("before", [None, "before"])
def test_a_killed_writer_leaves_the_previous_file(
    tmp_path: Path, before: str | None, files: str
) -> None:
    file = tmp_path / "a.json"
    if before is not None:
        file.write_text(before)
    code = (
        "import os, signal, sys\n"
        # With these flags alone, as on file systems without such files, opening a folder fails.
        f"{'os.O_TMPFILE = os.O_DIRECTORY' if files == 'named' else ''}\n"
        "from pocketcnn._files.atomic import write_atomically\n"
        "with write_atomically(sys.argv[1]) as temporary, temporary.open('w') as half:\n"
        "    half.write('half' * 100_000)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    names = _names(tmp_path)
    assert (file.read_text() if "a.json" in names else None) == before
    left = [name for name in names if name != "a.json"]
    # Without unnamed files one is left, by whose name a run's folder knows it.
    assert len(left) == (files == "named")
    assert all(re.fullmatch(r"\.[0-9a-f]{16}\.tmp", name) for name in left)
    _write(file, "after")
    assert file.read_text() == "after"
    assert _names(tmp_path) == sorted([*left, "a.json"])


def test_errors_of_the_system_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.json"

    def full() -> None:
        with write_atomically(file) as temporary:
            raise OSError(errno.ENOSPC, "full", str(temporary))

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


def test_errors_about_other_files_are_left_alone(tmp_path: Path) -> None:
    def lacks_a_font() -> None:
        with write_atomically(tmp_path / "a.png"):
            Path(tmp_path / "font").read_bytes()

    with pytest.raises(FileNotFoundError) as caught:
        lacks_a_font()
    assert caught.value.filename == str(tmp_path / "font")

    def loses_its_server() -> None:
        with write_atomically(tmp_path / "a.png"):
            raise ConnectionError("no answer")

    with pytest.raises(ConnectionError, match=r"^no answer$"):
        loses_its_server()
    assert _names(tmp_path) == []


def test_a_protected_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "best"
    file.write_text("before")
    file.chmod(0o444)
    # As for all but the superuser, as whom tests in a container may run.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError) as caught:
        _write(file, "after")
    assert caught.value.filename == str(file)
    assert file.read_text() == "before"
    assert _names(tmp_path) == ["best"]


def test_a_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    written: list[Path] = []

    def write() -> None:
        with write_atomically(tmp_path) as temporary:
            written.append(temporary)

    with pytest.raises(IsADirectoryError):
        write()
    assert written == []


def test_nobody_reads_what_will_be_private(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.touch(0o600)
    with write_atomically(file) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_folder_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """EINVAL says that this file system does not support it; any other is a real error."""
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    if number == errno.EINVAL:
        _write(tmp_path / "a", "whole")
    else:
        with pytest.raises(OSError, match=r"/a'") as caught:
            _write(tmp_path / "a", "whole")
        assert caught.value.errno == number
    assert (tmp_path / "a").read_text() == "whole"
    assert _names(tmp_path) == ["a"]


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


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="a device of Linux")
def test_errors_of_a_device_name_it() -> None:
    with pytest.raises(OSError, match="/dev/full") as caught:
        _write(Path("/dev/full"), "x" * 100_000)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no such name")
def test_the_standard_output_is_written_in_place() -> None:
    """A link to a name that does not exist, such as a pipe under /proc."""
    code = (
        "from pocketcnn._files.atomic import write_atomically\n"
        "with write_atomically('/dev/stdout') as file:\n"
        "    file.write_text('through')"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"through"


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
