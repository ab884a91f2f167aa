"""``builds``: every layer and pass by two builds of pocketcnn, in turn, such as of two compilers.

Each build computes in a process of its own: the one that is installed here, and the one in the
folder ``--other``, made by ``CXX=clang++ pip install --no-deps --target FOLDER .``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.case import Call
from benchmarks.layer_cases import cases
from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.races import Race, race_tables
from benchmarks.report import Table
from benchmarks.timing import alternate, burst

_TOLERANCE = {"float32": 1e-3, "float64": 1e-9}


@dataclass(frozen=True)
class _Chosen:
    """One pass of one case, by its place in the list, and how it is computed."""

    case: int
    step: str
    batch: int | None
    dtype: str
    threads: int

    def call(self) -> Call:
        """Draw its arrays."""
        import pocketcnn as pc

        pc.set_num_threads(self.threads)
        task = list(cases(self.batch))[self.case].make(np.dtype(self.dtype))[self.step]
        return task.ours


class _Build:
    """A build in a process of its own; a `Contestant`, to be used as a context manager."""

    def __init__(self, folder: str) -> None:
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.builds"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.place: str = self._ask("place")

    def choose(self, chosen: _Chosen) -> list[float]:
        """Make the arrays of a pass; return the length of each result as a vector."""
        lengths: list[float] = self._ask("choose", vars(chosen))
        return lengths

    def burst(self, seconds: float, wake: bool, clock: str) -> list[float]:
        """Let the child call repeatedly, as `benchmarks.timing.burst` does."""
        times: list[float] = self._ask("burst", seconds, wake, clock)
        return times

    def _ask(self, *question: object) -> Any:
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the child's pipes were asked for")
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a build failed at {question}: see above")
        return json.loads(answer)

    def __enter__(self) -> _Build:
        return self

    def __exit__(self, *failure: object) -> None:
        """End the child."""
        self._process.communicate()


def run(options: Options, machine: Machine) -> list[Table]:
    """Measure every layer and pass that ``--filter`` selects."""
    if options.other is None:
        raise SystemExit("builds: --other names the folder of the other build")
    with _Build("") as ours, _Build(str(options.other.resolve())) as other:
        print(f"ours: {ours.place}\nother: {other.place}", flush=True)
        if ours.place == other.place:
            raise SystemExit("builds: both are the same; is there a pocketcnn in --other?")
        return race_tables(_races(ours, other, options), machine.peak(options.dtype))


def _races(ours: _Build, other: _Build, options: Options) -> Iterator[Race]:
    for place, case in enumerate(cases(options.batch)):
        for step in case.steps:
            if not options.wants(case.group, case.name, step):
                continue
            chosen = _Chosen(place, step, options.batch, options.dtype, options.threads)
            lengths = ours.choose(chosen)
            if not np.allclose(lengths, other.choose(chosen), rtol=_TOLERANCE[options.dtype]):
                raise AssertionError(f"{case.name} {step}: the builds' results differ")
            mine, theirs = alternate([ours, other], options.pace)
            yield Race(case.group, case.name, step, mine, {"other": theirs}, case.flop)


def _serve() -> None:
    from pocketcnn import _core

    call: Call | None = None
    answer: object
    # What a library prints must not be read as an answer.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            question, *arguments = json.loads(line)
            if question == "place":
                answer = _core.__file__
            elif question == "choose":
                call = _Chosen(**arguments[0]).call()
                answer = _lengths(call())
            elif call is not None:
                answer = burst(call, *arguments)
            print(json.dumps(answer), file=answers, flush=True)


def _lengths(result: Any) -> list[float]:
    parts = result if isinstance(result, (tuple, list)) else (result,)
    arrays = [np.asarray(part, np.float64) for part in parts if part is not None]
    return [float(np.linalg.norm(array.ravel())) for array in arrays]


if __name__ == "__main__":
    _serve()
