"""``threads``: the gain of a second thread, the cost of a batch, the effect of a busy machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import torch

import pocketcnn as pc
from benchmarks.busy import one_core_taken
from benchmarks.case import Case, Task
from benchmarks.contests import OURS, describe
from benchmarks.layer_cases import convolution
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.peers import pocket, pytorch
from benchmarks.report import Cell, Table, milliseconds
from benchmarks.shapes import CONVOLUTIONS
from benchmarks.timing import Contestant, Local, Timing, alternate
from benchmarks.worker import Remote

_LARGE_FLOP = 1e9
_SCALING_GROUPS = ("3x3 stride 1", "5x5 stride 1", "large kernels, large strides", "1x1")
_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 100, 128, 192, 256)
_BUSY_SECONDS = 10.0

_MakeContestants = Callable[[int, Options], list[Contestant]]


def run(options: Options, _machine: Machine) -> list[Table]:
    """Measure those of scaling, batch sizes and the busy machine that ``--filter`` selects."""
    torch.set_num_threads(options.threads)
    return [*_scaling(options), *_batch_sizes(options), *_busy(options)]


def _set_threads(threads: int) -> None:
    pc.set_num_threads(threads)
    torch.set_num_threads(threads)


# One thread against several


def _scaling(options: Options) -> list[Table]:
    many = options.threads
    title = f"1 thread against {many}"
    ours = ("ours 1, ms", f"ours {many}", "speed-up")
    theirs = ("PyTorch 1, ms", f"PyTorch {many}", "its speed-up")
    table = Table(title, ("task", "pass", *ours, *theirs), rows=[])
    for shape in CONVOLUTIONS:
        shape = replace(shape, batch=options.batch or shape.batch)
        if shape.group not in _SCALING_GROUPS or shape.flop < _LARGE_FLOP:
            continue
        case = convolution(shape)
        wanted = [step for step in case.steps if options.wants(title, case.name, step)]
        tasks = case.make(np.dtype(options.dtype)) if wanted else {}
        for step in wanted:
            _add_scaling(table, case, step, tasks[step], options)
    return [table] if table.rows else []


def _add_scaling(table: Table, case: Case, step: str, task: Task, options: Options) -> None:
    print(f"  {table.title}: {case.name} {step}", flush=True)

    def contestants(threads: int) -> list[Contestant]:
        calls = (task.ours, *task.peers.values())
        return [Local(call, lambda: _set_threads(threads)) for call in calls]

    everyone = [*contestants(1), *contestants(options.threads)]
    with torch.inference_mode():
        times = alternate(everyone, options.pace)
    _set_threads(options.threads)
    half = len(times) // 2
    one, many = times[:half], times[half:]
    ours = (one[0].minimum, many[0].minimum)
    theirs = (min(t.minimum for t in one[1:]), min(t.minimum for t in many[1:]))
    cells: list[Cell] = []
    for single, several in (ours, theirs):
        cells += [milliseconds(single), milliseconds(several), single / several]
    table.rows.append((case.name, step, *cells))
    table.data.append({"task": case.name, "pass": step, "ours": ours, "PyTorch": theirs})


# The cost of a batch


def _batch_sizes(options: Options) -> list[Table]:
    tables = []
    title = "SimpleConvNet, training step by batch size"
    if options.wants(title):
        tables.append(_batch_table(title, _step_contestants, options))
    title = "convolution 64x28x28 to 64, 3x3 p1, forward by batch size"
    if options.wants(title):
        tables.append(_batch_table(title, _convolution_contestants, options))
    return tables


def _step_contestants(batch: int, options: Options) -> list[Contestant]:
    network = replace(describe("simple_convnet", batch, options), batch=batch)
    layouts = [replace(network, variant=layout) for layout in ("NCHW", "NHWC")]
    torch.set_grad_enabled(True)
    subjects = [pocket.training(network), *map(pytorch.training, layouts)]
    return [Local(subject.run) for subject in subjects]


def _convolution_contestants(batch: int, options: Options) -> list[Contestant]:
    like = next(shape for shape in CONVOLUTIONS if shape.group == "3x3 stride 1")
    shape = replace(like, batch=batch, channels=64, size=(28, 28), filters=64)
    torch.set_grad_enabled(False)
    task = convolution(shape).make(np.dtype(options.dtype))["fwd"]
    return [Local(task.ours), *map(Local, task.peers.values())]


def _batch_table(title: str, make: _MakeContestants, options: Options) -> Table:
    columns = ("batch", "", "ours ms", "ours us an image", "PyTorch ms", "its us an image", "ratio")
    table = Table(title, columns, rows=[])
    for batch in _BATCHES:
        print(f"  {title}: {batch}", flush=True)
        ours, *theirs = alternate(make(batch, options), options.pace)
        mine, other = ours.minimum, min(time.minimum for time in theirs)
        cells: list[Cell] = []
        for seconds in (mine, other):
            cells += [milliseconds(seconds), f"{seconds / batch * 1e6:.1f}"]
        table.rows.append((str(batch), "", *cells, other / mine))
        table.data.append({"batch": batch, "ours": mine, "PyTorch": other})
        table.ratios.append((f"batch {batch}", other / mine))
    return table


# Another process takes a core


def _busy(options: Options) -> list[Table]:
    title = "SimpleConvNet (100), training step, one core taken by another process"
    if not options.wants(title):
        return []
    print(f"  {title}", flush=True)
    network = describe("simple_convnet", 100, options)
    one = replace(network, threads=1)
    runs = {
        f"pocketcnn, threads: {options.threads}": (f"{OURS}.training", network),
        "pocketcnn, threads: 1": (f"{OURS}.training", one),
    }
    for layout in ("NCHW", "NHWC"):
        for described in (network, one):
            name = f"PyTorch {layout}, threads: {described.threads}"
            runs[name] = ("pytorch.training", replace(described, variant=layout))
    # Longer bursts than usual: the scheduler gives a short burst both cores.
    seconds = max(options.pace.seconds, _BUSY_SECONDS)
    with ExitStack() as stack:
        remotes = [stack.enter_context(Remote(*arguments)) for arguments in runs.values()]
        idle = alternate(remotes, options.pace)
        with one_core_taken():
            taken = alternate(remotes, replace(options.pace, seconds=seconds))
    return [_busy_table(title, list(runs), idle, taken)]


def _busy_table(title: str, names: list[str], idle: list[Timing], taken: list[Timing]) -> Table:
    columns = ("library", "", "idle ms", "busy ms", "busy median", "times ours")
    note = "Means under load: a step that fits between two turns of the scheduler says nothing."
    table = Table(title, columns, rows=[], note=note)
    base = taken[0].mean
    for name, before, under in zip(names, idle, taken, strict=True):
        ratio = under.mean / base
        times = (before.minimum, under.mean, under.median)
        table.rows.append((name, "", *map(milliseconds, times), ratio))
        table.data.append({"library": name, "idle": before.minimum, "busy": under.mean})
        if name != names[0]:
            table.ratios.append((name, ratio))
    return table
