"""A library in its own process, and the parent's side that requests bursts.

The child gets a builder and a network, then answers one line of JSON with another:
``["burst", seconds, wake, clock]`` with the calls' times, ``["logits"]`` with the scores,
``["memory"]`` with the peak of one call. `Remote` is the parent's side.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from benchmarks.description import Network, Subject
from benchmarks.timing import burst


class Remote:
    """A subject in another process, to be used as a context manager.

    Parameters
    ----------
    builder : str
        Such as "pytorch.training": module and function in `benchmarks.peers`.
    network : Network
        What to build.
    environment : dict, optional
        Added to the process's environment.
    """

    def __init__(
        self, builder: str, network: Network, environment: dict[str, str] | None = None
    ) -> None:
        threads = str(network.threads)
        limits = dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
        )
        # NumPy's OpenBLAS keeps looking for work for 2**26 cycles, a tenth of a second, on cores
        # that the next library needs; with 2**20 it sleeps within the rest.
        limits["OPENBLAS_THREAD_TIMEOUT"] = "20"
        self.builder = builder
        # A file in memory, not a pipe, which no one would read while the child runs.
        self._messages = os.memfd_create("messages")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env={**os.environ, **limits, **(environment or {})},
        )
        self.resident: int = self.ask(builder, network.to_json())

    def ask(self, *question: object) -> Any:
        """Send a question and wait for its answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the child's pipes were asked for")
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            written = os.pread(self._messages, os.fstat(self._messages).st_size, 0)
            raise RuntimeError(f"{self.builder} failed:\n{written[-3000:].decode()}")
        return json.loads(answer)

    def burst(self, seconds: float, wake: bool, clock: str) -> list[float]:
        """Let the child call repeatedly, as `benchmarks.timing.burst` does."""
        times: list[float] = self.ask("burst", seconds, wake, clock)
        return times

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the child."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._messages)


def _status(key: str) -> int:
    """Bytes of VmRSS or VmHWM, which unlike getrusage's peak starts again with the program."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {key}")


def _memory(subject: Subject) -> dict[str, int]:
    """Peak resident memory within one call, after another call that has allocated what is kept."""
    subject.run()
    whole = _status("VmHWM")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    subject.run()
    return {"step": _status("VmHWM"), "whole": max(whole, _status("VmHWM"))}


def _answer(subject: Subject, question: str, *arguments: Any) -> object:
    if question == "burst":
        return burst(subject.run, *arguments)
    if question == "logits":
        return subject.logits().astype(float).tolist()
    if question == "memory":
        return _memory(subject)
    raise ValueError(f"unknown question {question!r}")


def _serve(questions: IO[str], answers: IO[str]) -> None:
    builder, description = json.loads(questions.readline())
    module, function = builder.split(".")
    build = getattr(importlib.import_module(f"benchmarks.peers.{module}"), function)
    before = _status("VmRSS")
    subject: Subject = build(Network(**description))
    print(json.dumps(before), file=answers, flush=True)
    for line in questions:
        print(json.dumps(_answer(subject, *json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    # A library's own output must not be read as an answer.
    with os.fdopen(os.dup(1), "w") as private:
        os.dup2(2, 1)
        _serve(sys.stdin, private)
