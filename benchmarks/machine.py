"""The machine of the measurements: processor, versions, and its highest possible rates."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import pocketcnn as pc
from benchmarks.options import Options

_SOURCE = Path(__file__).parent.parent / "cpp" / "bench" / "fma_peak.cpp"
_FLAGS = {"avx512": ["-mavx512f", "-mfma"], "avx2": ["-mavx2", "-mfma"], "baseline": []}
_PEERS = (
    *("numpy", "torch", "tensorflow-cpu", "keras", "jax", "onnxruntime", "openvino", "ncnn", "MNN"),
    "opencv-python-headless",
)


@dataclass(frozen=True)
class Machine:
    """The facts in the line above every table; rates are of all threads together."""

    date: str
    cpu: str
    cpus: int
    isa: str
    threads: int
    load: float
    peak_float32: float | None
    peak_float64: float | None
    copy_bandwidth: float
    versions: dict[str, str]

    def peak(self, dtype: str) -> float | None:
        """FMA peak in GFLOP/s; None if there was no compiler to measure it."""
        return self.peak_float32 if dtype == "float32" else self.peak_float64

    def line(self) -> str:
        """Return it in a sentence or two."""
        peak = "not measured (no compiler)"
        if self.peak_float32 and self.peak_float64:
            peak = f"{self.peak_float32:.0f} GFLOP/s float32, {self.peak_float64:.0f} float64"
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"{self.date}: {self.cpu}, {self.cpus} CPUs, {self.isa}, {self.threads} "
            f"thread{'s' * (self.threads > 1)}, load {self.load:.1f} before. FMA peak {peak}; "
            f"copy {self.copy_bandwidth:.0f} GB/s (read and written). {versions}."
        )


def describe(options: Options) -> Machine:
    """Describe the machine and measure its limits; takes about two seconds."""
    pc.set_num_threads(options.threads)
    load = os.getloadavg()[0]
    single, double = _fma_peak(pc.isa(), options.threads, options.output)
    return Machine(
        date=f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        cpu=_cpu_name(),
        cpus=os.cpu_count() or 1,
        isa=pc.isa(),
        threads=options.threads,
        load=load,
        peak_float32=single,
        peak_float64=double,
        copy_bandwidth=_copy_bandwidth(options.threads),
        versions=_versions(),
    )


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _versions() -> dict[str, str]:
    found = {"pocketcnn": version("pocketcnn"), "Python": platform.python_version()}
    for name in _PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _fma_peak(isa: str, threads: int, folder: Path) -> tuple[float | None, float | None]:
    """Compile and run cpp/bench/fma_peak.cpp; GFLOP/s in float32 and float64."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"fma_peak-{isa}"
    compiler = os.environ.get("CXX", "c++")
    options = ["-O3", "-std=c++20", "-ffp-contract=fast", "-pthread", *_FLAGS[isa]]
    try:
        subprocess.run([compiler, *options, str(_SOURCE), "-o", str(program)], check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None, None
    command = [str(program.resolve()), str(threads), "0.5"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    single, double = map(float, answer.stdout.split())
    return single, double


def _copy_bandwidth(threads: int) -> float:
    """GB/s read plus written, when every thread copies its part of an array beyond the caches."""
    source = np.ones((threads, 2**27), np.uint8)
    target = np.zeros_like(source)
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(10):
            start = time.perf_counter()
            list(pool.map(np.copyto, target, source))
            best = min(best, time.perf_counter() - start)
    return 2e-9 * source.nbytes / best
