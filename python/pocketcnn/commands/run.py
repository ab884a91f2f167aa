"""The folder of a run: who may write in it, its `run.json` and its `run.toml`.

One process at a time writes in a run's folder. It holds a lock on the file `lock`, which the system
releases when the process ends, in any way. `run.json` is written before the first epoch and once
more, with the result, after the last; a copy is in the checkpoint, so that a run can be continued
without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketcnn import __version__
from pocketcnn._files.atomic import write_atomically
from pocketcnn._files.lock import lock
from pocketcnn.commands import console
from pocketcnn.training.callbacks import Callback
from pocketcnn.training.checkpoint import read_checkpoint
from pocketcnn.training.trainer import Trainer

MODEL = "model.safetensors"
CHECKPOINT = "checkpoint.safetensors"
RUN = "run.json"
CONFIG = "run.toml"
LOCK = "lock"

# Among the digests of a run's data: how images were held out. Earlier versions did not say it.
SPLIT = "split"

# What `write_atomically` may leave in a folder if its process is killed.
_LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Run:
    """What a run's folder says about the run.

    Attributes
    ----------
    options : dict
        By name: as given, or the defaults.
    classes : list of str
        In the order of the network's scores.
    data : dict of str to str
        Digests of the images and labels that were trained and measured on.
    result : dict or None
        For a finished run: `epochs`, `loss` and `accuracy`.
    """

    options: dict[str, Any]
    classes: list[str]
    data: dict[str, str] = field(default_factory=dict)
    result: dict[str, float] | None = None

    def to_json(self) -> str:
        """Return it as a JSON object."""
        values = {"pocketcnn": __version__, **asdict(self)}
        return json.dumps(values, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, source: Path) -> Run:
        """Read what `to_json` wrote; anything else is a ValueError that names `source`."""
        try:
            # NaN is not JSON, but older versions wrote it for a run whose loss was NaN.
            values = json.loads(text, parse_constant=lambda _name: None)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{source} is not valid: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{source} is not valid: it holds no JSON object")
        options, classes = values.get("options"), values.get("classes")
        data, result = values.get("data") or {}, values.get("result")
        if not isinstance(options, dict):
            raise ValueError(f"{source} is not valid: its options should be an object")
        if not isinstance(classes, list) or not _are_strings(classes):
            raise ValueError(f"{source} is not valid: its classes should be a list of names")
        if not isinstance(data, dict) or not _are_strings(data.values()):
            raise ValueError(f"{source} is not valid: its data should be an object of digests")
        return cls(options, classes, data, result if _is_result(result) else None)


def _are_strings(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_result(value: object) -> bool:
    return isinstance(value, dict) and all(
        type(value.get(name)) in (int, float) and abs(value[name]) <= sys.float_info.max
        for name in ("epochs", "loss", "accuracy")
    )


class KeepRun(Callback):
    """Puts a copy of `run.json` in the checkpoint.

    Parameters
    ----------
    run : Run
    asked : list
        Not empty if the run was asked to stop before it began.

    Attributes
    ----------
    began : int
        How many epochs the run had when it was started or continued.
    """

    def __init__(self, run: Run, asked: Sequence[object] = ()) -> None:
        self.run = run
        self.asked = asked
        self.began = 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Remember at which epoch the run is."""
        self.began = trainer.epoch
        trainer.pause = bool(self.asked)

    def state_dict(self) -> dict[str, object]:
        """Return the copy."""
        return {RUN: self.run.to_json()}


def write(folder: Path, run: Run) -> None:
    """Write `run.json`, in one step."""
    with write_atomically(folder / RUN) as temporary:
        temporary.write_text(run.to_json(), encoding="utf-8")


def write_config(folder: Path, text: str) -> None:
    """Write `run.toml`, with which another run can be made like this one, in one step."""
    head = (
        f"# pocketcnn {__version__}; the same run again:\n"
        f"# {console.command('train', '--config', str(folder / CONFIG))}\n"
    )
    with write_atomically(folder / CONFIG) as temporary:
        temporary.write_text(head + text, encoding="utf-8", errors="backslashreplace")


def read(folder: Path) -> Run | None:
    """Read `run.json` or, if it is lost, the copy in the checkpoint; None if it is no run's folder.

    Raises
    ------
    ValueError
        `run.json` is damaged, and there is no copy.
    """
    file = folder / RUN
    if not file.is_file():
        return _copy(folder)
    try:
        return Run.from_json(file.read_bytes(), file)
    except ValueError as error:
        copy = _copy(folder)
        if copy is None:
            raise
        console.warn(f"{error}; its copy in {CHECKPOINT} is used")
        return copy


def _copy(folder: Path) -> Run | None:
    file = folder / CHECKPOINT
    if not file.is_file():
        return None
    with suppress(Exception):  # it is only read when something is lost already
        states = read_checkpoint(file)[1]["callbacks"]
        return Run.from_json(next(state[RUN] for state in states if RUN in state), file)
    return None


def digest(*arrays: NDArray[Any]) -> str:
    """Return a short digest that changes with any bit of the arrays."""
    total = hashlib.blake2b(digest_size=16)
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def compare_data(before: Run, now: Run) -> None:
    """Raise ValueError if the data are not those that a run began with."""
    if before.classes != now.classes:
        raise ValueError(
            f"{now.options['data']} has other classes than when the run began: "
            f"{differences(before.classes, now.classes)}"
        )
    for part, known in before.data.items():
        if now.data.get(part, known) != known:
            raise ValueError(
                f"the {part} images of {now.options['data']} are not those that the run began "
                "with: restore them, or begin another run"
            )


def differences(wanted: Sequence[str], found: Sequence[str]) -> str:
    """Say which names are missing and which are new, with a few of each."""
    groups = [
        ("without", [name for name in wanted if name not in found]),
        ("with", [name for name in found if name not in wanted]),
    ]
    told = [
        f"{word} {', '.join(map(repr, names[:5]))}{' and others' * (len(names) > 5)}"
        for word, names in groups
        if names
    ]
    return " and ".join(told) or "in another order"


def refuse_used(folder: Path) -> None:
    """Raise FileExistsError unless `folder` is free for a new run: absent, or empty."""
    if not folder.exists():
        return
    if folder.is_dir() and all(_passes(entry.name) for entry in folder.iterdir()):
        return
    if (folder / RUN).is_file() and not (folder / MODEL).exists():
        raise FileExistsError(
            f"{str(folder)!r} holds a run that is not finished: continue it with --resume"
        )
    raise FileExistsError(f"{str(folder)!r} exists already: a run is never overwritten")


def _passes(name: str) -> bool:
    return name == LOCK or _LEFTOVER.fullmatch(name) is not None


@contextmanager
def new_folder(out: Path | None, stem: str) -> Iterator[Path]:
    """Make the folder of a new run and hold it: `out`, or the next free `runs/<stem>-<number>`."""
    folder = out if out is not None else _next_folder(stem)
    folder.mkdir(parents=True, exist_ok=True)
    refuse_used(folder)
    with hold(folder):
        refuse_used(folder)  # another process may have been faster
        yield folder


def _next_folder(stem: str) -> Path:
    number = 1
    while True:
        folder = Path("runs") / f"{stem}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the only process that writes in `folder`, and remove what killed writers left there.

    Raises
    ------
    BlockingIOError
        Another process writes there; the message says which.
    """
    path = folder / LOCK
    descriptor = _lock(path)
    try:
        for entry in folder.iterdir():
            if _LEFTOVER.fullmatch(entry.name):
                entry.unlink(missing_ok=True)
        yield
    finally:
        if sys.platform == "win32":  # which removes no file that is open
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
        else:
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _lock(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            lock(descriptor)
        except BlockingIOError:
            holder = os.read(descriptor, 300).decode(errors="replace").strip()
            os.close(descriptor)
            raise BlockingIOError(
                f"{str(path.parent)!r} is in use by {holder or 'another process'}"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        # The last holder may have removed the file between our opening and locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                _sign(descriptor)
                return descriptor
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    """Write into the lock who holds it; if the disk is full, the name is left out."""
    with suppress(OSError):
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
