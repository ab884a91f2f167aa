"""Threads: the same bits for any number of them, and a runtime that other libraries can limit.

What could hang or must start from a fresh runtime runs in a child process with a time limit
far above what it needs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pocketcnn as pc
import pocketcnn.functional as F
from operations import OPERATIONS, Operation, bits

TESTS = Path(__file__).parent
FLOATS = [np.float16, np.float32, np.float64]
needs_openmp = pytest.mark.skipif(
    "openmp" not in pc.available_teams(), reason="others limit us through OpenMP"
)


@pytest.fixture(autouse=True)
def _restore_num_threads() -> Iterator[None]:
    """A test that changes the number of threads does not change the next test."""
    before = pc.get_num_threads()
    yield
    pc.set_num_threads(before)


def _child(code: str, **environment: str) -> str:
    """Run code in a fresh interpreter that can import the helpers here; its output."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_same_bits_for_any_number_of_threads(operation: Operation, dtype: npt.DTypeLike) -> None:
    results = []
    for threads in (1, 2, 3, 8):
        arguments = operation.arguments(dtype, seed=3, large=True)
        with pc.num_threads(threads):
            results.append(bits(operation(arguments)))
    assert all(r == results[0] for r in results[1:])


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("states", [0, 1])
def test_optimiser_steps_have_the_same_bits(states: int, dtype: npt.DTypeLike) -> None:
    results = []
    for threads in (1, 2, 3, 8):
        arrays = np.random.default_rng(4).uniform(0.5, 1, size=(4, 300_001)).astype(dtype)
        param, grad, m, v = (a.copy() for a in arrays)
        with pc.num_threads(threads):
            if states:
                F.adam_update(
                    param, grad, m, v, lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8,
                    weight_decay=0.1, decoupled=True, step=3,
                )  # fmt: skip
            else:
                F.sgd_update(param, grad, m, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
        results.append(bits((param, m, v)))
    assert all(r == results[0] for r in results[1:])


def test_set_and_get() -> None:
    for threads in (1, 2, 3, 8):
        pc.set_num_threads(threads)
        assert pc.get_num_threads() == threads
    pc.set_num_threads(np.int64(2))
    assert pc.get_num_threads() == 2


def test_context_manager_restores_also_after_an_error() -> None:
    pc.set_num_threads(3)
    with pc.num_threads(2):
        assert pc.get_num_threads() == 2
        with pc.num_threads(1):
            assert pc.get_num_threads() == 1
        assert pc.get_num_threads() == 2
    with pytest.raises(KeyError), pc.num_threads(5):
        raise KeyError
    assert pc.get_num_threads() == 3


@pytest.mark.parametrize("first_out", [0, 1])
def test_blocks_of_two_threads_overlap(first_out: int) -> None:
    pc.set_num_threads(3)
    counts = [5, 2]
    inside = [threading.Event(), threading.Event()]
    leave = [threading.Event(), threading.Event()]

    def work(i: int) -> tuple[int, int, int]:
        with pc.num_threads(counts[i]):
            entered = pc.get_num_threads()
            inside[i].set()
            assert inside[1 - i].wait(60)
            both = pc.get_num_threads()
            assert leave[i].wait(60)
            return entered, both, pc.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        blocks = [pool.submit(work, i) for i in range(2)]
        for i in (first_out, 1 - first_out):
            assert all(event.wait(60) for event in inside)
            leave[i].set()
            assert blocks[i].result(60) == (counts[i],) * 3
    assert pc.get_num_threads() == 3


def test_blocks_of_one_thread_may_end_in_any_order() -> None:
    """As with two coroutines."""
    pc.set_num_threads(3)
    first, second = pc.num_threads(5), pc.num_threads(2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert pc.get_num_threads() == 2
    second.__exit__(None, None, None)
    assert pc.get_num_threads() == 3


def test_a_block_may_end_in_another_thread() -> None:
    pc.set_num_threads(3)
    block = pc.num_threads(5)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(block.__enter__).result(60)
        assert pool.submit(pc.get_num_threads).result(60) == 5
        block.__exit__(None, None, None)
        assert pool.submit(pc.get_num_threads).result(60) == 3
    assert pc.get_num_threads() == 3


def test_threads_without_a_block_follow_what_was_asked_for_last() -> None:
    pc.set_num_threads(3)
    with ThreadPoolExecutor(1) as pool:
        with pc.num_threads(2):
            assert pool.submit(pc.get_num_threads).result(60) == 2
            pool.submit(pc.set_num_threads, 4).result(60)
            assert pool.submit(pc.get_num_threads).result(60) == 4
            assert pc.get_num_threads() == 2
        assert pc.get_num_threads() == 4


@pytest.mark.parametrize("bad", [0, -1, -(2**40), 2**31, 2**63, 2**70])
def test_bad_counts(bad: int) -> None:
    before = pc.get_num_threads()
    with pytest.raises(ValueError, match=r"\bn\b|threads"):
        pc.set_num_threads(bad)
    with pytest.raises(ValueError, match=r"\bn\b|threads"), pc.num_threads(bad):
        pass
    assert pc.get_num_threads() == before


@pytest.mark.parametrize("bad", [1.0, "2", None, [1], np.float32(2), 2j])
def test_bad_kinds(bad: Any) -> None:
    before = pc.get_num_threads()
    with pytest.raises(TypeError, match=r"\bn\b|threads"):
        pc.set_num_threads(bad)
    with pytest.raises(TypeError, match=r"\bn\b|threads"), pc.num_threads(bad):
        pass
    assert pc.get_num_threads() == before


@pytest.mark.parametrize("wanted", [1, 3])
def test_omp_num_threads_is_the_default(wanted: int) -> None:
    code = "import pocketcnn as pc; print(pc.get_num_threads())"
    assert _child(code, OMP_NUM_THREADS=str(wanted)) == str(wanted)


def test_default_is_within_the_affinity_mask() -> None:
    code = """
        import os
        os.environ.pop("OMP_NUM_THREADS", None)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        import pocketcnn as pc
        print(pc.get_num_threads())
    """
    assert _child(code) == "1"


FORK = """
    import os, sys, time, warnings
    import numpy as np
    import pocketcnn as pc, pocketcnn.functional as F
    from operations import OPERATIONS, bits

    # Newer Pythons warn about any fork of a process that has threads; that is the point here.
    warnings.simplefilter("ignore", DeprecationWarning)
    pc.set_num_threads(4)
    operations = {n: o for n, o in OPERATIONS.items() if n in ("conv2d", "linear", "max_pool2d")}

    def run():
        return {n: bits(o(o.arguments(seed=3, large=True))) for n, o in operations.items()}
"""


@pytest.mark.usefixtures("team")
def test_child_of_os_fork_neither_hangs_nor_differs() -> None:
    code = (
        FORK
        + """
    expected = run()
    child = os.fork()
    if child == 0:
        os._exit(0 if run() == expected else 7)
    limit = time.monotonic() + 60
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > limit:
            os.kill(child, 9)
            sys.exit("the child hangs")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(status) == 0, status
    assert run() == expected  # the parent still works
    print("done")
"""
    )
    assert _child(code) == "done"


@pytest.mark.usefixtures("team")
def test_multiprocessing_after_parallel_work() -> None:
    code = (
        FORK
        + """
    import multiprocessing
    def work(_):
        return run()
    expected = run()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(work, range(4)).get(timeout=60)
    assert all(r == expected for r in results)
    print("done")
"""
    )
    assert _child(code) == "done"


THREADPOOLCTL = """
    import os
    import numpy as np
    import pocketcnn as pc, pocketcnn.functional as F
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return len(os.listdir("/proc/self/task"))

    pools = [p for p in threadpool_info() if p["user_api"] == "openmp"]
    assert len(pools) == 1, pools
    x, weight = np.ones((8, 16, 64, 64), np.float32), np.ones((32, 16, 3, 3), np.float32)
"""


@needs_openmp
@pytest.mark.usefixtures("team")
def test_threadpoolctl_sees_and_limits_us() -> None:
    """Under the limit a parallel operation starts no thread; without it, it does."""
    code = (
        THREADPOOLCTL
        + """
    before = threads()
    with threadpool_limits(limits=1, user_api="openmp"):
        limited = F.conv2d(x, weight)
        assert threads() == before, (threads(), before)
    free = F.conv2d(x, weight)
    assert threads() == before + 2, (threads(), before)
    assert np.array_equal(limited, free)
    print("done")
"""
    )
    assert _child(code, OMP_NUM_THREADS="3") == "done"


@needs_openmp
@pytest.mark.usefixtures("team")
def test_set_num_threads_is_the_size_of_the_team() -> None:
    code = (
        THREADPOOLCTL
        + """
    before = threads()
    pc.set_num_threads(1)
    F.conv2d(x, weight)
    assert threads() == before, (threads(), before)
    pc.set_num_threads(4)
    F.conv2d(x, weight)
    assert threads() == before + 3, (threads(), before)
    print("done")
"""
    )
    assert _child(code, OMP_NUM_THREADS="2") == "done"


@needs_openmp
@pytest.mark.parametrize("asked", [None, 1, 2, 6])
def test_a_block_under_a_limit_leaves_no_lower_number_behind(asked: int | None) -> None:
    code = (
        THREADPOOLCTL
        + f"""
    if {asked}:
        pc.set_num_threads({asked})
    before = pc.get_num_threads()
    for limit in (1, 2):
        with threadpool_limits(limit):
            limited = pc.get_num_threads()
            assert limited == min(limit, before)
            for n in (1, 2, 5):
                with pc.num_threads(n):
                    assert pc.get_num_threads() == min(n, limit)
                assert pc.get_num_threads() == limited
        assert pc.get_num_threads() == before
    with pc.num_threads(2):
        with threadpool_limits(1):
            assert pc.get_num_threads() == 1
        assert pc.get_num_threads() == 2
    assert pc.get_num_threads() == before
    print("done")
"""
    )
    assert _child(code, OMP_NUM_THREADS="3") == "done"


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("name", ["conv2d", "conv2d_backward", "linear", "max_pool2d", "softmax"])
def test_several_python_threads_at_once(name: str) -> None:
    operation = OPERATIONS[name]
    inputs = [operation.arguments(seed=seed, large=True) for seed in range(4)]
    expected = [bits(operation(arguments)) for arguments in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            results = list(pool.map(lambda a: bits(operation(a)), inputs))
            assert results == expected


def _runs_beside(operation: Operation, arguments: dict[str, Any]) -> bool:
    """Whether another Python thread got the interpreter while the operation ran.

    With an endless switch interval a thread keeps the interpreter until it releases it itself. The
    watcher wakes up from `began` and can only write once the operation does so.
    """
    began = threading.Event()
    watched: list[bool] = []

    def watch() -> None:
        began.wait()
        watched.append(True)

    watcher = threading.Thread(target=watch)
    watcher.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    try:
        began.set()
        operation(arguments)
        seen = bool(watched)
    finally:
        sys.setswitchinterval(interval)
        watcher.join()
    return seen


def _longer(arguments: dict[str, Any], times: int) -> dict[str, Any]:
    """The same with so many times as many images."""
    longer = dict(arguments)
    for name in {"x", "grad", "col"} & arguments.keys():
        longer[name] = np.concatenate([arguments[name]] * times)
    if "input_shape" in arguments:
        images, *others = arguments["input_shape"]
        longer["input_shape"] = (times * images, *others)
    return longer


RELEASING = ["conv2d", "conv2d_backward", "linear", "max_pool2d", "avg_pool2d", "im2col", "col2im"]


@pytest.mark.parametrize("name", RELEASING)
def test_the_interpreter_is_free_while_we_compute(name: str) -> None:
    operation = OPERATIONS[name]
    arguments = operation.arguments(np.float64, large=True)
    # With one thread the watcher has a core, if there are two. A busy machine may still not wake it
    # in time, so it gets more of that; one success is enough.
    pc.set_num_threads(1)
    longer = (_longer(arguments, times) for times in (1, 10, 100))
    assert any(_runs_beside(operation, given) for given in longer for _ in range(50))
