"""Data sets in `.npz` files, as `numpy.savez` writes them; no code of the file is run."""

from __future__ import annotations

import io
import math
import os
import re
import zipfile
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pocketcnn.data.files import as_path, blaming, open_regular
from pocketcnn.data.idx import GZIP_RATIO
from pocketcnn.data.listing import few

Pair: TypeAlias = "tuple[NDArray[Any], NDArray[Any]]"

_IMAGES = ("x", "images", "image", "data", "features", "inputs")
_LABELS = ("t", "y", "labels", "label", "targets", "target")
_PARTS = ("train", "test", "val", "valid", "validation")
_TEST_PARTS = ("test", "val", "valid", "validation")


def npz(path: str | os.PathLike[str]) -> Pair | tuple[Pair, Pair]:
    """Read images and targets from a `.npz` file.

    Arrays are found by name, in any case: images are `x`, `images` or `data`, targets are `t`, `y`,
    `labels` or `targets`. With test images there are two of each: `x_train` and `x_test`, or
    `train_images` and `test_images`; `val` counts as test if there is no `test`.

    Images (N, H, W) become (N, 1, H, W), and (N, H, W, C) of 1, 3 or 4 channels (N, C, H, W); other
    shapes stay. So do all values and types, but integer targets become int64, and targets (N, 1)
    become (N,).

    No more memory is taken than the arrays have by their headers, and no more than the file can
    hold, which is a thousand times its length where it is compressed.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    (x, t), or ((x_train, t_train), (x_test, t_test)) if the file has test images

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is damaged, has arrays of objects, or not the arrays that are wanted.
    """
    file_path = as_path("path", path)
    with open_regular(file_path) as file, blaming(file_path, "an .npz file"):
        length = os.fstat(file.fileno()).st_size
        with zipfile.ZipFile(file) as archive:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
            pairs = {}
            for part, (x_name, t_name) in _match(list(members)).items():
                x, t = (_read(archive, members[name], length) for name in (x_name, t_name))
                pairs[part] = _as_pair(x, t, (x_name, t_name))
    if "test" not in pairs:
        return pairs["train"]
    return pairs["train"], pairs["test"]


def _match(names: list[str]) -> dict[str, tuple[str, str]]:
    """The names of images and targets, of "train" and maybe of "test"."""
    found: dict[tuple[str, str], str] = {}
    for name in names:
        words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
        parts = [word for word in words if word in _PARTS]
        rest = [word for word in words if word not in _PARTS]
        if len(rest) == 1 and len(parts) < 2 and rest[0] in _IMAGES + _LABELS:
            key = (parts[0] if parts else "", "x" if rest[0] in _IMAGES else "t")
            if key in found:
                raise ValueError(f"{found[key]!r} and {name!r} may both be meant: rename one")
            found[key] = name
    whole = [part for part in ("", *_PARTS) if (part, "x") in found and (part, "t") in found]
    train = "train" if "train" in whole else ""
    if train not in whole:
        known = few([repr(name) for name in names], ", ") or "none"
        raise ValueError(f"wanted arrays x and t, or x_train and t_train; it has {known:.300}")
    test = [part for part in _TEST_PARTS if part in whole]
    chosen = {"train": train, **({"test": test[0]} if test else {})}
    return {name: (found[part, "x"], found[part, "t"]) for name, part in chosen.items()}


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, length: int) -> NDArray[Any]:
    """Read one array, whose header may say anything."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename!r:.80} is compressed otherwise than NumPy does")
    ratio = 1 if info.compress_type == zipfile.ZIP_STORED else GZIP_RATIO
    if info.compress_size > length or info.file_size > ratio * info.compress_size + 64:
        raise ValueError(f"{info.filename!r:.80} states more than the file has room for")
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
        if dtype.hasobject or dtype.kind not in "fiub":
            raise ValueError(f"{info.filename!r:.80} has dtype {dtype}: wanted numbers")
        wanted = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or stream.tell() + wanted != info.file_size:
            raise ValueError(f"{info.filename!r:.80} states {shape} {dtype}, but has another size")
        content = bytearray(wanted)
        with io.BufferedReader(stream) as buffered:  # type: ignore[type-var]
            if buffered.readinto(content) != wanted or buffered.read(1):
                raise ValueError(f"{info.filename!r:.80} ends early")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _as_pair(x: NDArray[Any], t: NDArray[Any], names: tuple[str, str]) -> Pair:
    if x.ndim < 2 or t.ndim < 1 or len(x) != len(t) or len(x) == 0:
        raise ValueError(
            f"{names[0]!r} has shape {x.shape} and {names[1]!r} {t.shape}: wanted as many targets "
            "as images"
        )
    if x.ndim == 3:
        x = x[:, np.newaxis]
    elif x.ndim == 4 and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        x = x.transpose(0, 3, 1, 2)
    if t.shape[1:] == (1,):
        t = t[:, 0]
    return np.ascontiguousarray(x), t.astype(np.int64) if t.dtype.kind in "iub" else t
