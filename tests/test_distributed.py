"""Training in several processes, each test in a job of its own, under the real ``mpiexec``.

With two ranks; ``nox -s distributed`` sets POCKETCNN_RANKS for more, and then AlexNet takes part.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketcnn.distributed.placement import Place, crowded, threads_of
from pocketcnn.training.saved_run import read_saved_run

SCRIPT = Path(__file__).with_name("ranks.py")
RANKS = [int(count) for count in os.environ.get("POCKETCNN_RANKS", "2").split(",")]
LONG = "POCKETCNN_RANKS" in os.environ
SECONDS = 300  # a job that hangs ends then
EPS32, EPS64 = (float(np.finfo(dtype).eps) for dtype in (np.float32, np.float64))

ranks = pytest.mark.parametrize("count", RANKS)
long = pytest.mark.skipif(not LONG, reason="nox -s distributed runs it")


def launcher() -> str:
    """Return ``mpiexec``: beside this Python, or on the path where a cluster has its own."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    assert found is not None, "no mpiexec: pip install pocketcnn[mpi]"
    return found


def job(count: int, *words: str) -> list[str]:
    """Return the command that runs a program of Python in `count` processes."""
    return [launcher(), "-n", str(count), sys.executable, *words]


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=cwd
    )


def ours(told: str) -> list[str]:
    """Return the lines that are not the launcher's; Open MPI ends its own with a zero byte."""
    return re.findall(r"^\0*(pocketcnn[: ].*)$", told, re.MULTILINE)


def is_open_mpi() -> bool:
    """Whether the launcher is Open MPI's."""
    return "Open MPI" in run(launcher(), "--version").stdout


def started(count: int, words: tuple[str, ...], cwd: Path) -> subprocess.Popen[str]:
    """Start a job in a group of processes of its own."""
    return subprocess.Popen(
        job(count, *words),
        cwd=cwd,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a job has written a file."""
    deadline = time.monotonic() + SECONDS
    while not file.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def holder(folder: Path) -> int:
    """Return the process that writes in a run's folder: rank 0."""
    return int((folder / "lock").read_text().split()[1])


def results(count: int, folder: Path, *words: str) -> dict[str, Any]:
    """Run a function of `ranks.py`, and return what came out."""
    file = folder / f"{words[0]}-{count}.npz"
    name, *rest = words
    done = run(*job(count, str(SCRIPT), name, str(file), *rest))
    assert done.returncode == 0, done.stderr
    with np.load(file) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Return what runs a function of `ranks.py` in one process, once for all tests."""
    folder = tmp_path_factory.mktemp("alone")
    return functools.cache(lambda *words: results(1, folder, *words))


def assert_close(found: Mapping[str, Any], wanted: Mapping[str, Any], ulps: float) -> None:
    """Compare arrays up to rounding of their largest values."""
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        # Losses have no dot in their names: they are float64, of float32 networks too.
        eps = EPS64 if array.dtype == np.float64 and "." in name else EPS32
        bound = ulps * eps * max(1.0, float(np.abs(array).max()))
        np.testing.assert_allclose(found[name], array, rtol=0, atol=bound, err_msg=name)


@ranks
@pytest.mark.parametrize(
    "words",
    [
        ("simple_convnet",),
        ("simple_convnet", "clip", "accumulate"),
        ("normalized", "sync", "ema"),
        ("large_linear",),
        pytest.param(("alexnet",), marks=long),
    ],
    ids=" ".join,
)
def test_ranks_train_as_one_with_their_batches_together(
    tmp_path: Path, alone: Callable[..., dict[str, Any]], count: int, words: tuple[str, ...]
) -> None:
    """A few updates add up a few roundings each."""
    assert_close(results(count, tmp_path, "train", *words), alone("train", *words), ulps=64)


@ranks
@pytest.mark.parametrize(
    "words",
    [
        ("simple_convnet",),
        ("normalized", "ema"),
        pytest.param(("simple_convnet", "clip", "accumulate", "weights"), marks=long),
        pytest.param(("large_linear",), marks=long),
        pytest.param(("alexnet",), marks=long),
    ],
    ids=" ".join,
)
def test_micro_batches_give_the_same_bits_in_any_number_of_ranks(
    tmp_path: Path, alone: Callable[..., dict[str, Any]], count: int, words: tuple[str, ...]
) -> None:
    """The last batch has three samples for four micro-batches."""
    one = alone("train", *words, "micro")
    several = results(count, tmp_path, "train", *words, "micro")
    for name, array in one.items():
        if "." in name:  # weights and statistics; losses are sums of each rank's own
            np.testing.assert_array_equal(several[name], array, err_msg=name)
    assert_close(several, one, ulps=64)


@ranks
def test_ranks_with_fewer_samples_wait_for_the_others(tmp_path: Path, count: int) -> None:
    counts = [3, 40, 61, 20][:count]
    found = results(count, tmp_path, "uneven")
    assert found["batches"] == -(-max(counts) // 10)
    assert found["samples"] == sum(counts)
    assert np.isfinite(found["val_loss"]).all()


@ranks
def test_some_ranks_may_have_no_samples_at_all(
    tmp_path: Path, alone: Callable[..., dict[str, Any]], count: int
) -> None:
    """One sample, whose maps have many pixels, is normalised with nothing from the others."""
    found = results(count, tmp_path, "few")
    assert_close(found, alone("few"), ulps=64)


@ranks
def test_each_rank_draws_for_itself_and_repeats(tmp_path: Path, count: int) -> None:
    found = results(count, tmp_path, "draws")
    assert len({*found["augment"].ravel()}) == found["augment"].size
    assert len({*found["dropout"]}) == count
    again = results(count, tmp_path, "draws")
    for name, array in found.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


@ranks
def test_a_resumed_run_ends_at_the_same_bits(tmp_path: Path, count: int) -> None:
    """With dropout, stopped in the middle of the second epoch."""
    words = ("6", "0.3")
    whole = results(count, tmp_path, "resume", str(tmp_path / "whole.safetensors"), "99", *words)
    file = str(tmp_path / "parts.safetensors")
    results(count, tmp_path, "resume", file, "5", *words)
    resumed = results(count, tmp_path, "resume", file, "99", *words)
    for name in ("fc.weight", "fc.bias"):
        np.testing.assert_array_equal(resumed[name], whole[name], err_msg=name)


@pytest.mark.parametrize("later", [1, 3] if LONG else [1])
def test_another_number_of_ranks_goes_on(tmp_path: Path, later: int) -> None:
    """With the batches of the first; dropout, which each rank draws for itself, is off."""
    file, whole = str(tmp_path / "parts.safetensors"), str(tmp_path / "whole.safetensors")
    before = max(RANKS)
    results(before, tmp_path, "resume", file, "4", "6", "0")
    resumed = results(later, tmp_path, "resume", file, "99", "6", "0")
    one = results(1, tmp_path, "resume", whole, "99", str(6 * before), "0")
    assert_close(resumed, one, ulps=64)


@ranks
def test_bfloat16_rounds_each_term_and_the_sum(tmp_path: Path, count: int) -> None:
    found = results(count, tmp_path, "compressed")
    terms = [
        np.random.default_rng(rank).standard_normal(10_001).astype(np.float32)
        for rank in range(count)
    ]
    bound = 2.0**-8 * (np.sum(np.abs(terms), axis=0) + np.abs(found["exact"])) * (1 + 2.0**-8)
    assert (np.abs(found["sum"] - found["exact"]) <= bound).all()
    assert not np.array_equal(found["sum"], found["exact"].astype(np.float32))


@ranks
def test_an_exception_on_one_rank_ends_all_with_its_traceback(tmp_path: Path, count: int) -> None:
    done = run(*job(count, str(SCRIPT), "fails", str(tmp_path / "none.npz")))
    assert done.returncode == 1
    assert f"rank {count - 1} of {count} failed" in done.stderr
    assert "\nLookupError: no such picture\n" in done.stderr
    assert done.stderr.count("Traceback") == 1


@ranks
def test_a_killed_rank_ends_the_job_with_one_line(tmp_path: Path, count: int) -> None:
    """As a rule it names that rank, but on a busy machine the launcher may be faster."""
    done = run(*job(count, str(SCRIPT), "killed", str(tmp_path / "none.npz")))
    assert done.returncode != 0
    lines = ours(done.stderr)
    assert len(lines) == 1, done.stderr
    assert re.fullmatch(r"pocketcnn: rank \d \(process \d+ on \S+\) was killed", lines[0])


def test_all_ranks_report_what_is_not_finite_on_one(tmp_path: Path) -> None:
    message = str(results(2, tmp_path, "not_finite")["message"])
    assert "x has 784 values that are not finite" in message


def test_ranks_with_other_settings_are_refused_on_all(tmp_path: Path) -> None:
    message = str(results(2, tmp_path, "disagrees")["message"])
    assert "batch_size is 10 on rank 0, but 11 on rank 1" in message


TRAIN = ("-m", "pocketcnn", "train", "--batch-size", "50", "--limit", "600", "--threads", "1")


@ranks
def test_the_command_line_leaves_one_folder_and_prints_once(tmp_path: Path, count: int) -> None:
    words = (*TRAIN, "--distributed", "--epochs", "2", "--out", "run", "--scale-lr")
    done = run(*job(count, *words), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_after_a_kill_another_number_of_processes_goes_on(tmp_path: Path) -> None:
    count, folder = max(RANKS), tmp_path / "run"
    words = (*TRAIN, "--distributed", "--epochs", "10000", "--out", "run")
    with started(count, words, tmp_path) as process:
        wait_for(folder / "checkpoint.safetensors", process)
        os.kill(holder(folder), signal.SIGKILL)
        told = process.communicate(timeout=SECONDS)[1]
    lines = ours(told)
    assert len(lines) == 1, told
    assert re.fullmatch(
        rf"pocketcnn: rank \d \(.*\) was killed; continue with: mpiexec -n {count} pocketcnn train "
        "--distributed --resume run",
        lines[0],
    )
    epochs = read_saved_run(folder / "checkpoint.safetensors").epoch
    words = ("-m", "pocketcnn", "train", "--resume", "run", "--epochs", str(epochs + 1))
    resumed = run(sys.executable, *words, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert f"written by {count} ranks with 50 samples each" in resumed.stderr
    assert f"after {epochs} before" in resumed.stdout


@pytest.mark.parametrize("by", ["Ctrl-C", pytest.param("a signal to one rank", marks=long)])
def test_an_interrupted_run_ends_with_one_line_and_a_checkpoint(tmp_path: Path, by: str) -> None:
    """Ctrl-C in a terminal sends the signal to all processes of the group."""
    if by == "Ctrl-C" and is_open_mpi():
        pytest.skip("Open MPI's launcher kills the ranks after Ctrl-C, and prints nothing more")
    count, file = max(RANKS), tmp_path / "run" / "checkpoint.safetensors"
    words = (*TRAIN, "--distributed", "--epochs", "10000", "--out", "run")
    with started(count, words, tmp_path) as process:
        wait_for(file, process)
        if by == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(holder(tmp_path / "run"), signal.SIGTERM)
        told = process.communicate(timeout=SECONDS)[1]
    word, code = ("interrupted", 130) if by == "Ctrl-C" else ("terminated", 143)
    assert process.returncode == code
    lines = ours(told)
    assert len(lines) == 1, told
    found = re.fullmatch(
        rf"pocketcnn: {word} in epoch (\d+) of 10000, after step (\d+); continue with: "
        rf"mpiexec -n {count} pocketcnn train --distributed --resume run \(with .*\)",
        lines[0],
    )
    assert found is not None, told
    epoch, step = map(int, found.groups())
    steps, saved = -(-600 // (50 * count)), read_saved_run(file)
    within = 0 if saved.progress is None else saved.progress.steps
    assert saved.epoch * steps + within == (epoch - 1) * steps + step


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--data", "nowhere"), 1, "nowhere"),
        (("--wrong",), 2, "unrecognized arguments: --wrong"),
        pytest.param(("--model", "wrong"), 2, "--model: invalid choice: 'wrong'", marks=long),
        pytest.param(
            ("--resume", "nowhere"), 1, "'nowhere' is not the folder of a run", marks=long
        ),
        pytest.param(("--config", "nowhere.toml"), 2, "nowhere.toml", marks=long),
        pytest.param(("--from", "nowhere"), 1, "nowhere", marks=long),
        pytest.param(("--micro-batches", "3"), 1, "a multiple of the 2 processes", marks=long),
    ],
)
def test_the_command_line_prints_one_line_for_all_ranks(
    tmp_path: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    done = run(*job(2, "-m", "pocketcnn", "train", "--distributed", *words), cwd=tmp_path)
    assert done.returncode == code
    (line,) = ours(done.stderr)
    assert told in line
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_ranks_on_one_core_are_noticed() -> None:
    bound, other = Place("n", frozenset({3}), 1), Place("n", frozenset({4}), 1)
    free = Place("n", frozenset(range(8)), 8)
    assert "may use only 1 of its 8 cores" in str(crowded([bound] * 4, 8))
    assert crowded([bound, other], 8) is None
    assert crowded([free] * 4, 8) is None
    assert crowded([bound] * 4, 1) is None, "there are no more cores"


def test_ranks_divide_the_cores_that_they_share() -> None:
    free, bound = Place("n", frozenset(range(8)), 8), Place("n", frozenset({0, 1}), 2)
    assert threads_of(free, [free] * 3) == 2
    assert threads_of(bound, [bound, Place("n", frozenset({2, 3}), 2)]) == 2
    assert threads_of(bound, [bound] * 4) == 1
