"""Files that cannot be read: raised together, or left out and listed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketcnn.data.listing import few

Failure: TypeAlias = "OSError | ValueError"


class OddSizeError(ValueError):
    """A picture that is sound, but not of the size that the others have."""

    @classmethod
    def of(
        cls, path: Path, size: Sequence[int], other: Path, its_size: Sequence[int]
    ) -> OddSizeError:
        """Compare a picture with another; sizes begin with the height."""
        return cls(
            f"{path} is {size[1]} wide and {size[0]} high, but {other.name} is {its_size[1]} by "
            f"{its_size[0]}: give size (--size on the command line) to resize all of them"
        )


def complain(failures: Collection[Failure], count: int) -> None:
    """Raise the one failure, or an error that counts them, of so many files; nothing without any.

    Damage is told before a size that does not fit: the sizes of the rest are not known.
    """
    damaged = [error for error in failures if not isinstance(error, OddSizeError)]
    if len(damaged) > 1:
        reasons = few([str(error) for error in damaged], "; ")
        raise ValueError(f"{len(damaged)} of {count} files cannot be read: {reasons}")
    for error in damaged or failures:
        raise error


def kept_files(
    root: Path, classes: list[str], labels: NDArray[np.int64], failures: dict[int, Failure]
) -> NDArray[np.intp]:
    """The places of the files that can be read, of which every class must have some."""
    for error in failures.values():
        if isinstance(error, OddSizeError):
            raise error
    kept = np.delete(np.arange(len(labels)), list(failures))
    lost = [classes[label] for label in np.setdiff1d(labels, labels[kept])]
    if lost:
        names = few([repr(name) for name in lost], ", ")
        reason = next(iter(failures.values()))
        raise ValueError(
            f"path {str(root)!r}: no image of {names} can be read; the first reason: {reason}"
        )
    return kept


def common_size(sizes: list[tuple[int, ...]], files: list[Path]) -> tuple[int, int]:
    """The height and width that all files have."""
    height, width = sizes[0]
    for size, file in zip(sizes, files, strict=True):
        if size != sizes[0]:
            raise OddSizeError.of(file, size, files[0], sizes[0])
    return height, width


def reasons_by_name(root: Path, files: list[Path], failures: dict[int, Failure]) -> dict[str, str]:
    """Why files cannot be read, by their names within the folder."""
    return {
        files[place].relative_to(root).as_posix(): str(error) for place, error in failures.items()
    }


def tell_skipped(skipped: dict[str, str], count: int) -> str | None:
    """Count what was left out, with the first reasons; None if nothing was."""
    if not skipped:
        return None
    return f"skipped {len(skipped)} of {count} files: {few(list(skipped.values()), '; ')}"
