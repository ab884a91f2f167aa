"""``layers``: each layer and pass separately against PyTorch, in one process, in turn.

PyTorch runs with its images in NCHW and in channels_last memory; the faster counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import pocketcnn as pc
from benchmarks.case import Case, Task
from benchmarks.layer_cases import cases
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.races import Race, race_tables
from benchmarks.report import Table
from benchmarks.timing import Local, alternate

# Far above rounding errors, far below the error of a wrong result.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-9}


def run(options: Options, machine: Machine) -> list[Table]:
    """Measure every layer and pass that ``--filter`` selects."""
    pc.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    return race_tables(_races(options), machine.peak(options.dtype))


def _races(options: Options) -> Iterator[Race]:
    for case in cases(options.batch):
        wanted = [step for step in case.steps if options.wants(case.group, case.name, step)]
        if wanted:
            tasks = case.make(np.dtype(options.dtype))
            for step in wanted:
                yield _race(case, step, tasks[step], options)


def _race(case: Case, step: str, task: Task, options: Options) -> Race:
    ours = task.ours()
    for variant, peer in task.peers.items():
        require_equal(f"{case.name} {step}, {variant}", ours, peer(), options.dtype)
    contestants = [Local(task.ours), *map(Local, task.peers.values())]
    mine, *theirs = alternate(contestants, options.pace)
    return Race(
        group=case.group,
        name=case.name,
        step=step,
        ours=mine,
        peers={f"PyTorch/{name}": t for name, t in zip(task.peers, theirs, strict=True)},
        flop=case.flop,
    )


def require_equal(what: str, ours: Any, theirs: Any, dtype: str) -> None:
    """Stop if the two did not compute the same: their times would mean nothing."""
    for mine, other in zip(_arrays(ours), _arrays(theirs), strict=True):
        scale = max(np.abs(other).max(), np.finfo(dtype).tiny)
        error = np.abs(mine - other).max() / scale
        if not error <= _TOLERANCE[dtype]:
            raise AssertionError(f"{what}: results differ by {error:.1e} of the largest")


def _arrays(result: Any) -> list[NDArray[Any]]:
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return [np.asarray(part) for part in parts if part is not None]
