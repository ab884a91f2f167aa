"""`pocketcnn bench`: how long the small network takes on this machine."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from pocketcnn import models, optim
from pocketcnn.commands import console
from pocketcnn.commands.scaling import predict_scale
from pocketcnn.config import get_num_threads
from pocketcnn.training.trainer import Trainer


def bench(arguments: argparse.Namespace) -> None:
    """Print the time of a training step and of its parts, for SimpleConvNet.

    Each row is repeated; the fastest and the median repetition are shown, since another program
    on the machine can only make one slower.
    """
    if arguments.scale:
        predict_scale(arguments)
        return
    size, repeat = arguments.batch_size or 100, arguments.repeat or 50
    rng = np.random.default_rng(0)
    x = rng.random((size, 1, 28, 28), dtype=np.float32)
    t = rng.integers(0, 10, size)
    net = models.simple_convnet()
    trainer = Trainer(net, optim.Adam(), batch_size=size)
    params, grads = net.params, net.gradient(x, t)
    optimizer = optim.Adam()
    rows: list[tuple[str, Callable[[], object]]] = [
        ("training step", lambda: trainer.step(x, t)),
        ("  loss and gradient", lambda: net.value_and_gradient(x, t)),
        ("  Adam update", lambda: optimizer.update(params, grads)),
        ("inference", lambda: net.predict(x)),
    ]
    threads = get_num_threads()
    console.say(
        f"SimpleConvNet, batch {size}, float32, {threads} thread{'s' * (threads != 1)}, "
        f"{repeat} repetitions"
    )
    console.say(f"{'':<20}{'fastest':>11}{'median':>11}{'images/s':>12}")
    for name, run in rows:
        times = _measure(run, repeat)
        best, middle = min(times), statistics.median(times)
        console.say(
            f"{name:<20}{best * 1e3:>8.3f} ms{middle * 1e3:>8.3f} ms{size / middle:>12,.0f}"
        )


def _measure(run: Callable[[], object], repeat: int) -> list[float]:
    for _ in range(3):
        run()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times
