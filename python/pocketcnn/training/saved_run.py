"""A checkpoint as a record in which every part has the right type.

A file may be damaged, or come from a stranger: anything unexpected raises the same error, which
names the file. Nothing here knows the run that is to be continued.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pocketcnn._text import excerpt
from pocketcnn.training.checkpoint import Arrays, join_state, read_checkpoint
from pocketcnn.training.history import COLUMNS, Record


@dataclass(frozen=True)
class SavedCallback:
    """The state of a callback; the first format does not name its class."""

    state: dict[str, object]
    kind: str | None = None
    settings: str | None = None
    takes_state: bool = True


@dataclass(frozen=True)
class Progress:
    """How far a run is in an epoch: updates made, first rate, and the generator of its order.

    `order` is the generator's state before the order was drawn.
    """

    steps: int
    learning_rate: float
    order: Mapping[str, Any]


@dataclass(frozen=True)
class SavedRun:
    """What a checkpoint holds; every part has the right type.

    `generators` are those of rank 0, `other_ranks` of the ranks from 1 on.
    """

    path: str
    identity: dict[str, object]
    settings: dict[str, object]
    validation: str | None
    history: list[Record]
    network: Arrays
    optimizer: dict[str, object]
    generators: dict[str, dict[str, Any]]
    callbacks: list[SavedCallback]
    parts: dict[str, dict[str, object]]
    progress: Progress | None
    other_ranks: list[dict[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """How many epochs the run has completed."""
        return len(self.history)


def damaged(path: str, reason: object) -> ValueError:
    """Return the error for a damaged checkpoint."""
    return ValueError(f"{path} is a damaged checkpoint: {excerpt(reason, 400)}")


def read_saved_run(path: str | os.PathLike[str]) -> SavedRun:
    """Read a checkpoint into a record.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is not a checkpoint, or something in it is missing or wrong.
    """
    path = os.fspath(path)
    arrays, values = read_checkpoint(path)
    try:
        history = [_record(n, entry) for n, entry in enumerate(_list(values, "history"), start=1)]
        if values["epoch"] != len(history) or isinstance(values["epoch"], bool):
            raise ValueError(f"epoch is {values['epoch']!r} after {len(history)} records")
        identity = _mapping(values, "identity")
        if not _is_architecture(identity.get("architecture", [])):
            raise ValueError("its architecture is no list of names and layers")
        network = {k.removeprefix("net/"): a for k, a in arrays.items() if k.startswith("net/")}
        return SavedRun(
            path=path,
            identity=identity,
            settings=_mapping(values, "settings") if "settings" in values else {},
            validation=cast("str | None", values.get("validation")),
            history=history,
            network=network,
            optimizer=join_state("optimizer", arrays, _mapping(values, "optimizer")),
            generators=cast(dict[str, dict[str, Any]], _mapping(values, "generators")),
            callbacks=_callbacks(arrays, values),
            parts=_parts(arrays, values),
            progress=_progress(values.get("progress")),
            other_ranks=_other_ranks(values),
        )
    except KeyError as error:
        raise damaged(path, f"it lacks {error}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise damaged(path, error) from error


def _is_architecture(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(layer, list) and all(isinstance(text, str) for text in layer) for layer in value
    )


def _list(values: dict[str, Any], name: str) -> list[Any]:
    if not isinstance(values[name], list):
        raise ValueError(f"{name} is no list")
    return cast(list[Any], values[name])


def _mapping(values: dict[str, Any], name: str) -> dict[str, object]:
    if not isinstance(values[name], dict):
        raise ValueError(f"{name} has no names")
    return cast(dict[str, object], values[name])


def _record(number: int, entry: object) -> Record:
    if not isinstance(entry, dict) or not entry.keys() >= set(COLUMNS):
        raise ValueError(f"record {number} of the history is none")
    for name in COLUMNS:
        optional = entry[name] is None and (name.startswith("val_") or name == "accuracy")
        if not optional and (not isinstance(entry[name], (int, float)) or entry[name] is True):
            raise ValueError(f"record {number} of the history has {name} {entry[name]!r}")
    if entry["epoch"] != number:
        raise ValueError(f"record {number} of the history is of epoch {entry['epoch']!r}")
    return cast(Record, entry)


def _callbacks(arrays: Arrays, values: dict[str, Any]) -> list[SavedCallback]:
    states = []
    for place, values_of in enumerate(_list(values, "callbacks")):
        if not isinstance(values_of, dict):
            raise ValueError(f"callback {place} has no state by names")
        states.append(join_state(f"callback/{place}", arrays, values_of))
    if "callback_kinds" not in values:  # the first format, whose early stopping does not count
        for state in states:
            if type(best := state.get("best_epoch")) is int:
                state["waited"] = len(values["history"]) - best
        return [SavedCallback(state) for state in states]
    kinds = _list(values, "callback_kinds")
    if len(kinds) != len(states) or not all(map(_is_kind, kinds)):
        raise ValueError(f"callback_kinds is {kinds!r}")
    return [SavedCallback(state, *kind) for state, kind in zip(states, kinds, strict=True)]


def _parts(arrays: Arrays, values: dict[str, Any]) -> dict[str, dict[str, object]]:
    """Return the states of the trainer's parts, which the first formats do not have."""
    states = _mapping(values, "parts") if "parts" in values else {}
    if not all(isinstance(state, dict) for state in states.values()):
        raise ValueError("a part has no state by names")
    return {
        name: join_state(f"part/{name}", arrays, cast(dict[str, object], state))
        for name, state in states.items()
    }


def _other_ranks(values: dict[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """Return the generators of the ranks from 1 on, which a run of one process does not have."""
    ranks = _list(values, "other_ranks") if "other_ranks" in values else []
    if not all(isinstance(states, dict) for states in ranks):
        raise ValueError("a rank has no generators by names")
    return ranks


def _progress(value: object) -> Progress | None:
    """Return the place in the middle of an epoch; None after a whole epoch."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"progress is {value!r}")
    steps, rate, order = (value.get(name) for name in ("steps", "learning_rate", "order"))
    if (
        type(steps) is not int
        or steps < 1
        or type(rate) not in (int, float)
        or not abs(cast(float, rate)) <= sys.float_info.max
        or not isinstance(order, dict)
    ):
        raise ValueError(f"progress is {value!r}")
    return Progress(steps, float(cast(float, rate)), order)


def _is_kind(value: object) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [str, str, bool]
