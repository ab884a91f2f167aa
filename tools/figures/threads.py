"""How two threads share a loop: a range each, and what the slower one has not begun."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import paper

TASKS = 8


class Run(NamedTuple):
    """A task on a thread, from one moment to another."""

    thread: int
    task: int
    start: float
    end: float


def share(delay: float) -> list[Run]:
    """Let two threads take tasks of length 1, each from its own half first.

    The second thread is put aside by the system for `delay` when it has done one task.
    """
    left = [list(range(TASKS // 2)), list(range(TASKS // 2, TASKS))]
    now = [0.0, 0.0]
    runs = []
    while any(left):
        thread = 0 if now[0] <= now[1] else 1
        own, other = left[thread], left[1 - thread]
        task = own.pop(0) if own else other.pop(0)
        runs.append(Run(thread, task, now[thread], now[thread] + 1))
        now[thread] += 1
        if thread == 1 and delay:
            now[1] += delay
            delay = 0
    return runs


def draw() -> Figure:
    """Draw the loop on two free cores, and with one core taken for a while."""
    figure, axes = paper.new_figure(9, 2.3, 2)
    for place, delay, title in zip(axes, (0, 3), ("two free cores", "one core taken"), strict=True):
        _timeline(place, share(delay), delay)
        place.set_title(title, fontsize=10)
    return figure


def _timeline(axes: Axes, runs: list[Run], delay: float) -> None:
    for run in runs:
        colour = paper.SKY if run.task < TASKS // 2 else paper.ORANGE
        axes.barh(run.thread, 0.96, 0.6, left=run.start, color=colour)
        label = f"{run.task + 1}"
        axes.text(run.start + 0.48, run.thread, label, ha="center", va="center", fontsize=9)
    if delay:
        axes.barh(1, delay - 0.04, 0.6, left=1, color="white", edgecolor=paper.GREY, hatch="///")
        middle = (1 + delay / 2, 1)
        label = axes.text(*middle, "another process", ha="center", va="center", fontsize=8)
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 2})
    axes.set_yticks([0, 1], ["thread 1", "thread 2"])
    axes.invert_yaxis()
    axes.set_xlim(0, 6.2)
    axes.set_xlabel("time")
    axes.set_xticks([])
    axes.spines[["top", "right"]].set_visible(False)
