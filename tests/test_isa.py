"""Every instruction set that this machine has computes right results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pocketcnn import config

TESTS = Path(__file__).parent

# Run as the child: its tests must use the forced instruction set and no other.
CHECK = """
import sys
import pytest
from pocketcnn import config
forced = sys.argv[1]
assert config.isa() == forced, f"{config.isa()} runs, {forced} was forced"
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""

# What reaches a kernel of its own for each instruction set, and pooling.
CHECKS = [
    "test_functional_conv2d.py::test_conv2d",
    "test_functional_conv2d.py::test_conv2d_backward",
    "test_functional_linear.py",
    "test_functional_pool2d.py::test_max_pool2d",
    "test_functional_pool2d.py::test_avg_pool2d",
    "test_functional_activation.py::test_elementwise",
    "test_long_sums.py",
    "test_not_finite.py",
    "test_optim_updates.py::test_steps_follow_the_definition",
]


def _run(isa: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", *arguments],
        env={**os.environ, "POCKETCNN_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_best_is_the_default() -> None:
    available = config.available_isas()
    assert available
    assert len(set(available)) == len(available)
    assert config.isa() in available
    if "POCKETCNN_ISA" not in os.environ:
        assert config.isa() == available[0]


@pytest.mark.parametrize("isa", [i for i in config.available_isas() if i != config.isa()])
def test_forced_isa_passes_the_tests_of_functional(isa: str) -> None:
    result = _run(isa, CHECK, isa, *(str(TESTS / check) for check in CHECKS))
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert " passed" in result.stdout


def test_show_config_names_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    config.show_config()
    shown = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert config.isa() in shown
    assert rows["threads"] == str(config.get_num_threads())
    assert {"pocketcnn", "numpy", "python"} <= set(rows)


@pytest.mark.parametrize("name", ["sse9", "AVX-1024", " "])
def test_unknown_isa_is_an_error_at_import(name: str) -> None:
    result = _run(name, "import pocketcnn.functional")
    assert result.returncode == 1, "a negative code would be a crash"
    last = result.stderr.strip().splitlines()[-1]
    assert "POCKETCNN_ISA" in last
    assert name.strip() in last
    assert any(isa in last for isa in config.available_isas()), "the message names what there is"
