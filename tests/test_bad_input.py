"""Wrong arguments raise a ValueError or TypeError that names them, and never crash."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pocketcnn.functional as F
from bad_arguments import ROWS, Bad
from operations import OPERATIONS

TESTS = Path(__file__).parent


@pytest.mark.parametrize("bad", ROWS, ids=str)
def test_wrong_call(bad: Bad) -> None:
    arguments = bad.arguments()
    function = OPERATIONS[bad.operation].function
    with pytest.raises(bad.error) as caught:
        function(**arguments)
    message = str(caught.value)
    assert re.search(rf"\b({bad.names})", message), f"{message!r} does not name {bad.names}"
    assert "\n" not in message


def test_message_says_what_came_and_what_was_wanted() -> None:
    x, weight = np.ones((2, 3, 8, 8), np.float32), np.ones((16, 1, 5, 5), np.float32)
    with pytest.raises(ValueError, match=r"x has 3 channels.*weight \(16, 1, 5, 5\) takes 1"):
        F.conv2d(x, weight)


def test_a_float_is_refused_also_where_the_equal_int_was_taken_before() -> None:
    """No cache of geometries may take 1.0 for 1."""
    x = np.ones((1, 1, 6, 6), np.float32)
    taken = {"kernel_size": (2, 1), "stride": (1, 1), "padding": ((1, 0), (0, 1))}
    F.im2col(x, **taken)
    refused = {"kernel_size": (2, 1.0), "stride": (1.0, 1), "padding": ((1.0, 0), (0, 1))}
    for name, value in refused.items():
        with pytest.raises(TypeError, match=name):
            F.im2col(x, **{**taken, name: value})


def test_integers_may_be_numpy_scalars() -> None:
    x = np.ones((1, 1, 6, 6), np.float32)
    two = np.int64(2)
    expected = F.im2col(x, 2, 2, ((2, 2), (0, 2)))
    actual = F.im2col(x, np.uint8(2), (two, np.int16(2)), ((two, 2), (0, two)))
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(F.im2col(x, [2, 2], np.array([2, 2]), [[2, 2], [0, 2]]), expected)


def test_a_window_that_sees_padding_alone_is_refused_or_has_a_valid_argmax() -> None:
    """Dilated taps can skip a narrow image; an argmax must then not point outside."""
    x = np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match="padding"):
        F.max_pool2d(x, 2, 1, 2, 3)


def test_nan_targets_do_not_pass_silently() -> None:
    logits = np.zeros((2, 3), np.float32)
    target = np.array([[1, 0, 0], [np.nan, 0, 0]], np.float32)
    with pytest.raises(ValueError, match="row 1 has a value that is not finite"):
        F.cross_entropy(logits, target)


@pytest.mark.parametrize("seed", [0, 1])
def test_random_calls_never_crash(seed: int) -> None:
    environment: dict[str, Any] = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        "PYTHONFAULTHANDLER": "1",
    }
    result = subprocess.run(
        [sys.executable, str(TESTS / "fuzz_functional.py"), "400", str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    last = result.stdout.strip().splitlines()[-1:]
    assert result.returncode == 0, f"{last}\n{result.stderr[-4000:]}"
