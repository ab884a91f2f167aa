"""``footprint``: bytes to download and on disk, and the time that an import takes."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.report import Cell, Table

_ROOT = Path(__file__).parent.parent
# Distribution and module.
_LIBRARIES = {
    "pocketcnn": "pocketcnn",
    "torch": "torch",
    "tensorflow-cpu": "keras",
    "onnxruntime": "onnxruntime",
}
_OUR_PROCESSES = 41
# Imports that take seconds need fewer.
_PEER_PROCESSES = 5


def run(options: Options, _machine: Machine) -> list[Table]:
    """Measure sizes and import times that ``--filter`` selects."""
    tables = []
    if options.wants("size"):
        tables.append(_sizes(options.wheel))
    if options.wants("import"):
        tables.append(_imports())
    return tables


# Sizes


def _sizes(wheel: Path | None) -> Table:
    title = "size, MB"
    columns = ("library", "", "wheel", "installed", "with dependencies but NumPy", "ratio")
    note = "A ratio is the peer's installed size with dependencies, divided by ours."
    table = Table(title, columns, rows=[], note=note)
    base = 0
    for name in _LIBRARIES:
        closure = _closure(name)
        if not closure:
            continue
        own = _installed_bytes(closure[name])
        total = sum(_installed_bytes(d) for key, d in closure.items() if key != "numpy")
        base = base or total
        weighed = _wheel_bytes(wheel) if name == "pocketcnn" else None
        cells: list[Cell] = [None if weighed is None else f"{weighed / 1e6:.2f}"]
        cells += [f"{own / 1e6:.2f}", f"{total / 1e6:.2f}", total / base]
        table.rows.append((name, "", *cells))
        table.data.append({"library": name, "wheel": weighed, "installed": own, "total": total})
        if name != "pocketcnn":
            table.ratios.append((f"{name} size", total / base))
    return table


def _wheel_bytes(wheel: Path | None) -> int:
    if wheel is not None:
        return wheel.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", str(_ROOT)]
        subprocess.run([*command, "--wheel-dir", folder], check=True)
        return next(Path(folder).glob("*.whl")).stat().st_size


def _closure(name: str) -> dict[str, Distribution]:
    """The installed distribution and all that it requires; empty if it is not installed."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        key = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if key in found:
            continue
        try:
            found[key] = distribution(key)
        except PackageNotFoundError:
            if key == name:
                return {}
            continue
        for text in found[key].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _installed_bytes(installed: Distribution) -> int:
    """Size of the files of an installation, without compiled bytecode."""
    files = (Path(str(file.locate())) for file in installed.files or [])
    return sum(f.stat().st_size for f in files if f.suffix != ".pyc" and f.is_file())


# Imports

_PROGRAM = """
import time
import numpy
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""


def _imports() -> Table:
    title = "import, over NumPy's own"
    columns = ("library", "processes", "minimum ms", "median ms", "ratio of medians")
    table = Table(title, columns, rows=[], note="Fresh processes, NumPy imported before the clock.")
    base = 0.0
    for name, module in _LIBRARIES.items():
        if not _closure(name):
            continue
        print(f"  {title}: {module}", flush=True)
        count = _OUR_PROCESSES if name == "pocketcnn" else _PEER_PROCESSES
        times = [_import_seconds(module) for _ in range(count + 1)][1:]
        middle = statistics.median(times)
        base = base or middle
        figures = (f"{min(times) * 1e3:.1f}", f"{middle * 1e3:.1f}")
        table.rows.append((module, str(count), *figures, middle / base))
        table.data.append({"library": module, "seconds": times})
        if name != "pocketcnn":
            table.ratios.append((f"import {module}", middle / base))
    return table


def _import_seconds(module: str) -> float:
    command = [sys.executable, "-c", _PROGRAM.format(module=module)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(answer.stdout.split()[-1])
