"""Kill a training at random moments, resume it each time, and compare the bits at the end.

    python tests/kill_training.py --kills 100

A child process trains with a checkpoint after every epoch, which takes about as long to write as
the epoch to train, so that many kills (SIGKILL) come while it is written. With `--every` it writes
one after so many updates too, and reads its data in a thread. After the last kill the run is
finished and compared with one that was never interrupted.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import pocketcnn as pc
from pocketcnn.training.checkpoint import network_arrays, read_checkpoint

UPDATES = 13  # an epoch
LONGEST = 0.25  # seconds from a child's start to its end


def make_trainer() -> pc.Trainer:
    """With all kinds of state: weights, momentum, running statistics, masks, augmentation."""
    net = pc.ConvNet(
        [
            ("conv", pc.Conv2d(1, 4, 3)),
            ("norm", pc.BatchNorm2d(4)),
            ("relu", pc.ReLU()),
            ("flatten", pc.Flatten()),
            ("dropout", pc.Dropout(0.25)),
            ("fc", pc.Linear(64, 3)),
        ],
        input_shape=(1, 6, 6),
    )
    return pc.Trainer(net, pc.optim.Adam(), batch_size=16, augment=pc.data.RandomCrop(1))


def train(checkpoint: Path | None, epochs: int, every: int | None = None) -> pc.Trainer:
    """Train up to an epoch, from the checkpoint if there is one."""
    rng = np.random.default_rng(7)
    x, t = rng.random((200, 1, 6, 6), dtype=np.float32), rng.integers(0, 3, 200)
    whole = pc.data.Arrays(x, t)
    trainer = make_trainer()
    trainer.fit(
        whole if every is None else pc.data.Subset(whole, np.arange(200)),
        epochs=epochs,
        checkpoint_every=every if checkpoint else None,
        callbacks=[pc.EarlyStopping("loss", patience=10**9, restore_best=True)],
        checkpoint=checkpoint,
        resume=checkpoint is not None,
    )
    return trainer


def kill_once(checkpoint: Path, delay: float, every: int | None) -> bool:
    """Let a child train until it is killed; return whether it was writing then."""
    child = os.fork()
    if child == 0:
        try:
            train(checkpoint, 10**6, every)
        finally:
            os._exit(1)
    time.sleep(delay)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "the child ended before it was killed"
    os.kill(child, signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)
    opened = [file.readlink() for file in Path(f"/proc/{child}/fd").iterdir()]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return any(file.parent == checkpoint.parent for file in opened)


def updates(checkpoint: Path) -> int:
    """Return how many updates a checkpoint has seen."""
    values = read_checkpoint(checkpoint)[1]
    steps: int = values["progress"]["steps"] if values["progress"] else 0
    return int(values["epoch"]) * UPDATES + steps


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--every", type=int, help="write a checkpoint after so many updates too")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "run.safetensors")
        done = writing = left = 0
        make_trainer()  # so that the children have it imported already
        for kill in range(options.kills):
            writing += kill_once(checkpoint, rng.uniform(0, LONGEST), options.every)
            before = done
            # On a slow machine every kill may come before the first checkpoint: not a failure.
            done = updates(checkpoint) if checkpoint.exists() else 0
            assert done >= before, f"kill {kill} lost updates: {before} became {done}"
            # One may be left, where a file has a name before it is complete.
            for temporary in Path(folder).glob(".*.tmp"):
                left += 1
                temporary.unlink()
        epochs = done // UPDATES + 2
        resumed = network_arrays(train(checkpoint, epochs, options.every and 10**6).net)
        whole = network_arrays(train(None, epochs).net)
    odd = [name for name, array in whole.items() if array.tobytes() != resumed[name].tobytes()]
    print(
        f"{options.kills} kills, {writing} while a checkpoint was written, in {done} updates: "
        f"{left} files left behind, "
        f"{'the same bits' if not odd else f'other bits in {odd}'}"
    )
    return 1 if odd else 0


if __name__ == "__main__":
    sys.exit(main())
