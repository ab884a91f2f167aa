"""A folder larger than the memory that a process may take trains to the bits of arrays."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketcnn as pc

SIZE, COUNT, ROOM = 256, 600, 80 * 2**20

CHILD = """
import resource, sys
from pocketcnn.data import ImageFolder, Subset, image_folder
from test_data_out_of_memory import ROOM, SIZE, train

dataset = ImageFolder(sys.argv[1], SIZE, workers=2)
train(Subset(dataset, range(60)), None)  # all modules and threads are there now
taken = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
try:
    image_folder(sys.argv[1], SIZE, workers=0)
except MemoryError:
    print("too large")
print(train(dataset, None))
"""


def train(x: object, t: object) -> str:
    """Return a digest of the trained weights."""
    net = pc.ConvNet(
        [
            ("conv", pc.Conv2d(3, 4, 16, stride=16)),
            ("relu", pc.ReLU()),
            ("pool", pc.GlobalAvgPool2d()),
            ("flatten", pc.Flatten()),
            ("fc", pc.Linear(4, 2)),
        ],
        (3, SIZE, SIZE),
        seed=0,
    )
    trainer = pc.Trainer(net, pc.optim.SGD(1e-5), batch_size=30)
    trainer.fit(x, t, epochs=1)  # type: ignore[arg-type]
    return hashlib.sha256(b"".join(array.tobytes() for array in net.params.values())).hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's here")
def test_a_folder_larger_than_memory(tmp_path: Path) -> None:
    assert SIZE * SIZE * 3 * COUNT > 1.3 * ROOM
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        file = tmp_path / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(file)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        cwd=Path(__file__).parent,
        # Else the C library reserves 64 MiB of addresses for each new thread.
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    x, t, _ = pc.data.image_folder(tmp_path, SIZE)
    assert done.stdout.split("\n")[:2] == ["too large", train(x, t)]
