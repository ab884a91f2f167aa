"""Events of a process: it forks, ends, gets signals, loses cores, cannot start threads.

All in child processes, with time limits far above what they need.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its threads")

START = """
    import os, signal, sys, threading, time
    import numpy as np
    import pocketcnn as pc, pocketcnn.functional as F
    from operations import OPERATIONS, bits

"""


def _start(code: str, **environment: str | None) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(TESTS), *sys.path])
    changed = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(START + code)],
        env={name: value for name, value in changed.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    with child:
        try:
            out, err = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
    return child.returncode, out, err


def _run(code: str, **environment: str | None) -> str:
    """Run code in a fresh interpreter; return its output if nothing was on standard error."""
    status, out, err = _end(_start(code, **environment))
    assert (status, err) == (0, ""), (status, out, err)
    return out.strip()


WORK = [
    "net.predict(x)",
    "net.gradient(x, t)",
    "trainer.step(x, t)",
    "F.conv2d(x, np.ones((8, 1, 3, 3), np.float32))",
    "refused()",
]


@pytest.mark.usefixtures("team")
def test_daemon_threads_that_compute_do_not_disturb_the_exit() -> None:
    children = []
    for work in WORK:
        code = f"""
    net = pc.models.simple_convnet()
    trainer = pc.Trainer(pc.models.simple_convnet(), pc.optim.SGD(0.1))
    x, t = np.zeros((50, 1, 28, 28), np.float32), np.zeros(50, int)
    begun = threading.Semaphore(0)
    def refused():
        try:
            F.conv2d(x, np.ones((8, 2, 3, 3), np.float32))
        except ValueError:
            return
    def loop():
        while True:
            {work}
            begun.release()
    for _ in range({3 if "x)" in work else 1}):
        threading.Thread(target=loop, daemon=True).start()
    for _ in range(9):
        begun.acquire()
    """
        children += [_start(code), _start(code)]  # the moment is another each time
    assert [_end(child) for child in children] == [(0, "", "")] * len(children)


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_call(threads: int) -> None:
    """And has no lasting effect: the next call is right."""
    code = f"""
    pc.set_num_threads({threads})
    rng = np.random.default_rng(0)
    x = rng.random((32, 64, 96, 96), np.float32)
    g, w = rng.random((32, 256, 96, 96), np.float32), rng.random((256, 64, 3, 3), np.float32)
    m = rng.random((4096, 4096), np.float32)
    long = [
        lambda: F.conv2d(x, w, algorithm="im2col"),
        lambda: F.conv2d(x, w, algorithm="winograd"),
        lambda: F.conv2d_backward(g, x, w, padding=1),
        lambda: F.linear_backward(m, m, m),
        lambda: F.local_response_norm(x, 5, beta=0.7),
        lambda: F.im2col(x[:8], 7),
    ]
    operation = OPERATIONS["conv2d"]
    expected = bits(operation(operation.arguments(seed=3, large=True)))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    for call in long:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            while True:
                call()
        except KeyboardInterrupt:
            pass
        assert bits(operation(operation.arguments(seed=3, large=True))) == expected
    print("heard")
    """
    assert _run(code) == "heard"


MINUTES = [
    "pc._core.conv2d(x, w, None, conv)",
    "pc._core.conv2d_backward_input(g, w, x.shape, conv)",
    "pc._core.conv2d_backward(g, x, w, conv, False, True)",
    "F.max_pool2d(plane, 255, 1)",
]


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("call", MINUTES)
def test_a_call_of_minutes_hears_of_signals_while_it_runs(call: str) -> None:
    """Handlers run many times within one call, and the one that raises ends it."""
    code = f"""
    x, w = np.ones((32, 64, 64, 64), np.float32), np.ones((512, 64, 15, 15), np.float32)
    g, plane = np.ones((32, 512, 64, 64), np.float32), np.ones((1, 1, 3000, 3000), np.float32)
    window = pc._core.Window2d((15, 15), (1, 1), (7, 7, 7, 7), (1, 1))
    conv = pc._core.Conv2d(window, 512, 1, pc._core.ConvAlgorithm.im2col)
    heard = []
    def handler(number, frame):
        heard.append(frame.f_code.co_name)
        if len(heard) == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise TimeoutError("enough")
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.25, 0.25)
    try:
        {call}  # 1e12 multiplications or 5e11 comparisons
        print("finished")
    except TimeoutError as error:
        print(error, len(heard), "in one call", len(set(heard)) == 1)
    """
    assert _run(code, OMP_NUM_THREADS="2") == "enough 3 in one call True"


@pytest.mark.usefixtures("team")
def test_an_update_is_not_left_half_done() -> None:
    """The signal waits for its end."""
    code = """
    params = {str(i): np.zeros(4_000_000, np.float32) for i in range(8)}
    grads = {name: np.ones_like(p) for name, p in params.items()}
    optimizer = pc.optim.SGD(1.0)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        while True:
            optimizer.update(params, grads)
    except KeyboardInterrupt:
        assert len({float(p[i]) for p in params.values() for i in (0, -1)}) == 1
        print("whole")
    """
    assert _run(code) == "whole"


@pytest.mark.usefixtures("team")
def test_fork_at_any_moment() -> None:
    """While other threads are inside native calls, also those that take and give back memory."""
    code = """
    names = ("conv2d", "conv2d_backward", "linear", "max_pool2d", "softmax")
    work = {n: (OPERATIONS[n], OPERATIONS[n].arguments(seed=3, large=True)) for n in names}
    expected = {n: bits(o(a)) for n, (o, a) in work.items()}
    stop = False
    def busy(name):
        operation, arguments = work[name]
        while not stop:
            with pc.num_threads(2):
                operation(arguments)
    pc.set_num_threads(3)
    threads = [threading.Thread(target=busy, args=(n,)) for n in names]
    for thread in threads:
        thread.start()
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed", seed)
    rng = np.random.default_rng(seed)
    for _ in range(25):
        time.sleep(rng.random() * 0.01)
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # a child that hangs ends by a signal
            with pc.num_threads(2):
                right = pc.get_num_threads() == 1
                right = right and all(bits(o(a)) == expected[n] for n, (o, a) in work.items())
            os._exit(0 if right else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0, status
    stop = True
    for thread in threads:
        thread.join()
    assert all(bits(o(a)) == expected[n] for n, (o, a) in work.items())
    """
    assert _run(code).startswith("seed")


@pytest.mark.usefixtures("team")
def test_a_handler_that_forks_in_the_middle_of_a_call() -> None:
    """The child cannot finish what its parent's threads had begun, and raises an error."""
    code = """
    x, w = np.ones((64, 64, 64, 64), np.float32), np.ones((256, 64, 3, 3), np.float32)
    children = []
    def handler(number, frame):
        children.append(os.fork())
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        while not children:
            y = F.conv2d(x, w, algorithm="im2col")
    except RuntimeError as error:
        assert children == [0] and "forked" in str(error), error
        small = F.conv2d(x[:1], w, algorithm="im2col")
        os._exit(0 if (small == 576).all() else 3)
    if children == [0]:
        os._exit(0)  # it forked between two calls
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert (y == 576).all()
    """
    _run(code, OMP_NUM_THREADS="2")


@pytest.mark.usefixtures("team")
def test_without_room_for_threads_the_caller_works_alone() -> None:
    """A stack larger than any address space: no thread can be started."""
    code = """
    import resource, sys
    if "again" not in sys.argv:
        hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
        if hard != resource.RLIM_INFINITY:
            print("done")  # not allowed to here
            sys.exit()
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 46, hard))
        os.execv(sys.executable, [*sys.orig_argv, "again"])
    signals = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    operation = OPERATIONS["conv2d"]
    def threads():
        return len(os.listdir("/proc/self/task"))
    before = threads()
    pc.set_num_threads(1)
    expected = bits(operation(operation.arguments(seed=3, large=True)))
    pc.set_num_threads(4)
    for _ in range(3):
        assert bits(operation(operation.arguments(seed=3, large=True))) == expected
    assert threads() == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == signals
    print("done")
    """
    assert _run(code, OPENBLAS_NUM_THREADS="1") == "done"


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("room", [0, 1, 3])
def test_with_room_for_some_threads_as_many_work(room: int) -> None:
    """A limit on the user's threads; the next operations do not try again at once."""
    code = f"""
    import resource
    operation = OPERATIONS["conv2d"]
    pc.set_num_threads(1)
    expected = bits(operation(operation.arguments(seed=3, large=True)))
    def threads():
        return len(os.listdir("/proc/self/task"))
    before = threads()
    try:
        os.setuid(54321)  # nobody else's: what runs as root has no limit
        resource.setrlimit(resource.RLIMIT_NPROC, (before + {room}, before + {room}))
    except (PermissionError, ValueError):
        print("done")  # not allowed to here
        sys.exit()
    pc.set_num_threads(4)
    for _ in range(3):
        assert bits(operation(operation.arguments(seed=3, large=True))) == expected
        assert threads() == before + {room}, (threads(), before)
    print("done")
    """
    assert _run(code, OPENBLAS_NUM_THREADS="1") == "done"


@pytest.mark.usefixtures("team")
def test_a_thread_that_forks_ends_in_both() -> None:
    """In the child it is the last thread, and the process ends with it."""
    code = """
    operation = OPERATIONS["conv2d"]
    arguments = operation.arguments(seed=3, large=True)
    pc.set_num_threads(3)
    children = []
    def work():
        expected = bits(operation(arguments))
        children.append(os.fork())
        if children[0] == 0:
            signal.alarm(60)  # a child that hangs ends by a signal
            assert bits(operation(arguments)) == expected
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    """
    _run(code)


def test_the_number_of_threads_follows_the_affinity_mask() -> None:
    code = """
    all = os.sched_getaffinity(0)
    assert pc.get_num_threads() == len(all)
    os.sched_setaffinity(0, {min(all)})
    assert pc.get_num_threads() == 1
    os.sched_setaffinity(0, all)
    assert pc.get_num_threads() == len(all)
    print("done")
    """
    assert _run(code, OMP_NUM_THREADS=None) == "done"


@pytest.mark.usefixtures("team")
def test_helpers_stay_where_they_are_put_from_outside() -> None:
    """However the mask is changed, and whatever the helpers do at that moment."""
    code = """
    operation = OPERATIONS["conv2d"]
    arguments = operation.arguments(seed=3, large=True)
    cores = sorted(os.sched_getaffinity(0))
    def tasks():
        return map(int, os.listdir("/proc/self/task"))
    pc.set_num_threads(3)
    operation(arguments)
    for round in range(40):
        chosen = {cores[round % len(cores)]}
        for task in tasks():
            os.sched_setaffinity(task, chosen)
        for pause in (0.0, 0.001, 0.0):
            time.sleep(pause)
            operation(arguments)
        time.sleep(0.002)
        found = [os.sched_getaffinity(task) for task in tasks()]
        assert all(mask == chosen for mask in found), (round, chosen, found)
        for task in tasks():
            os.sched_setaffinity(task, cores)
        operation(arguments)
    print("done")
    """
    assert _run(code) == "done"


@pytest.mark.parametrize(
    ("value", "threads", "warning"),
    [
        ("3", 3, ""),
        (" 5 ", 5, ""),
        ("4,2", 4, ""),
        ("1024", 1024, ""),
        ("5000", 1024, "OMP_NUM_THREADS is '5000', but at most 1024 threads are used"),
        ("9" * 40, 1024, "but at most 1024 threads are used"),
        ("1e9", None, "OMP_NUM_THREADS is '1e9', which is no number of threads, and is ignored"),
        ("0", None, "is ignored"),
        ("-4", None, "is ignored"),
        ("four", None, "is ignored"),
        ("", None, ""),
    ],
)
def test_omp_num_threads(value: str, threads: int | None, warning: str) -> None:
    code = """
    print(pc.get_num_threads(), len(os.sched_getaffinity(0)))
    """
    _, out, err = _end(_start(code, OMP_NUM_THREADS=value))
    got, cpus = map(int, out.split())
    assert got == threads or (threads is None and 1 <= got <= cpus)
    assert (warning in err) if warning else ("OMP_NUM_THREADS is" not in err), err
    assert ("RuntimeWarning" in err) == bool(warning)
