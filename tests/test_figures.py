"""What the documentation's figures say is so."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import draw_figures  # noqa: E402
from figures import fusion, product, speed, threads, tile  # noqa: E402


def test_speed_has_the_ratios_of_the_summary() -> None:
    summary = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S.*, batch \d+) \| ([\d.]+) \| ([\d.]+) \|", summary, re.MULTILINE)
    written = {name: {"PyTorch": float(a), "Keras": float(b)} for name, a, b in rows}
    assert len(written) == 9
    assert {row.network: row.ratios for row in speed.read()} == written


def test_each_task_is_done_once_and_no_thread_does_two_at_a_time() -> None:
    for delay in (0, 1.5, 3, 100):
        runs = threads.share(delay)
        assert sorted(run.task for run in runs) == list(range(threads.TASKS))
        for thread in (0, 1):
            own = sorted((run.start, run.end) for run in runs if run.thread == thread)
            assert all(before[1] <= after[0] for before, after in pairwise(own))


def test_a_thread_that_is_put_aside_costs_no_more_than_its_part() -> None:
    assert max(run.end for run in threads.share(0)) == threads.TASKS / 2
    assert max(run.end for run in threads.share(100)) == threads.TASKS - 1


def test_multiplications_are_those_of_lavin_and_gray() -> None:
    # F(4x4, 3x3) of "Fast Algorithms for Convolutional Neural Networks" (2016).
    assert tile.multiplications(3) == (144, 36)


def test_a_stage_reads_its_input_and_writes_its_output() -> None:
    *layers, stage = fusion.traffic()
    x, y = 100 * 28 * 28 * 4, 100 * 30 * 12 * 12 * 4
    assert stage == ("one stage", x / 1e6, y / 1e6)
    assert [written for _, _, written in layers[:2]] == [100 * 30 * 24 * 24 * 4 / 1e6] * 2


def test_the_product_has_the_numbers_of_a_loop() -> None:
    image, columns, filters, result = product.numbers()
    places = [(i, j) for i in (0, 1) for j in (0, 1)]
    patches = [image[i : i + 3, j : j + 3] for i, j in places]
    assert columns.tolist() == [patch.ravel().tolist() for patch in patches]
    for number, one in enumerate(filters):
        assert result[number].ravel().tolist() == [(patch * one).sum() for patch in patches]


@pytest.mark.parametrize("name", draw_figures.FIGURES)
def test_figures_are_drawn(name: str) -> None:
    draw_figures.FIGURES[name]()
    assert (draw_figures.IMAGES / f"{name}.svg").exists()
