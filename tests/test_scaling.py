"""Predictions of the speed of several processes, and the pictures of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import pocketcnn as pc
from pocketcnn.distributed.communicator import Span
from pocketcnn.distributed.scaling import MeasuredStep, Network, measure_step

GIGABYTE, MICROSECOND = 1e9, 1e-6


def test_a_ring_sends_every_byte_about_twice() -> None:
    """2 (N - 1) messages of an N-th each."""
    network = Network(GIGABYTE, 10 * MICROSECOND, "ring")
    assert network.sum_seconds(8_000_000, 1) == 0
    assert network.sum_seconds(8_000_000, 4) == pytest.approx(6 * (10e-6 + 2e-3))
    assert network.sum_seconds(0, 1024) == pytest.approx(2046 * 10e-6)


def test_a_tree_sends_all_bytes_at_each_of_its_levels() -> None:
    network = Network(GIGABYTE, 10 * MICROSECOND, "tree")
    for ranks, levels in ((2, 1), (3, 2), (4, 2), (1024, 10)):
        assert network.sum_seconds(8_000_000, ranks) == pytest.approx(2 * levels * (10e-6 + 8e-3))


def test_a_step_waits_for_the_sums_that_backward_does_not_hide() -> None:
    """Without latency, between two ranks: a sum takes the time of its bytes."""
    network = Network(GIGABYTE, 0)
    step = MeasuredStep(10, 1.0, 2.0, 0.5, [(0.5, 10**8), (1.9, 5 * 10**8)], alone=3.0)
    header = 24 / GIGABYTE
    # The second begins when it is ready, and ends after backward.
    assert step.seconds(2, network) == pytest.approx(1.0 + header + 1.9 + 0.5 + 0.5)
    hidden = MeasuredStep(10, 1.0, 2.0, 0.5, [(0.5, 10**8), (1.5, 10**8)], 3.0)
    assert hidden.seconds(2, network) == pytest.approx(1.0 + header + 2.0 + 0.5)
    # The second waits for the first.
    late = MeasuredStep(10, 1.0, 2.0, 0.5, [(0.5, 2 * 10**9), (1.0, 10**9)], 3.0)
    assert late.seconds(2, network) == pytest.approx(1.0 + header + 0.5 + 2 + 1 + 0.5)
    assert step.images_per_second(1, network) == pytest.approx(10 / 3.0)


def test_a_measured_step_has_the_bytes_of_all_gradients() -> None:
    net = pc.models.simple_convnet()
    step = measure_step(net, pc.optim.SGD(0.1), 4, repeat=1)
    wanted = sum(array.nbytes for array in net.params.values())
    # Each of the six begins on a cache line.
    assert wanted <= sum(size for _, size in step.buckets) < wanted + 6 * 64
    assert step.alone > 0
    assert all(0 < ready <= step.backward for ready, _ in step.buckets)


@pytest.mark.parametrize(
    ("bandwidth", "latency", "algorithm", "message"),
    [
        (0.0, 0.0, "ring", "bandwidth is 0.0"),
        (1.0, -1.0, "ring", "latency -1.0"),
        (1.0, 0.0, "star", "algorithm is 'star'"),
    ],
)
def test_networks_that_cannot_be(
    bandwidth: float, latency: float, algorithm: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Network(bandwidth, latency, algorithm)  # type: ignore[arg-type]


def test_the_command_line_predicts() -> None:
    words = [
        "bench",
        "--scale",
        "--networks",
        "mobilenet_v2",
        "--batch-size",
        "1",
        "--repeat",
        "1",
        "--ranks",
        "4",
    ]
    command = [sys.executable, "-m", "pocketcnn", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["ranks", "1", "2", "4"]
    assert rows[1][2] == "(100%)"
    assert float(rows[1][1]) <= float(rows[2][1]) * 1.2


def test_a_timeline_has_a_row_for_each_rank() -> None:
    spans = [Span(0, "sum", 0.1, 0.3), Span(0, "wait", 0.2, 0.3), Span(1, "sum", 0.1, 0.2)]
    (ax,) = pc.plot.timeline(spans).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rank 0", "rank 1"]
    assert ax.get_xlim() == (0, 300)
    with pytest.raises(ValueError, match="nothing was recorded"):
        pc.plot.timeline([])


def test_the_picture_of_speeds_begins_at_one_rank() -> None:
    (ax,) = pc.plot.scaling([1, 2, 4], {"alexnet": [10.0, 19.0, 30.0]}).axes
    ideal, line = ax.get_lines()
    np.testing.assert_allclose(ideal.get_ydata(), [1, 2, 4])
    np.testing.assert_allclose(line.get_ydata(), [1, 1.9, 3])
    with pytest.raises(ValueError, match="wanted numbers from 1 on"):
        pc.plot.scaling([2, 4], {})
