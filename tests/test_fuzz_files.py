"""Damaged files of every kind are read, or refused as documented: never a crash, never a hang."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import fuzz_files

CASES = 300
CORPUS = Path(__file__).parent / "corpus"
KINDS = [
    "model",
    "checkpoint",
    "resume",
    "params",
    "torch",
    "history",
    "idx",
    "idx.gz",
    "picture",
    "npy",
    "npz",
    "cifar",
    "run",
]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files(kind: str) -> None:
    """In a separate process with limited memory."""
    if kind == "picture":
        pytest.importorskip("PIL")
    program = Path(__file__).parent / "fuzz_files.py"
    seed = int(time.time())
    done = subprocess.run(
        [sys.executable, program, str(CASES), str(seed), kind],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout[-3000:]}{done.stderr[-1000:]}"
    assert f"{kind}: {CASES} damaged files" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_reached_new_lines(kind: str, tmp_path: Path) -> None:
    """Files that a fuzzer guided by coverage (fuzz_guided.py) has kept."""
    if kind == "picture":
        pytest.importorskip("PIL")
    reader = fuzz_files.kinds()[kind]()
    path = tmp_path / reader.name
    kept = sorted((CORPUS / kind).iterdir())
    assert kept
    for file in kept:
        path.write_bytes(file.read_bytes())
        print(file)
        fuzz_files.read(reader, path)
