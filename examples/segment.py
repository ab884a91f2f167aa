"""Segmentation: a U-Net finds digits on textured ground, and says of every pixel which one it is.

    python examples/segment.py [--images 3000] [--epochs 10] [--folder segment]

The task is made of the digits that come with the package: two on each image of 64x64 pixels, never
on top of each other. Class 0 is the ground, class d + 1 the digit d. The folder gets the model, the
curves and a picture of test images with truth and guess.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pocketcnn as pc

SIZE = 64
NAMES = ["ground", *map(str, range(10))]

Images = NDArray[np.float32]
Masks = NDArray[np.uint8]


def texture(rng: np.random.Generator) -> Images:
    """Return a ground (SIZE, SIZE): noise of two sizes on a slope of brightness."""
    coarse = np.kron(rng.random((9, 9)), np.ones((8, 8)))
    top, left = rng.integers(0, 8, 2)
    ground = 0.35 * coarse[top : top + SIZE, left : left + SIZE] + 0.25 * rng.random((SIZE, SIZE))
    slope = np.add.outer(*(rng.uniform(-0.15, 0.15) * np.linspace(-1, 1, SIZE) for _ in range(2)))
    return np.clip(ground + slope, 0, 1).astype(np.float32)


def make_scenes(
    digits: NDArray[Any], labels: NDArray[Any], count: int, seed: int
) -> tuple[Images, Masks]:
    """Place digits on textures.

    Parameters
    ----------
    digits : ndarray of uint8 (N, 1, 28, 28)
    labels : ndarray of int (N,)
    count, seed : int
        How many images, and the seed of their random numbers.

    Returns
    -------
    x : ndarray of float32 (count, 1, SIZE, SIZE)
        From 0 to 1.
    t : ndarray of uint8 (count, SIZE, SIZE)
        The class of every pixel.
    """
    rng = np.random.default_rng(seed)
    x = np.empty((count, 1, SIZE, SIZE), np.float32)
    t = np.zeros((count, SIZE, SIZE), np.uint8)
    for image, mask in zip(x[:, 0], t, strict=True):
        image[...] = texture(rng)
        for half in (0, 32):  # one digit on the left, one on the right
            index = rng.integers(len(digits))
            top, left = rng.integers(0, SIZE - 28), half + rng.integers(0, 5)
            place = np.s_[top : top + 28, left : left + 28]
            ink = digits[index, 0].astype(np.float32) / 255
            image[place] += (rng.uniform(0.6, 1.0) - image[place]) * ink
            mask[place][ink > 0.5] = labels[index] + 1
    return x, t


def main() -> None:
    """Make the task, train, and report."""
    parser = argparse.ArgumentParser(description="Train a U-Net to find digits on textured ground.")
    parser.add_argument("--images", type=int, default=3000, help="training images [3000]")
    parser.add_argument("--epochs", type=int, default=10, help="[10]")
    parser.add_argument(
        "--folder", type=Path, default=Path("segment"), help="for results [segment]"
    )
    options = parser.parse_args()

    (digits, labels), (test_digits, test_labels) = pc.data.digits()
    x, t = make_scenes(digits, labels, options.images, seed=1)
    x_test, t_test = make_scenes(test_digits, test_labels, 500, seed=2)

    net = pc.models.unet(1, classes=len(NAMES), width=16, depth=3, input_shape=(1, SIZE, SIZE))
    net.classes = NAMES
    # Nineteen pixels of twenty are ground: with this weight it counts twice as much as all digits.
    weights = [0.1] + [1.0] * 10
    trainer = pc.Trainer(
        net,
        pc.optim.Adam(3e-3),
        batch_size=10,
        loss=pc.losses.CrossEntropy(class_weight=weights),
        metrics=["miou"],
    )
    history = trainer.fit(
        x,
        t,
        epochs=options.epochs,
        validation=(x_test, t_test),
        callbacks=[pc.ProgressBar(), pc.schedules.OneCycle()],
    )
    found = trainer.evaluate(x_test, t_test)
    print(f"mean IoU {found.metrics['miou']:.3f}, {found[1]:.2%} of the pixels right")

    options.folder.mkdir(parents=True, exist_ok=True)
    net.save(options.folder / "model.safetensors")
    pc.plot.curves(history).savefig(options.folder / "curves.png", dpi=110)
    picture = pc.plot.segmentation(
        x_test[:4], net.predict(x_test[:4]), t_test[:4], class_names=NAMES
    )
    picture.savefig(options.folder / "segments.png", dpi=110)


if __name__ == "__main__":
    main()
