"""What the ranks of `test_distributed.py` run: ``mpiexec -n N python ranks.py NAME FILE ...``.

Rank 0 writes what came out to FILE, an archive of NumPy's. Without mpiexec the same functions run
with one rank.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pocketcnn as pc
from pocketcnn.data.digest import digest
from pocketcnn.distributed import Communicator

Results = dict[str, Any]
SAMPLES = 51  # no multiple of the batches
BATCH = 24  # of all ranks


def digits(samples: int = SAMPLES) -> tuple[Any, Any]:
    (x, t), _ = pc.data.digits()
    return x[:samples].astype(np.float32) / 255, t[:samples]


def normalized(seed: int) -> pc.ConvNet:
    """A network with batch normalisation, alone and in front of a ReLU, and a residual block."""
    body = [("conv", pc.Conv2d(8, 8, 3, padding=1)), ("norm", pc.BatchNorm2d(8))]
    layers = [
        ("conv1", pc.Conv2d(1, 8, 3, stride=2)),
        ("norm1", pc.BatchNorm2d(8)),
        ("relu1", pc.ReLU()),
        ("block", pc.Residual(body)),
        ("relu2", pc.ReLU()),
        ("norm2", pc.BatchNorm2d(8)),
        ("pool", pc.GlobalAvgPool2d()),
        ("flat", pc.Flatten()),
        ("fc", pc.Linear(8, 10)),
    ]
    return pc.ConvNet(layers, input_shape=(1, 28, 28), seed=seed, dtype=np.float64)


def small_alexnet(seed: int) -> pc.ConvNet:
    """AlexNet without dropout, which each rank draws for itself."""
    net = pc.models.alexnet(10, seed=seed)
    for layer in net.layers.values():
        if isinstance(layer, pc.Dropout):
            layer.p = 0.0
    return net


def large_linear(seed: int) -> pc.ConvNet:
    """A network with a linear layer that is updated in backward."""
    layers = [
        ("flat", pc.Flatten()),
        ("fc1", pc.Linear(784, 12000)),
        ("relu", pc.ReLU()),
        ("fc2", pc.Linear(12000, 10)),
    ]
    return pc.ConvNet(layers, input_shape=(1, 28, 28), seed=seed)


NETS: dict[str, Callable[[int], pc.ConvNet]] = {
    "simple_convnet": lambda seed: pc.models.simple_convnet(seed=seed),
    "alexnet": small_alexnet,
    "normalized": normalized,
    "large_linear": large_linear,
}


def state(net: pc.ConvNet) -> Results:
    return {name: array.copy() for name, array in {**net.params, **net.buffers}.items()}


def train(comm: Communicator, kind: str, *words: str) -> Results:
    """Train a network for two epochs on scattered samples."""
    # Ranks that begin with other weights get those of rank 0.
    net = NETS[kind](comm.rank)
    x, t = digits()
    if kind == "alexnet":
        x = np.zeros((7, 3, 224, 224), np.float32)
        x[:] = np.random.default_rng(0).standard_normal(x.shape)
        t = t[:7]
    together = 4 if kind == "alexnet" else BATCH
    trainer = pc.Trainer(
        net,
        pc.optim.SGD(0.01, momentum=0.9) if "clip" in words else pc.optim.SGD(0.01),
        batch_size=together // comm.size,
        comm=comm,
        clip_norm=0.5 if "clip" in words else None,
        ema=0.9 if "ema" in words else None,
        sync_batch_norm="sync" in words,
        accumulate=2 if "accumulate" in words else 1,
        micro_batches=4 if "micro" in words else None,
    )
    data = pc.distributed.scatter((x, t), comm)
    history = trainer.fit(
        data,
        epochs=1 if kind == "alexnet" else 2,
        validation=data,
        sample_weight=np.linspace(0.1, 3, len(x)) if "weights" in words else None,
    )
    same = comm.gather({name: digest(array) for name, array in state(net).items()})
    assert all(other == same[0] for other in same)
    keys = ("loss", "accuracy", "val_loss", "val_accuracy")
    return {**state(net), **{key: [record[key] for record in history] for key in keys}}


def uneven(comm: Communicator) -> Results:
    """Train on samples of each rank's own, of which the first has fewer than a batch."""
    x, t = digits(200)
    counts = [3, 40, 61, 20]
    start = sum(counts[: comm.rank])
    own = slice(start, start + counts[comm.rank])
    trainer = pc.Trainer(pc.models.simple_convnet(), pc.optim.SGD(0.1), batch_size=10, comm=comm)
    history = trainer.fit(x[own], t[own], epochs=2, validation=(x[own], t[own]))
    losses = [record["val_loss"] for record in history]
    assert comm.gather(losses) == [losses] * comm.size
    return {"batches": trainer.batches, "samples": trainer.samples, "val_loss": losses}


def few(comm: Communicator) -> Results:
    """Train on fewer samples than there are ranks, some of which get none."""
    trainer = pc.Trainer(NETS["normalized"](0), pc.optim.SGD(0.1), comm=comm, sync_batch_norm=True)
    history = trainer.fit(pc.distributed.scatter(digits(1), comm), epochs=1)
    return {"loss": history[0]["loss"]}


def draws(comm: Communicator) -> Results:
    """Return what each rank's augmentation and dropout draw, and how the run ends."""
    seen: list[float] = []

    def augment(x: Any, rng: np.random.Generator) -> Any:
        seen.append(float(rng.random()))
        return x

    layers = [("flat", pc.Flatten()), ("drop", pc.Dropout(0.5)), ("fc", pc.Linear(784, 10))]
    net = pc.ConvNet(layers, input_shape=(1, 28, 28), seed=0)
    trainer = pc.Trainer(net, pc.optim.SGD(0.1), batch_size=10, comm=comm, augment=augment)
    trainer.fit(pc.distributed.scatter(digits(), comm), epochs=1)
    dropped = float(net.generators["drop"].random())
    return {"augment": comm.gather(seen), "dropout": comm.gather(dropped), **state(net)}


def resume(comm: Communicator, checkpoint: str, steps: str, batch: str, drop: str) -> Results:
    """Train three epochs, or stop after some steps; go on if there is a checkpoint."""

    class Stop(pc.Callback):
        def on_batch_end(self, trainer: Any, size: int) -> None:
            done = (trainer.epoch - 1) * trainer.batches + trainer.steps
            if done == int(steps):
                trainer.pause = True

    layers = [("flat", pc.Flatten()), ("drop", pc.Dropout(float(drop))), ("fc", pc.Linear(784, 10))]
    net = pc.ConvNet(layers, input_shape=(1, 28, 28), seed=0)
    trainer = pc.Trainer(net, pc.optim.Adam(), batch_size=int(batch), comm=comm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = trainer.fit(
            pc.distributed.scatter(digits(), comm),
            epochs=3,
            validation=pc.distributed.scatter(digits(), comm),
            callbacks=[Stop()],
            checkpoint=checkpoint,
            checkpoint_every=1,
            resume=True,
        )
    return {**state(net), "loss": [record["loss"] for record in history]}


def compressed(comm: Communicator) -> Results:
    """Sum random numbers, rounded on their way."""
    piece = np.random.default_rng(comm.rank).standard_normal(10_001).astype(np.float32)
    result = np.empty_like(piece)
    comm.start_sum(piece, result, onto=False, ordered=False).wait()
    every = comm.gather(piece)
    assert all(np.array_equal(result, other) for other in comm.gather(result))
    return {"sum": result, "exact": np.sum(every, axis=0, dtype=np.float64)}


def fails(comm: Communicator) -> Results:
    """Raise an exception on the last rank while the others wait for it."""
    x, t = digits()

    def augment(images: Any, _rng: np.random.Generator) -> Any:
        if comm.rank == comm.size - 1:
            raise LookupError("no such picture")
        return images

    trainer = pc.Trainer(pc.models.simple_convnet(), pc.optim.SGD(0.1), comm=comm, augment=augment)
    trainer.fit(pc.distributed.scatter((x, t), comm))
    return {}


def killed(comm: Communicator) -> Results:
    """Be killed on rank 1 while the others wait for it."""
    comm.gather(None)
    if comm.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        comm.total([1.0])
        time.sleep(0.01)


def not_finite(comm: Communicator) -> Results:
    """Meet a value that is not finite on one rank; all ranks report it."""
    x, t = digits()
    x[-1] = np.nan
    trainer = pc.Trainer(pc.models.simple_convnet(), pc.optim.SGD(0.1), comm=comm)
    try:
        trainer.fit(pc.distributed.scatter((x, t), comm))
    except FloatingPointError as error:
        assert comm.gather(True) == [True] * comm.size
        return {"message": str(error)}
    raise AssertionError("no error")


def disagrees(comm: Communicator) -> Results:
    """Give each rank another batch size."""
    net = pc.models.simple_convnet()
    trainer = pc.Trainer(net, pc.optim.SGD(0.1), batch_size=10 + comm.rank, comm=comm)
    try:
        trainer.fit(pc.distributed.scatter(digits(), comm))
    except ValueError as error:
        assert comm.gather(True) == [True] * comm.size
        return {"message": str(error)}
    raise AssertionError("no error")


def main() -> None:
    name, file, *words = sys.argv[1:]
    options: dict[str, Any] = {}
    if name == "compressed":
        options["compression"] = "bfloat16"
    comm = pc.distributed.init(threads=1, **options)
    results = globals()[name](comm, *words)
    if comm.rank == 0:
        np.savez(Path(file), **results)


if __name__ == "__main__":
    main()
