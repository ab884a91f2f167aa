"""``census``: every convolution of published networks, instead of a choice of them.

Forward, and the gradients of input and weights, against the better of PyTorch's memory layouts, in
turn, in one process and in a random order, so that a part of a run is a fair sample. Each row is
written to a file at once, with which ``--resume`` goes on. With ``--kinds`` other layers, of sizes
drawn at random.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pocketcnn as pc
from benchmarks.case import Task
from benchmarks.census_draws import Item, items
from benchmarks.census_report import tables
from benchmarks.layers import require_equal
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Table
from benchmarks.timing import Local, Pace, alternate

_FEWEST_ALTERNATIONS = 3
_REPORT_SECONDS = 30.0

Row = dict[str, Any]


def run(options: Options, _machine: Machine) -> list[Table]:
    """Measure the layers that ``--filter`` and the limits select."""
    pc.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    path = options.output / f"{options.stem}-{options.threads}.jsonl"
    seed, rows = _begin(path, options)
    print(f"  seed {seed}; rows are kept in {path}", flush=True)
    wanted = [
        item
        for kind in options.kinds
        for item in items(kind, options.sample, seed, options.batch)
        if options.wants(item.case.group, item.case.name, *item.networks)
    ]
    # A limit of time must not leave out the last kinds.
    order = np.random.default_rng(seed).permutation(len(wanted))
    try:
        with path.open("a", encoding="utf-8") as kept:
            for row in _measure([wanted[place] for place in order], rows, options):
                kept.write(json.dumps(row) + "\n")
                kept.flush()
                rows.append(row)
    except KeyboardInterrupt:
        print("  stopped; --resume goes on", flush=True)
    return tables(rows, f"Seed {seed}.")


def _begin(path: Path, options: Options) -> tuple[int, list[Row]]:
    """The seed, and the rows that a run before has left, if it is to be resumed."""
    if options.resume and path.exists():
        head, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        if options.seed not in (None, head["seed"]):
            raise SystemExit(f"{path} is of seed {head['seed']}, not {options.seed}")
        return head["seed"], rows
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    path.write_text(json.dumps({"seed": seed}) + "\n", encoding="utf-8")
    return seed, []


def _measure(wanted: list[Item], known: list[Row], options: Options) -> Iterator[Row]:
    """Give the rows that are not known yet, until the time is over."""
    done = {(row["group"], row["name"], row["step"]) for row in known}
    start = shown = time.monotonic()
    for place, item in enumerate(wanted):
        case = item.case
        missing = [step for step in case.steps if (case.group, case.name, step) not in done]
        done.update((case.group, case.name, step) for step in missing)  # drawn twice, it is one
        tasks = case.make(np.dtype(options.dtype)) if missing else {}
        for step in missing:
            yield _row(item, step, tasks[step], options)
        now = time.monotonic()
        if options.minutes is not None and now > start + 60 * options.minutes:
            print(f"  time is over after {place + 1} of {len(wanted)} layers", flush=True)
            return
        if now > shown + _REPORT_SECONDS:
            shown = now
            print(f"  {place + 1} of {len(wanted)} layers, {now - start:.0f} s", flush=True)


def _row(item: Item, step: str, task: Task, options: Options) -> Row:
    """Compare and time one pass; the times are minima in seconds."""
    case = item.case
    row: Row = {"group": case.group, "name": case.name, "step": step}
    row |= {"batch": item.batch, "networks": item.networks}
    calls = {"ours": task.ours, **task.peers}
    ours, start = task.ours(), time.perf_counter()
    try:
        for variant, peer in task.peers.items():
            require_equal(f"{case.name} {step}, {variant}", ours, peer(), options.dtype)
    except AssertionError as error:
        print(f"  {error}", flush=True)
        return row | {"void": str(error)}
    pace = _bounded(options.pace, time.perf_counter() - start)
    times = alternate([Local(call) for call in calls.values()], pace)
    return row | {name: time.minimum for name, time in zip(calls, times, strict=True)}


def _bounded(pace: Pace, round_seconds: float) -> Pace:
    """Fewer alternations where the calls are so slow that the time would be over before."""
    possible = int(pace.seconds / round_seconds)
    alternations = min(pace.alternations, max(_FEWEST_ALTERNATIONS, possible))
    return Pace(pace.seconds, alternations, pace.clock)
