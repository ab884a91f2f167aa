"""Let a process do everything at random for a long time; memory and descriptors must not grow.

``soak.py --seconds 3600 --seed 0``: networks of random shapes train, predict, are saved and
loaded, in one thread and in several at once, in forked children, with errors in between. After a
tenth of the time the resident memory without what the pool keeps for reuse, and the open
descriptors are noted; at the end neither may have grown. Prints a line per minute and exits with 1
where something grew, differed or failed.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pocketcnn as pc
from fuzz_networks import Case, check_inference
from pocketcnn import _core

# Random variation: a later network may be larger than all before.
ALLOWANCE = 24 * 2**20


def resident() -> int:
    """Bytes of memory that are in use now, without what the pool keeps for the next call."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() - kept()


def kept() -> int:
    """Bytes that the pool keeps; not all of them need be resident."""
    return _core.memory_use()[1]


def descriptors() -> int:
    """How many files are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def train(case: Case, folder: Path) -> None:
    """A few epochs with checkpoints, then continued from the last one."""
    net = case.net.astype(np.float32)
    file = folder / "checkpoint.safetensors"
    for epochs, resume in ((1, False), (2, True)):
        trainer = pc.Trainer(net, pc.optim.Adam(0.001), batch_size=8)
        # Copies of one sample have no variance; divergence raises an error, which is fine.
        try:
            trainer.fit(case.x, case.t, epochs=epochs, checkpoint=file, resume=resume)
        except (FloatingPointError, ValueError):
            return


def at_once(case: Case, _: Path) -> None:
    """Several threads read one network; all get the same bits."""
    net, results = case.net.astype(np.float32), []
    threads = [
        threading.Thread(target=lambda: results.append(net.predict(case.x).tobytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results)) == 1, "threads disagree"


def fork(case: Case, _: Path) -> None:
    """A child computes the same scores."""
    net = case.net.astype(np.float32)
    wanted = net.predict(case.x).tobytes()
    child = os.fork()
    if child == 0:
        os._exit(0 if net.predict(case.x).tobytes() == wanted else 1)
    assert os.waitpid(child, 0)[1] == 0, "the forked child disagrees or died"


def err(case: Case, folder: Path) -> None:
    """Refused calls have no lasting effect."""
    wrong: list[Callable[[], Any]] = [
        lambda: case.net.predict(case.x[:, :, 1:]),
        lambda: case.net.gradient(case.x, case.t[:-1]),
        lambda: pc.load(folder / "nothing.safetensors"),
        lambda: case.net.save(folder / "no folder" / "x"),
    ]
    for call in wrong:
        try:
            call()
        except (ValueError, OSError):
            continue
        raise AssertionError("a wrong call was accepted")


def gradients(case: Case, _: Path) -> None:
    """Steps with a changing number of threads."""
    with pc.num_threads(1 + len(case.x) % 3):
        case.net.value_and_gradient(case.x, case.t)


ACTIONS: list[Callable[[Case, Path], None]] = [
    train, at_once, fork, err, gradients, check_inference,
]  # fmt: skip


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start, told, done, first = time.monotonic(), 0.0, 0, None
    with tempfile.TemporaryDirectory() as folder:
        while (elapsed := time.monotonic() - start) < options.seconds:
            seed = options.seed + done
            action = ACTIONS[seed % len(ACTIONS)]
            try:
                action(Case(seed), Path(folder))
            except Exception:
                print(f"seed {seed}, {action.__name__}:")
                raise
            done += 1
            if first is None and elapsed > options.seconds / 10:
                gc.collect()
                first = resident(), descriptors()
            if elapsed >= told:
                told = elapsed + 60
                print(
                    f"{elapsed:6.0f} s, {done} actions, {resident() / 2**20:.0f} MiB and "
                    f"{kept() / 2**20:.0f} in the pool, {descriptors()} descriptors",
                    flush=True,
                )
    gc.collect()
    last = resident(), descriptors()
    first = first or last
    print(
        f"{done} actions: memory {first[0] / 2**20:.0f} to {last[0] / 2**20:.0f} MiB, "
        f"descriptors {first[1]} to {last[1]}"
    )
    return 1 if last[0] > first[0] + ALLOWANCE or last[1] > first[1] else 0


if __name__ == "__main__":
    sys.exit(main())
