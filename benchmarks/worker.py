"""A library in its own process, and the parent's side that requests bursts.

The child gets a builder and a network, then answers one line of JSON with another:
``["burst", seconds, wake, clock]`` with the calls' times, ``["logits", path]`` when the scores are
in that file, ``["memory"]`` with the peak of one call. `Remote` is the parent's side.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from benchmarks.description import Array, Network, Subject
from benchmarks.timing import burst

# ONNX Runtime's threads, by its defaults, spin for some 30 ms after a call.
_LONGEST_SPIN = 0.5
_LOOK_SECONDS = 0.004


class NotInstalledError(Exception):
    """The library that a builder needs, or something that it needs, is not there."""


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

    Raises
    ------
    NotInstalledError
        The builder's library is not there.
    RuntimeError
        The builder failed; what the process wrote is in the message.
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
        self._closed = False
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
        try:
            answer = self.ask(builder, network.to_json())
            if "missing" in answer:
                raise NotInstalledError(answer["missing"])
        except BaseException:
            self.close()
            raise
        self.resident: int = answer["resident"]

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

    def logits(self) -> Array:
        """The scores of the batch in inference mode."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "logits.npy"
            self.ask("logits", str(path))
            scores: Array = np.load(path)
        return scores

    def close(self) -> None:
        """End the child, if it has not ended yet."""
        if self._closed:
            return
        self._closed = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        os.close(self._messages)

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the child."""
        self.close()


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


def _settle() -> None:
    """Wait until this process's threads sleep: some look for work long after the last call."""
    end = time.perf_counter() + _LONGEST_SPIN
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(_LOOK_SECONDS)
        if time.process_time() - before < 0.1 * _LOOK_SECONDS:
            return


def _answer(subject: Subject, question: str, *arguments: Any) -> object:
    if question == "burst":
        times = burst(subject.run, *arguments)
        _settle()
        return times
    if question == "logits":
        np.save(arguments[0], subject.logits())
        return None
    if question == "memory":
        return _memory(subject)
    raise ValueError(f"unknown question {question!r}")


def _serve(questions: IO[str], answers: IO[str]) -> None:
    builder, description = json.loads(questions.readline())
    module, function = builder.split(".")
    try:
        build = getattr(importlib.import_module(f"benchmarks.peers.{module}"), function)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": error.name}), file=answers, flush=True)
        return
    before = _status("VmRSS")
    subject: Subject = build(Network(**description))
    print(json.dumps({"resident": before}), file=answers, flush=True)
    for line in questions:
        print(json.dumps(_answer(subject, *json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    # A library's own output must not be read as an answer.
    with os.fdopen(os.dup(1), "w") as private:
        os.dup2(2, 1)
        _serve(sys.stdin, private)
