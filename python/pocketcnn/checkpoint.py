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

from pocketcnn.reading import excerpt
from pocketcnn.tensor_file import read_tensors, write_tensors

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

    Whoever reads `path`, whenever the process dies, finds the last checkpoint or this one, whole.

    Parameters
    ----------
    path : str or path-like
        The file; its folder is made when absent.
    arrays : mapping of str to ndarray
        What goes into the tensors.
    values : mapping
        What goes into the metadata; JSON must be able to express it.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, arrays, {"format": FORMAT, "values": json.dumps(values)})


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
    if metadata.get("format") != FORMAT or "values" not in metadata:
        raise ValueError(f"{os.fspath(path)} is a .safetensors file, but not a checkpoint")
    try:
        values = json.loads(metadata["values"])
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{os.fspath(path)} is not a valid checkpoint: {excerpt(error)}"
        ) from error
    if not isinstance(values, dict):
        raise ValueError(f"{os.fspath(path)} is not a valid checkpoint: its values have no names")
    return arrays, values


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
