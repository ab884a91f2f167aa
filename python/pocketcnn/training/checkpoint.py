"""A training run in one file, which is complete at every moment.

The file is a safetensors file: the arrays of the network, of the optimiser, of the callbacks and of
the trainer's parts under the prefixes `net/`, `optimizer/`, `callback/<position>/` and
`part/<name>/`, and everything else (numbers, the states of the random generators, the history) as
JSON in its metadata. There is no pickle.

The previous checkpoint is kept beside it, in case the last one is damaged: `run.1.safetensors`
beside `run.safetensors`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketcnn._files.atomic import write_atomically
from pocketcnn._files.tensor_file import read_tensors, write_tensors
from pocketcnn._text import excerpt
from pocketcnn.network.net import ConvNet

Arrays = dict[str, NDArray[Any]]
FORMAT = "pocketcnn checkpoint 3"
FORMATS = ("pocketcnn checkpoint 1", "pocketcnn checkpoint 2", FORMAT)
"""Formats that can be read.

The first has no digests of data and no names of callbacks; the second is of whole epochs only.
"""

_DTYPES = frozenset(map(np.dtype, "?bBhHiIqQefd"))


def network_arrays(net: ConvNet) -> Arrays:
    """Return every array that changes while `net` trains, by name, without copies.

    These are the parameters and the running statistics of batch normalisation.
    """
    return {**net.params, **net.buffers}


def write_checkpoint(
    path: str | os.PathLike[str],
    arrays: Mapping[str, NDArray[Any]],
    values: Mapping[str, object],
    *,
    keep_previous: bool = False,
) -> None:
    """Write a checkpoint, replacing the last one in one step.

    Even if the process is killed, `path` always holds the last checkpoint or this one, complete.

    Parameters
    ----------
    path : str or path-like
        The file; its folder is created if needed.
    arrays : mapping of str to ndarray
        What goes into the tensors.
    values : mapping
        What goes into the metadata; it must be valid JSON.
    keep_previous : bool
        Whether an existing file becomes the one of `previous_path`; otherwise there is no previous
        file afterwards.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if keep_previous:
        _keep(path)
    write_tensors(path, arrays, {"format": FORMAT, "values": json.dumps(values)})
    if not keep_previous:
        previous_path(path).unlink(missing_ok=True)


def previous_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of the previous checkpoint.

    Examples
    --------
    >>> previous_path("run.safetensors").name
    'run.1.safetensors'
    """
    target = Path(os.path.realpath(path))
    return target.with_name(f"{target.stem}.1{target.suffix}")


def require_writable(path: str | os.PathLike[str]) -> None:
    """Make the folder of a checkpoint if needed, and check that a file can be written there.

    Raises
    ------
    OSError
        It cannot; the error names the path.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"checkpoint is {os.fspath(path)!r}, a folder: wanted a file")
    if target.parent.exists() and not target.parent.is_dir():
        raise NotADirectoryError(f"checkpoint is {os.fspath(path)!r}: {target.parent} is no folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = target.with_name(f".{secrets.token_hex(8)}.tmp")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise type(error)(
            error.errno, f"no checkpoint can be written: {os.strerror(error.errno or 0)}", str(path)
        ) from error


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """Read what `write_checkpoint` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    arrays : dict of str to ndarray
    values : dict

    Raises
    ------
    OSError
        There is no such file.
    ValueError
        The file is not a checkpoint, or is damaged.
    """
    arrays, metadata = read_tensors(path)
    if metadata.get("format") not in FORMATS or "values" not in metadata:
        raise ValueError(f"{os.fspath(path)} is a .safetensors file, but not a checkpoint")
    try:
        values = json.loads(metadata["values"])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is a damaged checkpoint: {excerpt(error)}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{os.fspath(path)} is a damaged checkpoint: its values have no names")
    return arrays, values


def split_state(
    prefix: str, owner: str, state: Mapping[str, object]
) -> tuple[Arrays, dict[str, Any]]:
    """Split a state dict into its arrays, named with `prefix`, and the rest.

    Raises
    ------
    TypeError
        The state of `owner` has something that a checkpoint cannot store.
    """
    arrays: Arrays = {}
    values: dict[str, Any] = {}
    for key, value in state.items():
        where = f"{key!r} in the state of {owner}"
        if not isinstance(value, np.ndarray):
            values[key] = plain(where, value)
        elif value.dtype.newbyteorder("=") in _DTYPES:
            arrays[f"{prefix}/{key}"] = value
        else:
            raise TypeError(f"{where} has dtype {value.dtype}, which a checkpoint cannot keep")
    return arrays, values


def join_state(
    prefix: str, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, object]
) -> dict[str, object]:
    """Undo `split_state`."""
    start = f"{prefix}/"
    chosen = {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }
    return {**values, **chosen}


def plain(where: str, value: object) -> Any:
    """Return a value as JSON has it: NumPy numbers become Python numbers, and tuples lists.

    Raises
    ------
    TypeError
        JSON has no such value; the message begins with `where`.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(where, item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(where, item) for key, item in value.items()}
    raise TypeError(
        f"{where} is a {type(value).__name__}, but a checkpoint keeps arrays, numbers, strings, "
        "None, and lists and dicts of them"
    )


def plain_state(state: Any) -> Any:
    """Return the state of a generator with lists instead of arrays, which it also accepts."""
    if isinstance(state, np.ndarray):
        return state.tolist()
    if isinstance(state, dict):
        return {key: plain_state(value) for key, value in state.items()}
    return plain("a generator's state", state)


def _keep(path: str | os.PathLike[str]) -> None:
    """Link the file at `path` under the previous file's name too; `path` stays in place."""
    target, previous = Path(os.path.realpath(path)), previous_path(path)
    if not target.is_file():
        return
    try:
        previous.unlink(missing_ok=True)
        os.link(target, previous)
    except OSError:  # a file system without links
        with write_atomically(previous) as temporary:
            shutil.copyfile(target, temporary)
