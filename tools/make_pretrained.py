"""Train the network of ``pocketcnn.models.deep_convnet(pretrained=True)`` again.

    python tools/make_pretrained.py MNIST_FOLDER [OUTPUT]

Sixteen epochs on the 60,000 training images of MNIST, turned, scaled and shifted at random, with
the settings of docs/results.md. Weights are stored as float16, and the accuracy is that of the
rounded weights on the 10,000 test images. With the same version and instruction set the numbers are
the same at every run; other instruction sets sum in another order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import pocketcnn as pc
from pocketcnn._files.tensor_file import write_tensors

TARGET = Path(__file__).resolve().parent.parent / "python/pocketcnn/models/deep_convnet.safetensors"
EPOCHS, SEED = 16, 0


def main() -> None:
    """Train, round, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mnist", type=Path, help="folder with the four IDX files")
    parser.add_argument("output", type=Path, nargs="?", default=TARGET)
    options = parser.parse_args()

    (x, t), (x_test, t_test) = pc.data.mnist(options.mnist)
    net = pc.models.deep_convnet(seed=SEED)
    augment = pc.data.RandomAffine(degrees=10)
    optimizer = pc.optim.AdamW(0.002, weight_decay=0.05)
    trainer = pc.Trainer(net, optimizer, batch_size=100, seed=SEED, augment=augment)
    callbacks = [pc.schedules.Cosine(warmup=0.2), pc.ProgressBar()]
    trainer.fit(np.float32(x) / 255, t, epochs=EPOCHS, callbacks=callbacks)

    trained = net.accuracy(np.float32(x_test) / 255, t_test)
    stored = {name: array.astype(np.float16) for name, array in net.params.items()}
    for name, array in net.params.items():
        array[...] = stored[name]
    rounded = net.accuracy(np.float32(x_test) / 255, t_test)
    metadata = {
        "network": "pocketcnn.models.deep_convnet()",
        "input": "(N, 1, 28, 28), pixels 0 to 1, white on black",
        "trained_on": "the 60,000 training images of MNIST (Y. LeCun, C. Cortes, C. Burges)",
        "test_accuracy": f"{rounded:.4f}",
    }
    write_tensors(options.output, stored, metadata)
    print(f"accuracy {trained:.4f}, of the stored weights {rounded:.4f}")
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
