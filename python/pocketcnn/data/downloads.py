"""Files of known content that are downloaded once, into the user's cache folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketcnn._files.atomic import write_atomically
from pocketcnn.data.idx import unpacked

# More than the largest file: unpacking a download stops here.
_LARGEST_CONTENT = 2**26


@dataclass(frozen=True)
class Source:
    """Gzipped files on mirrors: name and SHA-256 of each as it is unpacked.

    Mirrors may compress files differently.
    """

    title: str
    mirrors: tuple[str, ...]
    checksums: dict[str, str]
    remedy: str


def cache_folder() -> Path:
    """Return this user's cache folder of pocketcnn, as the system has it: `~/.cache/pocketcnn`.

    Without platformdirs, which comes with pooch, that is the one of Linux everywhere.
    `$XDG_CACHE_HOME` is honoured.
    """
    try:
        try:
            from platformdirs import user_cache_path
        except ImportError:
            base = os.environ.get("XDG_CACHE_HOME")
            return (Path(base) if base else Path.home() / ".cache") / "pocketcnn"
        return Path(user_cache_path("pocketcnn", appauthor=False)).expanduser()
    except RuntimeError:
        raise FileNotFoundError(
            "this user has no home folder to look for data in: set XDG_CACHE_HOME or POCKETCNN_DATA"
        ) from None


def data_folders(*names: str) -> list[Path]:
    """The folders of a data set that the user names: subfolders of `$POCKETCNN_DATA`."""
    named = os.environ.get("POCKETCNN_DATA")
    return [Path(named, name) for name in names] if named else []


def download(folder: Path, source: Source) -> None:
    """Get all files of a source into a folder.

    Raises
    ------
    FileNotFoundError
        A file cannot be had; the message says what to do.
    """
    try:
        import pooch  # type: ignore[import-untyped]  # it has no type hints
    except ImportError as error:
        raise FileNotFoundError(
            _advice(folder, source, "pooch is not installed", "Install it (pip install pooch)")
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"the folder cannot be made ({error.strerror})"
        raise FileNotFoundError(_advice(folder, source, reason, "Set XDG_CACHE_HOME")) from error
    downloader = pooch.HTTPDownloader(timeout=30)
    for name in source.checksums:
        _download_one(name, folder, source, downloader)


def _download_one(
    name: str, folder: Path, source: Source, downloader: Callable[..., object]
) -> None:
    """Get one file from the first mirror that has it."""
    target = folder / f"{name}.gz"
    reason = ""
    for mirror in source.mirrors:
        url = mirror + target.name
        try:
            # No reader sees half a file, and a wrong file never gets this name.
            with write_atomically(target) as partial:
                downloader(url, str(partial), None)
                if checksum(partial) != source.checksums[name]:
                    raise _WrongChecksumError
        except _WrongChecksumError:
            reason = f"{url} has a wrong checksum"
        except Exception as error:  # a response may contain anything
            reason = f"{url} failed ({type(error).__name__})"
        else:
            return
    raise FileNotFoundError(_advice(folder, source, reason, "Go online"))


class _WrongChecksumError(Exception):
    """A mirror's file is not the one that is wanted."""


def checksum(path: Path) -> str:
    """SHA-256 of a file's content, unpacked piece by piece, and of no more than any file has."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        stream = unpacked(file)[1]
        for _ in range(0, _LARGEST_CONTENT, 2**16):
            digest.update(stream.read(2**16))
    return digest.hexdigest()


def _advice(folder: Path, source: Source, reason: str, remedy: str) -> str:
    return (
        f"{source.title} is not on this machine and could not be downloaded: {reason}. {remedy}, "
        f"or put its four files (from {source.mirrors[0]}) into {folder} or into a folder that "
        f"POCKETCNN_DATA names; {source.remedy}"
    )
