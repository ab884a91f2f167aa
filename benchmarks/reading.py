"""``reading``: pictures read from a folder while a network trains on them.

Images a second of reading alone, of training on arrays in memory, and of training from the folder,
in turn. The share of waiting is what the last takes longer than the second: all that reading costs,
also the processor time that it takes from training. The pictures are those of CIFAR-10 as JPEG
files, `cifar10/train` in the folder that `POCKETCNN_DATA` names; enlarged for the larger network.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import pocketcnn as pc
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Table
from benchmarks.timing import CLOCKS
from pocketcnn.data.prefetch import in_order

_NOTE = (
    "Images a second; medians of runs in turn, one epoch each, after one that is not counted. "
    "Waiting: the part of the time from the folder that the arrays do not need."
)


@dataclass(frozen=True)
class _Case:
    """A network, and the pictures in the files that it is trained on."""

    model: str
    size: int
    stored: int
    images: int
    batch: int


_CASES = (
    _Case("compact_resnet", 32, 32, 5000, 100),
    _Case("resnet18", 224, 256, 128, 16),
    _Case("resnet18", 224, 1024, 128, 16),
)


def run(options: Options, _machine: Machine) -> list[Table]:
    """Measure the networks that ``--filter`` selects."""
    pc.set_num_threads(options.threads)
    table = Table(
        "Reading pictures while training",
        ("network", "files", "reading", "training on arrays", "from the folder", "waiting %"),
        rows=[],
        note=_NOTE,
    )
    for case in _CASES:
        title = f"{case.model}, files of {case.stored} pixels"
        if options.wants(title):
            print(f"  {title}", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                _write(Path(folder), case)
                _measure(table, title, Path(folder), case, options)
    return [table]


def _measure(table: Table, title: str, folder: Path, case: _Case, options: Options) -> None:
    batch, clock = options.batch or case.batch, CLOCKS[options.clock]
    x, t, classes = pc.data.image_folder(folder, case.size)
    make = getattr(pc.models, case.model)
    net = make(num_classes=len(classes), input_shape=x.shape[1:], seed=0)
    dataset = pc.data.ImageFolder(folder, case.size)

    def read() -> None:
        with closing(in_order(dataset, batch)) as batches:
            for _ in batches:
                pass

    def train(*data: object) -> None:
        trainer = pc.Trainer(net, pc.optim.SGD(1e-4), batch_size=batch)
        trainer.fit(*data, epochs=1)

    tasks = {"reading": read, "arrays": lambda: train(x, t), "folder": lambda: train(dataset)}
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(1 + min(options.alternations, 5)):
        for name, task in tasks.items():
            begin = clock()
            task()
            if turn:
                seconds[name].append(clock() - begin)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    waiting = 100 * max(0.0, 1 - medians["arrays"] / medians["folder"])
    speeds = [f"{len(x) / medians[name]:.0f}" for name in tasks]
    table.rows.append((case.model, f"{case.stored} pixels", *speeds, f"{waiting:.1f}"))
    table.data.append({"title": title, "images": len(x), "batch": batch, "seconds": seconds})


def _write(folder: Path, case: _Case) -> None:
    """Write the first pictures of every class, enlarged to the size that the files shall have."""
    from PIL import Image

    source = Path(os.environ.get("POCKETCNN_DATA", "."), "cifar10", "train")
    if not source.is_dir():
        raise SystemExit(f"{source} does not exist: set POCKETCNN_DATA to a folder with cifar10")
    classes = sorted(place for place in source.iterdir() if place.is_dir())
    for place in classes:
        (folder / place.name).mkdir()
        for file in sorted(place.iterdir())[: -(-case.images // len(classes))]:
            target = folder / place.name / file.name
            if case.stored == 32:
                target.write_bytes(file.read_bytes())
                continue
            size = case.stored, case.stored * 3 // 4  # as photographs are
            with Image.open(file) as picture:
                picture.resize(size, Image.Resampling.BICUBIC).save(target, quality=90)
