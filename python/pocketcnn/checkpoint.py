"""A training run in one file, written so that it is whole at every moment.

The file is a safetensors file: the arrays of the network, of the optimiser and of the callbacks
under the prefixes `net/`, `optimizer/` and `callback/<position>/`, and everything else (numbers,
the states of the random generators, the history) as JSON in its metadata. There is no pickle.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

if TYPE_CHECKING:
    from pocketcnn.net import ConvNet

Arrays = dict[str, NDArray[Any]]
FORMAT = "pocketcnn checkpoint 1"


def network_arrays(net: ConvNet) -> Arrays:
    """Return every array that changes while `net` trains, by name; not copies.

    These are the parameters and the running statistics of batch normalisation.
    """
    return {**net.params, **net.buffers}


def write_checkpoint(
    path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], values: Mapping[str, object]
) -> None:
    """Write a checkpoint, replacing the last one in one step.

    A temporary file in the same folder is written and forced to the disk before it takes the
    name `path`: whoever reads `path`, whenever the process dies, finds the last checkpoint or
    this one, whole.

    Parameters
    ----------
    path : str or path-like
        The file; its folder is made when absent.
    arrays : mapping of str to ndarray
        What goes into the tensors.
    values : mapping
        What goes into the metadata; JSON must be able to express it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    content = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        metadata={"format": FORMAT, "values": json.dumps(values)},
    )
    # Always the same name: a process that was killed leaves at most one such file, which the
    # next checkpoint overwrites.
    temporary = target.with_name(target.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    _sync_folder(target.parent)


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
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not a checkpoint.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {os.fspath(path)!r}")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{os.fspath(path)!r} is not a checkpoint: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{os.fspath(path)!r} is a safetensors file, but not a checkpoint")
    return arrays, json.loads(metadata["values"])


def split_state(prefix: str, state: Mapping[str, object]) -> tuple[Arrays, dict[str, object]]:
    """Divide a state dict into its arrays, named with `prefix`, and the rest."""
    arrays = {
        f"{prefix}/{key}": value for key, value in state.items() if isinstance(value, np.ndarray)
    }
    values = {key: value for key, value in state.items() if not isinstance(value, np.ndarray)}
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


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk, where the system knows how to (Windows does not)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
