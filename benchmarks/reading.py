"""``reading``: how much of a training is spent waiting for the pictures that it reads meanwhile.

The pictures are made: coloured clouds with some noise, as JPEG or PNG files in folders by class.
Reading and training are timed alone and together, in turn; the best of the rounds counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import pocketcnn as pc
from benchmarks.description import Array
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Table
from pocketcnn.data.prefetch import in_order

_ROUNDS = 3
_NOTE = (
    "Images per second. Waiting: the share of the time together in which the training's thread "
    "has no batch. Reading takes time of the processor too, which is why the two together are "
    "slower than the training alone."
)


@dataclass(frozen=True)
class Case:
    """A network, its size, and the files that it is trained on."""

    name: str
    make: Callable[[int], pc.ConvNet]
    size: int
    files: tuple[int, int]
    ending: str
    images: int
    batch: int


CASES = (
    Case("compact ResNet, PNG of 32 x 32", lambda n: _net("compact_resnet", n, 32), 32, (32, 32),
         "png", 2560, 128),
    Case("compact ResNet, JPEG of 500 x 375", lambda n: _net("compact_resnet", n, 32), 32,
         (500, 375), "jpg", 1280, 128),
    Case("ResNet-18, JPEG of 500 x 375", lambda n: _net("resnet18", n, 224), 224, (500, 375),
         "jpg", 128, 16),
)  # fmt: skip


def run(options: Options, _machine: Machine) -> list[Table]:
    """Measure the cases that ``--filter`` selects."""
    columns = ("training on", "reading alone", "training alone", "together", "waiting %")
    table = Table("Reading while training", columns, rows=[], note=_NOTE)
    for case in CASES:
        if options.wants(case.name):
            print(f"  {case.name}", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                _draw(Path(folder), case)
                _measure(table, case, Path(folder))
    return [table]


def _net(name: str, classes: int, size: int) -> pc.ConvNet:
    make = getattr(pc.models, name)
    net: pc.ConvNet = make(num_classes=classes, input_shape=(3, size, size))
    return net


def _draw(folder: Path, case: Case) -> None:
    rng = np.random.default_rng(0)
    width, height = case.files
    for number in range(case.images):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        clouds = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = clouds + rng.integers(-8, 9, clouds.shape, np.int16)
        file = folder / str(number % 2) / f"{number}.{case.ending}"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file)


def _measure(table: Table, case: Case, folder: Path) -> None:
    with pc.data.ImageFolder(folder, case.size) as files:
        trainer = pc.Trainer(case.make(2), pc.optim.SGD(1e-5), batch_size=case.batch)
        x, t = files.batch(np.arange(len(files)))
        read, alone, together = [], [], []
        for _ in range(_ROUNDS + 1):  # the first is not counted
            read.append(_pass(in_order(files, case.batch))[0])
            starts = range(0, len(files), case.batch)
            parts = ((x[at : at + case.batch], t[at : at + case.batch]) for at in starts)
            alone.append(_pass(parts, trainer)[0])
            together.append(_pass(in_order(files, case.batch), trainer))
    seconds = [min(read[1:]), min(alone[1:]), min(together[1:])[0]]
    waited = 100 * min(together[1:])[1] / seconds[2]
    speeds = [f"{case.images / one:,.0f}" for one in seconds]
    table.rows.append((case.name, *speeds, f"{waited:.1f}"))
    table.data.append({"case": case.name, "reading": read, "training": alone, "both": together})


def _pass(
    batches: Iterator[tuple[Array, Array]], trainer: pc.Trainer | None = None
) -> tuple[float, float]:
    """Take all batches and, with a trainer, train on them; seconds, and those spent waiting."""
    start, waited = time.perf_counter(), 0.0
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - asked
        if batch is None:
            return time.perf_counter() - start, waited
        if trainer is not None:
            trainer.step(*batch)
