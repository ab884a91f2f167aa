"""``teams``: the teams "openmp" and "own" in turn, in one process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

import numpy as np

import pocketcnn as pc
from benchmarks.busy import load, one_core_taken
from benchmarks.contests import TITLES, describe
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.peers import pocket
from benchmarks.report import Cell, Table, milliseconds
from benchmarks.timing import Local, Pace, Timing, alternate

_Step = Callable[[], object]

_NETWORKS = (("simple_convnet", 100), ("lenet5", 100), ("resnet18", 8))
_LOAD = 10
_BUSY_SECONDS = 10.0
_COMPANY = "in one process with another library's threads"
_CONDITIONS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "idle": nullcontext,
    "one core taken": one_core_taken,
    f"load {_LOAD}": lambda: load(_LOAD),
}
# How much slower OpenMP may be and still be the default.
_BOUNDS = {"idle": 1.03, "one core taken": 1.3}


def run(options: Options, _machine: Machine) -> list[Table]:
    """Measure what ``--filter`` selects; the step is a whole training step."""
    if pc.available_teams() != ["openmp", "own"]:
        raise SystemExit("this build has no team on OpenMP to compare our own with")
    tables = [_table(condition, options) for condition in _CONDITIONS]
    return [table for table in [*tables, _company(options)] if table.rows]


def _table(condition: str, options: Options) -> Table:
    table = _empty(f"training steps, {condition}")
    for model, batch in _NETWORKS:
        count = options.batch or batch
        name = f"{TITLES[model]} ({count})"
        if not options.wants(table.title, name):
            continue
        step = pocket.training(describe(model, count, options)).run
        with _CONDITIONS[condition]():
            _add(table, name, step, _pace(condition, options))
    return replace(table, note=_verdict(condition, table))


def _pace(condition: str, options: Options) -> Pace:
    """Longer bursts on a busy machine: the scheduler gives a short burst every core."""
    seconds = (
        options.pace.seconds if condition == "idle" else max(options.pace.seconds, _BUSY_SECONDS)
    )
    return replace(options.pace, seconds=seconds)


def _company(options: Options) -> Table:
    """A step of ours, then work of another library: their threads compete."""
    table = _empty(_COMPANY)
    wanted = [name for name in ("NumPy's OpenBLAS", "PyTorch") if options.wants(_COMPANY, name)]
    for name, other in _others(wanted, options):
        ours = pocket.training(describe("simple_convnet", 100, options)).run

        def both(ours: _Step = ours, other: _Step = other) -> None:
            ours()
            other()

        _add(table, f"SimpleConvNet (100), {name}", both, options.pace)
    return table


def _others(names: list[str], options: Options) -> Iterator[tuple[str, _Step]]:
    if "NumPy's OpenBLAS" in names:
        matrix = np.ones((512, 512), options.dtype)
        yield "NumPy's OpenBLAS", lambda: matrix @ matrix
    if "PyTorch" in names:
        from benchmarks.peers import pytorch  # only after the others have been measured without it

        network = describe("simple_convnet", 100, options)
        yield "PyTorch", pytorch.training(replace(network, variant="NCHW")).run


def _empty(title: str) -> Table:
    columns = ["task", ""]
    for name in pc.available_teams():
        columns += [f"{name} ms", "median", "mean"]
    return Table(title, (*columns, "openmp / own", "of medians", "of means"), rows=[])


def _add(table: Table, name: str, step: _Step, pace: Pace) -> None:
    print(f"  {table.title}: {name}", flush=True)
    teams = pc.available_teams()
    before = pc.team()
    contestants = [Local(step, partial(pc.set_team, name)) for name in teams]
    times = dict(zip(teams, alternate(contestants, pace), strict=True))
    pc.set_team(before)
    cells: list[Cell] = []
    for time in times.values():
        cells += map(milliseconds, (time.minimum, time.median, time.mean))
    ratios = _ratios(times["openmp"], times["own"])
    table.rows.append((name, "step", *cells, *ratios))
    table.data.append({"task": name, **{team: vars(time) for team, time in times.items()}})
    table.ratios.append((name, ratios[1]))


def _ratios(openmp: Timing, own: Timing) -> tuple[float, float, float]:
    """Ratios of minima, medians and means: above 1 the team "own" is faster."""
    return (openmp.minimum / own.minimum, openmp.median / own.median, openmp.mean / own.mean)


def _verdict(condition: str, table: Table) -> str:
    """Compare with the bound: medians on an idle machine, else means."""
    if condition not in _BOUNDS or not table.rows:
        return ""
    column = -2 if condition == "idle" else -1
    ratios = [float(row[column] or math.nan) for row in table.rows]
    middle = math.exp(sum(map(math.log, ratios)) / len(ratios))
    kind = table.columns[column]
    return (
        f"{kind}: mean {middle:.3f}, highest {max(ratios):.3f}; "
        f"OpenMP is the default up to {_BOUNDS[condition]}."
    )
