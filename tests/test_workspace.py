"""Memory beyond the results: bounded for any image and batch, and returned.

Measured in a child process as the growth of its peak resident memory, which the kernel
resets on request.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# For two threads: packed blocks that fit in their caches, and partial sums of the weights.
# The column matrix of the convolutions below has 151 MB and more.
WORKSPACE_MB = 16

PREAMBLE = """
    import sys
    import numpy as np
    import pocketcnn as pc, pocketcnn.functional as F
    from pathlib import Path

    def peak():
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmHWM")

    def growth(run):
        '''Return the peak in MB while running, above the resident memory before, and results.'''
        Path("/proc/self/clear_refs").write_text("5")
        before = peak()
        results = run()
        results = results if isinstance(results, tuple) else (results,)
        size = sum(r.nbytes for r in results) / 2**20
        return peak() - before - size

    pc.set_num_threads(2)
    n, side = int(sys.argv[1]), int(sys.argv[2])
    weight = np.full((16, 64, 3, 3), 0.01, np.float32)
    x = np.ones((n, 64, side, side), np.float32)
    small = np.ones((1, 64, 8, 8), np.float32)
    F.conv2d_backward(F.conv2d(small, weight, padding=1), small, weight, padding=1)
"""


def _child(code: str, *arguments: int) -> float:
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PREAMBLE + code), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


@pytest.mark.parametrize(("n", "side"), [(1, 256), (16, 64), (4, 256)])
def test_convolution_builds_no_column_matrix(n: int, side: int) -> None:
    code = """
    print(growth(lambda: F.conv2d(x, weight, padding=1)))
    """
    assert _child(code, n, side) < WORKSPACE_MB


@pytest.mark.parametrize(("n", "side"), [(1, 256), (16, 64)])
def test_gradients_build_no_column_matrix(n: int, side: int) -> None:
    code = """
    grad = np.ones((n, 16, side, side), np.float32)
    print(growth(lambda: F.conv2d_backward(grad, x, weight, padding=1)))
    """
    assert _child(code, n, side) < WORKSPACE_MB


def test_repetition_takes_no_more_memory() -> None:
    """The results are dropped every time, so that the pool has blocks to reuse.

    How many workspaces are in use at once depends on the threads, so their size is allowed;
    losing the results of any one of the three functions every time would take more.
    """
    code = """
    def run():
        for _ in range(90):
            y = F.conv2d(x, weight, padding=1)
            F.conv2d_backward(y, x, weight, padding=1)
            F.max_pool2d(y, 2)
        return ()
    run()
    print(growth(run))
    """
    assert _child(code, 1, 64) < WORKSPACE_MB
