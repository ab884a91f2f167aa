"""The pool of memory while a network trains, as it is: what is in use, and what is kept."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from matplotlib.figure import Figure

import pocketcnn as pc
from pocketcnn import _core

from . import paper

MEBIBYTE = 2**20
STEPS = 4


class Sample(NamedTuple):
    """The pool's two parts at a moment, in bytes."""

    moment: float
    used: int
    kept: int


def watch() -> tuple[list[Sample], list[float]]:
    """Look at the pool during some training steps; return what changed, and when steps ended."""
    (x, t), _ = pc.data.digits()
    x, t = x[:100] / 255, t[:100]
    trainer = pc.Trainer(pc.models.deep_convnet(seed=0), pc.optim.SGD(0.01))
    _core.release_cached_memory()
    samples = [Sample(time.perf_counter(), *_core.memory_use())]
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            sample = Sample(time.perf_counter(), *_core.memory_use())
            if sample[1:] != samples[-1][1:]:
                samples.append(sample)
            time.sleep(0.0001)

    watcher = threading.Thread(target=look)
    watcher.start()
    ends = []
    for _ in range(STEPS):
        trainer.step(x, t)
        ends.append(time.perf_counter())
    done.set()
    watcher.join()
    return samples, ends


def draw() -> Figure:
    """Draw the pool's two parts over the first steps of DeepConvNet."""
    samples, ends = watch()
    figure, (axes,) = paper.new_figure(8, 2.8)
    moments = [sample.moment for sample in samples]
    used = [sample.used / MEBIBYTE for sample in samples]
    kept = [sample.kept / MEBIBYTE for sample in samples]
    axes.stackplot(
        *(moments, used, kept),
        colors=[paper.ORANGE, "#cfe6f5"],
        labels=["in use", "kept"],
        step="post",
    )
    top = 1.15 * max(a + b for a, b in zip(used, kept, strict=True))
    for number, end in enumerate(ends, start=1):
        axes.axvline(end, color=paper.GREY, linewidth=0.8, linestyle=":")
        axes.text(end, top, f"step {number} ends ", ha="right", va="top", fontsize=8)
    axes.set_xlim(moments[0], ends[-1])
    axes.set_ylim(0, top)
    axes.set_xticks([])
    axes.set_xlabel("time")
    axes.set_ylabel("MiB")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside right center", reverse=True)
    return figure
