"""Random networks and random calls against float64 references, on every instruction set.

A short part of what ``nox -s fuzz`` runs for any length of time; see the two programs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pocketcnn import config

TESTS = Path(__file__).parent


@pytest.mark.parametrize("isa", config.available_isas())
@pytest.mark.parametrize(
    ("program", "count"), [("fuzz_networks.py", 25), ("fuzz_operations.py", 2000)]
)
def test_nothing_differs(program: str, count: int, isa: str) -> None:
    result = subprocess.run(
        [sys.executable, str(TESTS / program), "--count", str(count), "--seed", "0"],
        env={**os.environ, "POCKETCNN_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert f"on {isa}" in result.stdout
