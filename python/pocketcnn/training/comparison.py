"""Whether a checkpoint is of the run that is to continue it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from pocketcnn.training.callbacks import Callback
from pocketcnn.training.checkpoint import network_arrays, plain, plain_state
from pocketcnn.training.divergence import is_finite
from pocketcnn.training.run import Run, every_generator
from pocketcnn.training.saved_run import SavedCallback, SavedRun, damaged


def takes_state(callback: Callback) -> bool:
    """Whether a callback restores its state: some only save one."""
    return type(callback).load_state_dict is not Callback.load_state_dict


# What the first formats do not have, as it was then.
_EARLIER: dict[str, object] = {
    "frozen": [],
    "sample_weight": None,
    "loss": None,
    "metrics": [],
    "clip_norm": None,
    "accumulate": 1,
    "ema": None,
}


def compare_identity(saved: SavedRun, identity: Mapping[str, object]) -> None:
    """Raise ValueError if data, layers or settings are not those of the checkpoint."""
    begin = f"checkpoint {saved.path!r}"
    for name, mine in identity.items():
        given = saved.identity.get(name, _EARLIER.get(name))
        if given == plain(name, mine) or (not saved.settings and _is_vague(name, given)):
            continue
        if name not in saved.identity and name not in _EARLIER:
            raise damaged(saved.path, f"its identity lacks {name!r}")
        if name == "architecture":
            layers = cast(list[list[str]], given), cast(list[list[str]], mine)
            difference = _differing_layer(*layers)
            raise ValueError(f"{begin} is of another network: {difference}")
        if name in ("x", "t", "sample_weight"):
            raise ValueError(f"{begin} is of other data: {name} is not what it was")
        raise ValueError(f"{begin} has {name} {given!r}, but this run has {mine!r}")


def _is_vague(name: str, given: object) -> bool:
    """Whether the first format stores too little to compare: no data, or a memory address."""
    return given is None or (name == "augment" and (" at 0x" in str(given) or given == "<lambda>"))


def _differing_layer(theirs: list[list[str]], mine: list[list[str]]) -> str:
    for entry, own in zip(theirs, mine, strict=False):
        if entry != own:
            return f"it has {' '.join(entry)}, this one has {' '.join(own)}"
    return f"it has {len(theirs)} layers, this one has {len(mine)}"


def compare_network(saved: SavedRun, trainer: Run) -> None:
    """Raise ValueError if the arrays of network and optimiser have other names or shapes."""
    own = network_arrays(trainer.net)
    for name in own.keys() | saved.network.keys():
        if name not in own or name not in saved.network:
            where = "only it has" if name in saved.network else "it lacks"
            raise ValueError(f"checkpoint {saved.path!r} is of another network: {where} {name}")
        came, wanted = saved.network[name], own[name]
        if (came.shape, came.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"checkpoint {saved.path!r} is of another network: its {name} is {came.dtype} "
                f"{came.shape}, this one's is {wanted.dtype} {wanted.shape}"
            )
    for name, param in trainer.net.params.items():
        if not is_finite(saved.network[name]):
            raise damaged(saved.path, f"{name} has values that are not finite")
        for key, state in saved.optimizer.items():
            if not isinstance(state, np.ndarray) or key.partition("/")[2] != name:
                continue
            if (state.shape, state.dtype) != (param.shape, param.dtype):
                raise damaged(saved.path, f"{key} is {state.dtype} {state.shape}")


def compare_generators(saved: SavedRun, trainer: Run) -> None:
    """Raise ValueError if the random generators are others, or cannot take their states."""
    own = every_generator(trainer)
    if odd := sorted(own.keys() ^ saved.generators.keys()):
        raise ValueError(
            f"checkpoint {saved.path!r} is of another network: only one of them draws random "
            f"numbers in {', '.join(odd)}"
        )
    for states in (saved.generators, *saved.other_ranks):
        if states.keys() != own.keys():
            raise damaged(saved.path, "its ranks have different generators")
        for name, rng in own.items():
            _check_state(saved.path, name, rng, states[name])


def compare_progress(saved: SavedRun, trainer: Run, batches: int) -> None:
    """Raise ValueError if a run cannot be in the middle of an epoch as the checkpoint says."""
    progress = saved.progress
    if progress is None:
        return
    if progress.steps > batches:
        raise damaged(saved.path, f"it has {progress.steps} updates in an epoch of {batches}")
    if "counts" not in saved.parts:
        raise damaged(saved.path, "it lacks the sums of its epoch")
    name = "trainer.order"
    _check_state(saved.path, name, trainer.generators[name], progress.order)


def _check_state(
    path: str, name: str, rng: np.random.Generator, state: Mapping[str, object]
) -> None:
    try:
        trial = type(rng.bit_generator)()
        trial.state = state
        same = plain_state(trial.state) == state
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError) as error:
        raise damaged(path, f"generator {name} has no such state: {error}") from error
    if not same:
        raise damaged(path, f"generator {name} has no such state")


def match(
    saved: SavedRun, callbacks: Sequence[Callback], states: Sequence[dict[str, object]]
) -> list[SavedCallback | None]:
    """Find the saved state of each callback, in the same order.

    Those without a state, such as a progress bar, may be added or left out.
    """
    theirs = [entry for entry in saved.callbacks if entry.state and entry.takes_state]
    matched: list[SavedCallback | None] = []
    for callback, own in zip(callbacks, states, strict=True):
        kind, state = type(callback).__name__, own if takes_state(callback) else {}
        if theirs and (theirs[0].kind == kind or (theirs[0].kind is None and state)):
            matched.append(theirs.pop(0))
        elif not state:
            matched.append(None)
        else:
            instead = f"the checkpoint {theirs[0].kind}" if theirs else "the checkpoint none"
            raise ValueError(f"checkpoint {saved.path!r}: this run has {kind}, {instead}")
    if theirs:
        kinds = ", ".join(entry.kind or "a callback" for entry in theirs)
        raise ValueError(
            f"checkpoint {saved.path!r} was written with {kinds}, which this run lacks"
        )
    return matched
