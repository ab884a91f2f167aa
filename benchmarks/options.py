"""The command line, and the environment that a run needs.

Libraries read their limits when they are imported, so :func:`restart_with_limits` must come before
any of them: this file imports nothing that computes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import CLOCKS, Pace

COMMANDS = {
    "layers": "every layer and pass by itself, against PyTorch",
    "builds": "every layer and pass by two builds of pocketcnn, as of two compilers",
    "networks": "whole training steps, against PyTorch, Keras, JAX and the book's NumPy",
    "inference": "predictions, against PyTorch, JAX, ONNX Runtime, OpenVINO, ncnn, MNN, OpenCV",
    "census": "every convolution of twenty published networks, or layers of random sizes",
    "ways": "every algorithm that fits convolutions of random sizes, against the chosen one",
    "convergence": "SimpleConvNet on MNIST to 99 %, beside PyTorch update by update",
    "memory": "peak memory of a training step, in fresh processes",
    "threads": "one thread against several, small and large batches, a busy machine",
    "teams": "OpenMP's threads against our own helpers: idle, under load, beside other libraries",
    "reading": "pictures read while training: the share of time that waits for them",
    "finetune": "EfficientNet-Lite0 learns CIFAR-10 from 400 images, beside PyTorch",
    "footprint": "size of the wheel and of what it brings, time to import",
}
KINDS = ("convolutions", "poolings", "batch-norms", "activations", "linears")
ISAS = ("avx512", "avx2", "baseline")

# Variables that limit each library to an instruction set. The machine's best needs none. ONNX
# Runtime and TensorFlow's own kernels have no such switch.
_LIMITS = {
    "avx512": {"POCKETCNN_ISA": "avx512"},
    "avx2": {
        "POCKETCNN_ISA": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "baseline": {
        "POCKETCNN_ISA": "baseline",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}


_PACE = Pace(1.0, 15)
_CENSUS_PACE = Pace(0.15, 5)


@dataclass(frozen=True)
class Options:
    """The options of a run."""

    command: str
    filter: re.Pattern[str]
    peers: re.Pattern[str]
    batch: int | None
    threads: int
    dtype: str
    isa: str | None
    seconds: float | None
    alternations: int | None
    clock: str
    output: Path
    markdown: Path | None
    wheel: Path | None
    other: Path | None
    kinds: list[str]
    sample: int | None
    minutes: float | None
    seed: int | None
    resume: bool

    @property
    def pace(self) -> Pace:
        """How races are run."""
        usual = _CENSUS_PACE if self.command == "census" else _PACE
        seconds = usual.seconds if self.seconds is None else self.seconds
        return Pace(seconds, self.alternations or usual.alternations, self.clock)

    @property
    def stem(self) -> str:
        """The name of the run's files, and of its place in a file of tables."""
        kinds = self.kinds if self.command == "census" and self.kinds != [KINDS[0]] else []
        return "-".join(filter(None, (self.command, *kinds, self.dtype, self.isa)))

    def wants(self, *words: str) -> bool:
        """Whether ``--filter`` matches the words, joined by spaces."""
        return self.filter.search(" ".join(words)) is not None

    def wants_peer(self, name: str) -> bool:
        """Whether ``--peers`` matches the "family/variant"."""
        return self.peers.search(name) is not None


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    listing = "\n".join(f"  {name:<10} {meaning}" for name, meaning in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure pocketcnn beside its peers on this machine.\n\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("command", choices=COMMANDS, metavar="command", help="one of the above")
    add(
        "--filter",
        type=_pattern,
        default=_pattern(""),
        help="measure only where this regular expression is found in group, name and pass",
    )
    add(
        "--peers",
        type=_pattern,
        default=_pattern(""),
        help="whole networks: only the peers in whose family/variant this is found",
    )
    add("--batch", type=_positive, help="this batch size instead of each case's own")
    add("--threads", type=_positive, default=2, help="of every library (default: 2)")
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--isa", choices=ISAS, help="hold every library that can be held to this instruction set")
    add(
        "--seconds",
        type=float,
        help="measuring time a row, shared by all in it (default: 1, census 0.15; slow ones take "
        "longer)",
    )
    add(
        "--alternations",
        type=_positive,
        help="how often each has its turn (default: 15, census 5; fewer for a quick look only)",
    )
    add(
        "--clock",
        choices=tuple(CLOCKS),
        default="wall",
        help="cpu: processor time, for one thread on a machine that has other work",
    )
    add(
        "--output",
        type=Path,
        default=Path("build/benchmarks"),
        help="folder for the JSON file and the chart (default: build/benchmarks)",
    )
    add("--markdown", type=Path, help="put the tables into their place in this file")
    add("--wheel", type=Path, help="footprint: the wheel to weigh (default: build one)")
    add("--other", type=Path, help="builds: the folder in which the other pocketcnn is")
    add(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=[KINDS[0]],
        help="census: what to measure (default: convolutions); other kinds have random sizes",
    )
    add("--sample", type=_positive, help="census, ways: so many shapes of each kind, at random")
    add("--minutes", type=float, help="census: stop after this time; the order is random")
    add("--seed", type=int, help="census, ways: of the random order and sizes")
    add("--resume", action="store_true", help="census: go on with a run that was stopped")
    options = Options(**vars(parser.parse_args(arguments)))
    if options.clock == "cpu" and options.threads > 1:
        parser.error("--clock cpu adds the threads' times up: it needs --threads 1")
    return options


def restart_with_limits(options: Options) -> None:
    """Start this program again if the environment does not yet have the libraries' limits."""
    threads = str(options.threads)
    wanted = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **(_LIMITS[options.isa] if options.isa else {}),
    }
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        program = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
        os.execve(sys.executable, program, {**os.environ, **wanted})


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value
