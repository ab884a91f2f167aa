"""``convergence``: SimpleConvNet learns MNIST here and in PyTorch, update by update the same.

Both begin with the same weights and see the same batches at the same learning rates; they take
turns of one epoch, until both classify 99 % of the test images correctly. Only training is timed.
MNIST is found as by `pocketcnn.data.mnist()`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pocketcnn as pc
from benchmarks.contests import with_weights
from benchmarks.description import Array, Network
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Table
from benchmarks.timing import CLOCKS

# The settings of docs/results.md for this network, which says how they were chosen.
_MODEL, _BATCH, _EPOCHS, _GOAL = "simple_convnet", 100, 20, 0.99
_SCHEDULE = pc.schedules.Cosine(warmup=0.2)
_RATE, _WEIGHT_DECAY = 0.002, 0.05

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Learner:
    """A library's network in training.

    Attributes
    ----------
    name : str
    step : callable (x, t, rate) -> loss
        One update.
    scores : callable x -> (N, K)
        In inference mode.
    losses, seconds, accuracies : list of float
        Loss of each update; training time up to the end of each epoch; test accuracy after it.
    """

    name: str
    step: Callable[[Array, Labels, float], float]
    scores: Callable[[Array], Array]
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def time_to(self, goal: float) -> float:
        """Training time until an epoch reaches the accuracy; infinite if none does."""
        ends = zip(self.seconds, self.accuracies, strict=True)
        return next((seconds for seconds, accuracy in ends if accuracy >= goal), math.inf)


def run(options: Options, machine: Machine) -> list[Table]:
    """Train both, draw their curves, and compare them in a table."""
    (x, t), (x_test, t_test) = pc.data.mnist()
    x, x_test = (np.divide(images, 255, dtype=options.dtype) for images in (x, x_test))
    batch = options.batch or _BATCH
    with with_weights(_MODEL, batch, options) as network:
        learners = [_pocket(network), _pytorch(network, x[:batch])]
    rng = np.random.default_rng(0)
    updates = math.ceil(len(x) / batch)
    for epoch in range(_EPOCHS):
        order = rng.permutation(len(x))
        for learner in learners:
            start, clock = epoch * updates, CLOCKS[options.clock]
            begin = clock()
            for k, rate in enumerate(_rates(start, updates)):
                chosen = order[k * batch : (k + 1) * batch]
                learner.losses.append(learner.step(x[chosen], t[chosen], rate))
            total = learner.seconds[-1] if learner.seconds else 0.0
            learner.seconds.append(total + clock() - begin)
            learner.accuracies.append(_accuracy(learner, x_test, t_test))
            time.sleep(0.1)  # until the threads of the last library sleep
        told = (f"{one.name} {one.accuracies[-1]:.2%} {one.seconds[-1]:.0f} s" for one in learners)
        print(f"  epoch {epoch + 1}: {', '.join(told)}", flush=True)
        if all(math.isfinite(learner.time_to(_GOAL)) for learner in learners):
            break
    _draw(learners, machine, options.output / "convergence-curves.png")
    return [_table(learners)]


def _rates(start: int, updates: int) -> Iterator[float]:
    """Learning rates of an epoch's updates, starting with update number `start`."""
    for k in range(start, start + updates):
        yield _RATE * _SCHEDULE.factor(k / (_EPOCHS * updates))


def _pocket(network: Network) -> Learner:
    net = pc.models.simple_convnet().astype(network.dtype)
    trainer = pc.Trainer(net, pc.optim.AdamW(_RATE, weight_decay=_WEIGHT_DECAY))

    def step(x: Array, t: Labels, rate: float) -> float:
        trainer.optimizer.lr = rate
        return trainer.step(x, t)

    return Learner("pocketcnn", step, net.predict)


def _pytorch(network: Network, x: Array) -> Learner:
    """Choose the memory layout that is faster for a batch like `x`."""
    from benchmarks.peers import pytorch

    learners = [pytorch.learner(network, layout, _WEIGHT_DECAY) for layout in ("NCHW", "NHWC")]
    t = np.zeros(len(x), np.int64)
    times = []
    for step, _ in learners:
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            step(x, t, 0.0)
            seconds.append(time.perf_counter() - start)
        times.append(min(seconds))
    # Built again, because the trial filled the optimiser's averages.
    layout = "NHWC" if times[1] < times[0] else "NCHW"
    return Learner(f"PyTorch {layout}", *pytorch.learner(network, layout, _WEIGHT_DECAY))


def _accuracy(learner: Learner, x: Array, t: Labels) -> float:
    parts = [learner.scores(x[start : start + 1000]) for start in range(0, len(x), 1000)]
    return float((np.concatenate(parts).argmax(axis=1) == t).mean())


def _table(learners: list[Learner]) -> Table:
    ours, theirs = learners
    columns = ["epoch", ""]
    for one in learners:
        columns += [f"{one.name} loss", "test accuracy", "seconds"]
    rows = []
    epochs = len(ours.seconds)
    updates = len(ours.losses) // epochs
    for epoch in range(epochs):
        cells: list[str | float | None] = [str(epoch + 1), ""]
        for one in learners:
            loss = float(np.mean(one.losses[epoch * updates : (epoch + 1) * updates]))
            cells += [f"{loss:.4f}", f"{one.accuracies[epoch]:.2%}", f"{one.seconds[epoch]:.1f}"]
        rows.append(tuple(cells))
    mine, peer = (one.time_to(_GOAL) for one in learners)
    both = math.isfinite(mine) and math.isfinite(peer)
    times = f"{mine:.0f} s and {peer:.0f} s, ratio {peer / mine:.2f}" if both else "not reached"
    apart = [abs(a - b) for a, b in zip(ours.losses, theirs.losses, strict=True)]
    note = (
        f"Training time until an epoch ends with {_GOAL:.0%} of the test images right: "
        f"{times}. Largest difference of the two losses in the first 20 updates: "
        f"{max(apart[:20]):.1e}; later rounding is amplified, as it is between two runs of one "
        "library on two machines."
    )
    data: list[dict[str, object]] = [
        {
            "name": one.name,
            "losses": one.losses,
            "seconds": one.seconds,
            "accuracies": one.accuracies,
        }
        for one in learners
    ]
    bars = [("time to 99 %", peer / mine)] if both else []
    title = f"SimpleConvNet on MNIST, batch {_BATCH}"
    return Table(title, tuple(columns), rows, bars, data, note)


def _draw(learners: list[Learner], machine: Machine, path: Path) -> None:
    """Draw loss against updates, and accuracy against time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    styles = (("#0072B2", "-", 2.6), ("#D55E00", "--", 1.3))
    for one, (colour, line, width) in zip(learners, styles, strict=True):
        # Means of 50 updates: single batches are noise.
        smooth = np.array(one.losses[: len(one.losses) // 50 * 50]).reshape(-1, 50).mean(axis=1)
        style = {"color": colour, "linestyle": line, "linewidth": width, "label": one.name}
        left.semilogy(50 * (np.arange(len(smooth)) + 0.5), smooth, **style)
        right.plot(one.seconds, [100 * share for share in one.accuracies], **style)
    left.set(title="Loss", xlabel="update", ylabel="mean cross-entropy of 50 batches")
    right.set(title="Test accuracy", xlabel="training time, s", ylabel="correct, %")
    right.axhline(100 * _GOAL, color="#666666", linewidth=0.8)
    for axes in (left, right):
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.suptitle(f"{machine.cpu}, {machine.threads} threads", fontsize=9)
    figure.savefig(path, dpi=110)
