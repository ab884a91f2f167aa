"""Which files of a folder are the pictures of which class, and which are skipped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketcnn.data.picture import is_picture_name

# Names of the parts of a data set. Some classes may have such names too, but not all.
SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})

# Notes that people and programs leave among pictures. Any other file may be a picture in a format
# that Pillow does not read here, and would be missed.
_NOTES = frozenset(
    {".csv", ".db", ".htm", ".html", ".ini", ".json", ".log", ".md", ".rst", ".toml", ".tsv"}
    | {".txt", ".xml", ".yaml", ".yml"}
)

# One class with this many times the images of another is told.
_IMBALANCE = 100

_NAMED = 5  # how many files a message names before it counts the rest


@dataclass(frozen=True)
class ClassFolder:
    """One class: its folder, and the files in it and below, in the order of their names."""

    folder: Path
    pictures: list[Path]
    others: list[Path]


def list_classes(root: Path) -> list[ClassFolder]:
    """Find the pictures of each class, in the order of the classes' names.

    Raises
    ------
    OSError
        A folder cannot be read.
    ValueError
        There are no classes, some have no pictures, or the folders are not classes.
    """
    folders = sorted(
        entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )
    if not folders:
        raise ValueError(f"path {str(root)!r} has no subfolders: wanted one a class")
    classes = []
    for folder in folders:
        one = ClassFolder(folder, [], [])
        for file in sorted(_walk(folder), key=lambda file: file.parts):
            (one.pictures if is_picture_name(file.name) else one.others).append(file)
        classes.append(one)
    _check_parts(root, classes)
    _check_empty(classes)
    return classes


def flatten(found: list[ClassFolder]) -> tuple[list[Path], NDArray[np.int64], list[str]]:
    """All files, the label of each, and the names of the classes."""
    files = [file for one in found for file in one.pictures]
    labels = np.repeat(np.arange(len(found), dtype=np.int64), [len(one.pictures) for one in found])
    return files, labels, [one.folder.name for one in found]


def missed(root: Path, classes: list[ClassFolder]) -> str | None:
    """Say which files may be pictures, but are in no class; None if there are none."""
    parts = []
    others = [file for one in classes for file in one.others if file.suffix.lower() not in _NOTES]
    if others:
        names = few([str(file.relative_to(root)) for file in others], ", ")
        parts.append(f"{count_endings(others)}, no image by the ending ({names})")
    beside = sorted(
        file.name for file in root.iterdir() if is_picture_name(file.name) and file.is_file()
    )
    if beside:
        parts.append(f"images in no class's folder ({few(beside, ', ')})")
    return f"passed over {'; '.join(parts)}" if parts else None


def one_sided(names: list[str], counts: list[int]) -> str | None:
    """Say that there is one class only, or that one is far larger than another; None if not."""
    if len(names) == 1:
        return f"{names[0]!r} is the only class: there is nothing to tell it from"
    few_images, many = min(counts), max(counts)
    if many < _IMBALANCE * few_images:
        return None
    rare, common = names[counts.index(few_images)], names[counts.index(many)]
    return (
        f"class {common!r} has {many:,} images, but {rare!r} only {few_images:,}: a network may "
        "never answer the rare ones; class_weight of pocketcnn.losses.CrossEntropy makes them count"
    )


def count_endings(files: list[Path]) -> str:
    """Count files by their endings: `83 .heic, 1 .txt`."""
    counts = Counter(file.suffix.lower() or "without an ending" for file in files)
    return few([f"{count} {ending}" for ending, count in counts.most_common()], ", ")


def few(texts: list[str], separator: str) -> str:
    """Join the first texts, and count the rest."""
    rest = len(texts) - _NAMED
    return separator.join(texts[:_NAMED]) + (f"{separator}and {rest} more" if rest > 0 else "")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, except hidden ones; a file that links repeat comes once."""

    def fail(error: OSError) -> None:
        raise error

    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        status = Path(where).stat()
        place = status.st_dev, status.st_ino
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in names if not name.startswith("."))


def _check_parts(root: Path, classes: list[ClassFolder]) -> None:
    """Refuse `train` and `test` with classes in them: their pictures are one folder deeper."""
    names = [one.folder.name for one in classes]
    if not all(name.lower() in SPLITS for name in names):
        return
    parents = {file.parent for one in classes for file in one.pictures}
    if parents and not parents & {one.folder for one in classes}:
        raise ValueError(
            f"path {str(root)!r} holds parts of a data set ({', '.join(names)}), not classes: "
            f"wanted {str(classes[0].folder)!r} or another of them"
        )


def _check_empty(classes: list[ClassFolder]) -> None:
    empty = [one for one in classes if not one.pictures]
    if not empty:
        return
    places = few([repr(str(one.folder)) for one in empty], ", ")
    others = count_endings([file for one in empty for file in one.others])
    start = f"class folder {places} has" if len(empty) == 1 else f"class folders {places} have"
    raise ValueError(f"{start} no image files" + (f", but {others}" if others else ""))
