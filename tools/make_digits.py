"""Rebuild python/pocketcnn/data/digits.npz from a folder with the four files of MNIST.

    python tools/make_digits.py MNIST_FOLDER [OUTPUT]

Takes the first 5,000 training and the first 1,000 test images, unchanged, and stores where they
have ink, and how much, in the order that `pocketcnn.data.digits` explains. The result is the same
to the byte at every run: the archive's members carry no time stamps and are written in a fixed
order (the compressed bytes are those of zlib at level 9).
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np

from pocketcnn.data import mnist
from pocketcnn.data.digits import by_neighbours

SOURCE = Path(__file__).resolve().parent.parent / "python"
TRAIN, TEST = 5_000, 1_000


def main() -> None:
    """Write the archive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mnist", type=Path, help="folder with the four IDX files")
    parser.add_argument(
        "output", type=Path, nargs="?", default=SOURCE / "pocketcnn" / "data" / "digits.npz"
    )
    options = parser.parse_args()

    (x_train, t_train), (x_test, t_test) = mnist(options.mnist)
    images = np.concatenate([x_train[:TRAIN, 0], x_test[:TEST, 0]])
    ink = images > 0
    arrays = {
        "ink": np.packbits(ink),
        "grey": images[ink][by_neighbours(ink)],
        "labels": np.concatenate([t_train[:TRAIN], t_test[:TEST]]).astype(np.uint8),
    }
    with zipfile.ZipFile(options.output, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # the same on Windows
            archive.writestr(member, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
