"""The two teams of threads: their choice, and the same bits with both."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import pocketcnn as pc
from operations import OPERATIONS, Operation, bits


def _run(team: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "POCKETCNN_TEAM": team, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_there_is() -> None:
    assert pc.available_teams() in (["openmp", "own"], ["own"])
    assert pc.team() in pc.available_teams()


@pytest.mark.parametrize("name", pc.available_teams())
def test_the_environment_chooses(name: str) -> None:
    result = _run(name, "import pocketcnn as pc; print(pc.team())")
    assert result.stdout.strip() == name, result.stderr


def test_an_empty_variable_chooses_nothing() -> None:
    result = _run("", "import pocketcnn as pc; print(pc.team() in pc.available_teams())")
    assert result.stdout.strip() == "True", result.stderr


@pytest.mark.parametrize("name", ["tbb", "OPENMP", " "])
def test_unknown_team_is_an_error_at_import(name: str) -> None:
    result = _run(name, "import pocketcnn.functional")
    assert result.returncode == 1, "a negative code would be a crash"
    last = result.stderr.strip().splitlines()[-1]
    assert f"POCKETCNN_TEAM is '{name}'" in last
    assert ", ".join(pc.available_teams()) in last


def test_set_team(team: str) -> None:
    assert pc.team() == team
    pc.set_team(team)
    assert pc.team() == team


@pytest.mark.parametrize("name", ["", "tbb", "Own", "own ", "own\0"])
def test_unknown_names(name: str) -> None:
    before = pc.team()
    with pytest.raises(ValueError, match=r"name is .* but this build has: .*own"):
        pc.set_team(name)
    assert pc.team() == before


@pytest.mark.parametrize("name", [None, 1, b"own", ["own"]])
def test_wrong_kinds(name: Any) -> None:
    with pytest.raises(TypeError, match="name must be a str, but is "):
        pc.set_team(name)


def test_show_config_names_the_team(team: str, capsys: pytest.CaptureFixture[str]) -> None:
    pc.show_config()
    line = next(
        row for row in capsys.readouterr().out.splitlines() if row.startswith("thread team")
    )
    assert line.split()[2:] == [team, *f"(available: {', '.join(pc.available_teams())})".split()]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_same_bits(operation: Operation) -> None:
    results = []
    before = pc.team()
    for name in [*pc.available_teams(), *pc.available_teams()]:
        pc.set_team(name)
        with pc.num_threads(3):
            results.append(bits(operation(operation.arguments(np.float32, seed=5, large=True))))
    pc.set_team(before)
    assert all(r == results[0] for r in results[1:])


def test_a_training_run_has_the_same_bits() -> None:
    (x, t), _ = pc.data.digits()
    digests = []
    for name in pc.available_teams():
        before = pc.team()
        pc.set_team(name)
        net = pc.models.lenet5(seed=1)
        trainer = pc.Trainer(net, pc.optim.Adam(), batch_size=50, seed=2)
        with pc.num_threads(3):
            trainer.fit(x[:200] / 255, t[:200], epochs=1)
        pc.set_team(before)
        digests.append(bits(tuple(net.params.values())))
    assert all(d == digests[0] for d in digests)
