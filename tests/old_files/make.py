"""Makes the files in this folder that have a checksum; run with the version that they are of.

    PYTHONPATH=<that version>/python python tests/old_files/make.py <folder>

- `chain.safetensors`, format 1, and `graph.safetensors`, format 2: models with classes, filled as
  `test_tensor_file.ramp` fills them. Of commit a94d758.
- `checkpoint_2.safetensors`: "pocketcnn checkpoint 2", after the second epoch of `train`. Of commit
  a94d758.

The others were made by hand when files had no checksums, of commit 3eddc9f: `model.safetensors` and
`model_float64.safetensors`, format 1; `checkpoint.safetensors`, "pocketcnn checkpoint 1";
`params.pkl`, as the book's networks write it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import pocketcnn as pc


def chain() -> pc.ConvNet:
    """Layers in a row, one of them a Residual with a shortcut."""
    body = [("conv", pc.Conv2d(4, 6, 3, stride=2, padding="same")), ("bn", pc.BatchNorm2d(6))]
    net = pc.ConvNet(
        [
            ("conv", pc.Conv2d(2, 4, 3, padding=((1, 0), (0, 1)))),
            ("relu", pc.ReLU()),
            ("block", pc.Residual(body, [("conv", pc.Conv2d(4, 6, 1, stride=2, bias=False))])),
            ("pool", pc.GlobalAvgPool2d()),
            ("flat", pc.Flatten()),
            ("drop", pc.Dropout(0.5)),
            ("fc", pc.Linear(6, 3)),
        ],
        (2, 5, 5),
    )
    net.classes = ["cat", "dog", "고양이"]
    return net


def graph() -> pc.ConvNet:
    """Layers that take several inputs."""
    net = pc.ConvNet(
        [
            ("conv", pc.Conv2d(2, 4, 3, padding=1)),
            ("mean", pc.GlobalAvgPool2d(), "conv"),
            ("gate", pc.HardSigmoid()),
            ("scale", pc.Multiply(), ["conv", "gate"]),
            ("join", pc.Concat(), ["scale", "input"]),
            ("prelu", pc.PReLU(6)),
            ("flat", pc.Flatten()),
            ("fc", pc.Linear(150, 2)),
        ],
        (2, 5, 5),
        dtype=np.float64,
    )
    net.classes = ["no", "yes"]
    return net


def fill(net: pc.ConvNet) -> None:
    """Give every array numbers that follow from its place and shape."""
    for place, array in enumerate({**net.params, **net.buffers}.values()):
        array[...] = (np.arange(array.size).reshape(array.shape) % 7 + place) / 8


def train(epochs: int, checkpoint: Path | None = None) -> pc.ConvNet:
    """Train a small network, from a checkpoint if there is one."""
    rng = np.random.default_rng(0)
    x, t = rng.random((24, 1, 6, 6), np.float32), rng.integers(0, 3, 24)
    layers = [
        ("conv", pc.Conv2d(1, 3, 3)),
        ("bn", pc.BatchNorm2d(3)),
        ("relu", pc.ReLU()),
        ("flat", pc.Flatten()),
        ("drop", pc.Dropout(0.2)),
        ("fc", pc.Linear(48, 3)),
    ]
    net = pc.ConvNet(layers, (1, 6, 6), seed=1)
    trainer = pc.Trainer(net, pc.optim.Adam(0.01), batch_size=10, seed=2, label_smoothing=0.1)
    trainer.fit(
        x,
        t,
        epochs=epochs,
        validation=(x[:8], t[:8]),
        callbacks=[pc.EarlyStopping(patience=9)],
        checkpoint=checkpoint,
        resume=checkpoint is not None,
    )
    return net


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, net in (("chain", chain()), ("graph", graph())):
        fill(net)
        net.save(folder / f"{name}.safetensors")
    train(2, folder / "checkpoint_2.safetensors")
