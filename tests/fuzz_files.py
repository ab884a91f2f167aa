"""Read damaged files; run as a program by test_fuzz_files.py, or for any length of time.

    python tests/fuzz_files.py CASES SEED [KIND ...] [--only CASE]

Each reader must return, or raise what its documentation says about foreign files. The first case
that does anything else, or takes more than ten seconds of processor time, is printed with its
traceback, stored in a file, and ends the program with 1. Bytes are changed anywhere. For kinds of
files with inner structure, the content is changed too, and checksums, lengths and compression are
corrected, so that the checks after them are reached.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import pickle
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

import pocketcnn as pc
from file_mutations import change_json, damage, rebuild_container
from pocketcnn import scratch
from pocketcnn.commands.inputs import read_input
from pocketcnn.commands.options import Options
from pocketcnn.commands.run import RUN, Run
from pocketcnn.commands.run import read as read_run
from pocketcnn.data.image_folder import read_images
from pocketcnn.data.mnist import read_idx
from pocketcnn.schedules import Cosine
from pocketcnn.training.checkpoint import read_checkpoint, write_checkpoint
from pocketcnn.training.history import History
from torch_pickles import rezipped

LIMIT = 4 * 2**30
SECONDS = 10
STEP = 100_000

OLD_FILES = Path(__file__).parent / "old_files"
TORCH_FILES = Path(__file__).parent / "torch_files"


class Kind(NamedTuple):
    """Valid files, their reader, and how to change their content."""

    originals: list[bytes]
    read: Callable[[Path], object]
    name: str = "file"
    inside: Callable[[Random, bytes], bytes] | None = None
    allowed: tuple[type[Exception], ...] = (ValueError, OSError)


class TooLong(BaseException):
    """Not an Exception, so that readers do not convert it."""


def small_net() -> pc.ConvNet:
    return pc.ConvNet(
        [
            ("conv", pc.Conv2d(1, 2, 3, padding=1)),
            ("bn", pc.BatchNorm2d(2)),
            ("relu", pc.ReLU()),
            ("block", pc.Residual([("conv", pc.Conv2d(2, 2, 3, padding="same"))])),
            ("pool", pc.MaxPool2d(2)),
            ("norm", pc.LocalResponseNorm(3)),
            ("flatten", pc.Flatten()),
            ("drop", pc.Dropout(0.1)),
            ("fc", pc.Linear(8, 2)),
        ],
        (1, 4, 4),
    )


def written(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        write(path)
        return path.read_bytes()


def models() -> Kind:
    originals = [written(small_net().save), written(small_net().astype(np.float64).save)]
    originals += [(OLD_FILES / f"{name}.safetensors").read_bytes() for name in ("model",)]

    return Kind(originals, lambda path: pc.load(path).summary(), inside=rebuild_container)


class Pause(pc.Callback):
    """Ends a run after its first update, with a checkpoint in the middle of the epoch."""

    def on_batch_end(self, trainer: pc.Trainer, size: int) -> None:
        trainer.pause = True


def train(path: Path, *more: pc.Callback, resume: bool) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.random((8, 1, 4, 4)), rng.integers(0, 2, 8)
    trainer = pc.Trainer(small_net(), pc.optim.Adam(), batch_size=4)
    trainer.fit(x, t, epochs=1, callbacks=[Cosine(), *more], checkpoint=path, resume=resume)


def checkpoints() -> Kind:
    plain = written(lambda path: write_checkpoint(path, {"a": np.arange(9.0)}, {"epoch": 1}))
    old = (OLD_FILES / "checkpoint.safetensors").read_bytes()
    run = written(lambda path: train(path, resume=False))
    return Kind([run, plain, old], read_checkpoint, inside=rebuild_container)


def resumptions() -> Kind:
    """Checkpoints that are valid as files, and are resumed by a run."""
    run = written(lambda path: train(path, resume=False))
    middle = written(lambda path: train(path, Pause(), resume=False))

    def resume(path: Path) -> None:
        with contextlib.suppress(FloatingPointError):  # weights that are finite, but far too large
            train(path, resume=True)

    return Kind([run, middle], resume, inside=rebuild_container)


def parameters() -> Kind:
    params = {"W1": np.arange(6.0).reshape(2, 3), "b": np.array([True]), "e": np.zeros(0, ">f4")}
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    return Kind([pickle.dumps(params, protocol) for protocol in protocols], scratch.load_params)


def torch_files() -> Kind:
    """Of both containers; what is read is also loaded, where it fits."""
    names = ("tensors_zip", "tensors_legacy", "checkpoint_zip", "checkpoint_legacy")
    originals = [(TORCH_FILES / f"{name}.pt").read_bytes() for name in names]
    net = small_net()

    def read(path: Path) -> None:
        found = pc.read_torch(path)
        assert all(array.nbytes <= 2 * path.stat().st_size for array in found.values())
        pc.load_weights(net, found, strict=False)

    return Kind(originals, read, inside=rezipped)


def histories() -> Kind:
    record: Any = {
        "epoch": 1, "loss": 0.5, "accuracy": 0.8, "val_loss": None, "val_accuracy": 1.0,
        "seconds": 2.0, "images_per_second": 100.0, "learning_rate": 0.001,
    }  # fmt: skip

    def inside(rng: Random, content: bytes) -> bytes:
        return json.dumps(change_json(rng, json.loads(content))).encode()

    def read(path: Path) -> None:
        history = History.from_json(path)
        history.column("loss")
        history.to_csv("/dev/null")

    return Kind([written(History([record] * 2).to_json)], read, inside=inside)


def idx(*, zipped: bool) -> Kind:
    plain = b"\0\0\x08\x03" + struct.pack(">3I", 3, 4, 4) + bytes(range(48))
    labels = b"\0\0\x08\x01" + struct.pack(">I", 5) + bytes(range(5))
    if not zipped:
        return Kind([plain, labels], read_idx)

    def inside(rng: Random, content: bytes) -> bytes:
        return gzip.compress(damage(rng, gzip.decompress(content)), 1)

    return Kind([gzip.compress(plain), gzip.compress(labels)], read_idx, "file.gz", inside)


def pictures() -> Kind:
    from PIL import Image

    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (5, 6)).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    originals = []
    for image, form, options in [
        (colours, "PNG", {}),
        (deep, "PNG", {}),
        (colours.convert("P"), "GIF", {}),
        (colours, "BMP", {}),
        (colours, "PPM", {}),
        (colours, "JPEG", {"exif": exif}),
        (deep, "TIFF", {}),
        (colours, "TIFF", {"compression": "tiff_lzw"}),
        (colours, "WEBP", {"lossless": True}),
    ]:
        file = io.BytesIO()
        image.save(file, form, **options)
        originals.append(file.getvalue())
    return Kind(originals, lambda path: read_images([path], (4, 4), 3))


def arrays() -> Kind:
    originals = []
    for array in (np.zeros((2, 1, 4, 4), np.uint8), np.asfortranarray(np.ones((4, 4)))):
        file = io.BytesIO()
        np.save(file, array)
        originals.append(file.getvalue())

    def inside(rng: Random, content: bytes) -> bytes:
        size = int.from_bytes(content[8:10], "little")
        header = damage(rng, content[10 : 10 + size])[:size]
        return content[:10] + header.ljust(size) + content[10 + size :]

    net = small_net()
    return Kind(originals, lambda path: read_input(str(path), net, invert=False), "x.npy", inside)


def archives() -> Kind:
    """`.npz` files; inside, the header of an array is damaged and the archive made anew."""
    x, t = np.arange(32, dtype=np.uint8).reshape(2, 4, 4), np.array([1, 0])
    originals = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, x=x, t=t)
        originals.append(file.getvalue())

    def inside(rng: Random, content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
            for info in old.infolist():
                member = old.read(info)
                new.writestr(info, damage(rng, member) if rng.random() < 0.5 else member)
        return file.getvalue()

    return Kind(originals, pc.data.npz, "x.npz", inside)


def records() -> Kind:
    """CIFAR's binary files."""
    record = bytes([3]) + bytes(range(256)) * 12

    def read(path: Path) -> None:
        (x, t), _ = read_cifar(path)
        assert x.shape[1:] == (3, 32, 32)
        assert t.max() < 10

    def read_cifar(path: Path) -> Any:
        for name in [f"data_batch_{number}.bin" for number in range(2, 6)] + ["test_batch.bin"]:
            (path.parent / name).write_bytes(record)
        return pc.data.cifar10(path.parent)

    return Kind([record, record * 3], read, "data_batch_1.bin")


def runs() -> Kind:
    """What a run's folder says about its model."""
    run = Run(Options().to_dict(), ["a", "b"], {"train": "0" * 64}, {"accuracy": 0.5})

    def inside(rng: Random, content: bytes) -> bytes:
        return json.dumps(change_json(rng, json.loads(content))).encode()

    return Kind([run.to_json().encode()], lambda path: read_run(path.parent), RUN, inside)


def kinds() -> dict[str, Callable[[], Kind]]:
    return {
        "model": models,
        "checkpoint": checkpoints,
        "resume": resumptions,
        "params": parameters,
        "torch": torch_files,
        "history": histories,
        "idx": lambda: idx(zipped=False),
        "idx.gz": lambda: idx(zipped=True),
        "picture": pictures,
        "npy": arrays,
        "npz": archives,
        "cifar": records,
        "run": runs,
    }


def make(kind: Kind, rng: Random) -> bytes:
    original = rng.choice(kind.originals)
    if kind.inside is not None and rng.random() < 0.5:
        return kind.inside(rng, original)
    return damage(rng, original)


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong(f"it took more than {SECONDS} seconds of the processor")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def read(kind: Kind, path: Path) -> bool:
    """Whether the file was accepted; raises what is not documented."""
    try:
        return kind.read(path) is not False
    except kind.allowed as error:
        text = str(error)
        if not text.strip():
            raise AssertionError("an error without a message") from error
        if len(text) > 600:
            raise AssertionError(f"an error of {len(text)} characters") from error
        if str(path) not in text and str(path) != getattr(error, "filename", None):
            raise AssertionError(f"an error that does not name the file: {text}") from error
        return False


def fuzz(name: str, kind: Kind, path: Path, seed: int, cases: range) -> bool:
    start, sound = time.monotonic(), 0
    for case in cases:
        content = make(kind, Random(f"{seed}/{name}/{case}"))
        path.write_bytes(content)
        try:
            with time_limit():
                sound += read(kind, path)
        except (Exception, TooLong):
            kept = Path(tempfile.gettempdir(), f"fuzz-{name}-{seed}-{case}")
            kept.write_bytes(content)
            traceback.print_exc(file=sys.stdout)
            print(f"{name}: case {case} of seed {seed}; the file is kept as {kept}")
            return False
        if (case + 1) % STEP == 0:
            print(f"{name}: {case + 1} cases, {time.monotonic() - start:.0f} s", flush=True)
    seconds = time.monotonic() - start
    print(
        f"{name}: {len(cases)} damaged files, {sound} taken for sound, {seconds:.1f} s", flush=True
    )
    return True


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", type=int, help="of each kind")
    parser.add_argument("seed", type=int)
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--only", type=int, help="run just this case")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # messages about damage from Pillow's libraries
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        known = kinds()
        cases = range(given.cases) if given.only is None else range(given.only, given.only + 1)
        for kind_name in given.kinds or known:
            kind = known[kind_name]()
            if not fuzz(kind_name, kind, Path(name, kind.name), given.seed, cases):
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
