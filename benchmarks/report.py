"""Tables of the measurements: on the terminal, in Markdown, as JSON and as a chart."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chart import draw_bars, draw_curves
from benchmarks.machine import Machine
from benchmarks.options import Options

Cell = str | float | None


@dataclass(frozen=True)
class Table:
    """Columns of text and numbers, with further data of each row.

    Attributes
    ----------
    title, note : str
        Above and below the table.
    columns : tuple of str
    rows : list of tuple
        One cell a column; None is empty.
    ratios : list of (str, float)
        The bars of the chart: label, and peer divided by ours, above 1 a win.
    data : list of dict
        For the JSON file: all data of the cells.
    curves : dict of str to list of float
        Instead of bars, many such ratios by what they have in common.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    ratios: list[tuple[str, float]] = field(default_factory=list)
    data: list[dict[str, object]] = field(default_factory=list)
    note: str = ""
    curves: dict[str, list[float]] = field(default_factory=dict)


def milliseconds(seconds: float) -> str:
    """Three significant digits."""
    value = seconds * 1e3
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else f"{cell:.2f}"


def plain(table: Table) -> str:
    """Format the table for a terminal."""
    lines = [table.columns, *(tuple(map(_text, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = [_aligned(line, widths, "  ") for line in lines]
    return "\n".join([f"\n{table.title}", *body, table.note]).rstrip()


def markdown(table: Table) -> str:
    """Format the table for Markdown."""
    lines = [table.columns, *(tuple(map(_text, row)) for row in table.rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    words = _text_columns(table)
    rule = tuple("-" * w if i < words else "-" * (w - 1) + ":" for i, w in enumerate(widths))
    body = [f"| {_aligned(line, widths, ' | ')} |" for line in (lines[0], rule, *lines[1:])]
    return "\n".join([f"### {table.title}", "", *body, "", table.note]).rstrip() + "\n"


def _aligned(line: Sequence[str], widths: Sequence[int], gap: str) -> str:
    cells = [
        cell.ljust(width) if index < 2 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return gap.join(cells)


def _text_columns(table: Table) -> int:
    """How many columns from the left contain text."""
    return min(2, len(table.columns))


def finish(options: Options, machine: Machine, tables: list[Table]) -> None:
    """Print the tables and save them to files."""
    if not tables:
        print(f"nothing matches --filter {options.filter.pattern!r}", file=sys.stderr)
        sys.exit(2)
    for table in tables:
        print(plain(table))
    # Options about output do not belong to the measurement.
    asked = re.sub(r" --(output|markdown|wheel)[ =]\S+", "", shlex.join(sys.argv[1:]))
    command = f"python -m benchmarks {asked}"
    stem = options.stem
    options.output.mkdir(parents=True, exist_ok=True)
    content = {
        "command": command,
        "machine": dataclasses.asdict(machine),
        "tables": [{"title": table.title, "rows": table.data} for table in tables],
    }
    path = options.output / f"{stem}.json"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    _chart(tables, machine, options.output / f"{stem}.png")
    print(f"\nkept in {path} and beside it")
    if options.markdown is not None:
        _fill(options.markdown, stem, command, machine, tables)


def _fill(path: Path, stem: str, command: str, machine: Machine, tables: list[Table]) -> None:
    """Replace the text between the two comments that name the run."""
    begin, end = f"<!-- {stem}: begin -->", f"<!-- {stem}: end -->"
    text = path.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise SystemExit(f"{path} has no place for {stem}: wanted {begin} and {end}")
    parts = [f"`{command}`", machine.line(), *map(markdown, tables)]
    before, after = text.split(begin)[0], text.split(end, 1)[1]
    body = "\n\n".join(part.strip() for part in parts)
    path.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")


def _chart(tables: list[Table], machine: Machine, path: Path) -> None:
    title = f"{machine.cpu}, {machine.isa}, threads: {machine.threads}"
    bars = [(f"{label}  ({t.title})", ratio) for t in tables for label, ratio in t.ratios]
    curves = {name: ratios for t in tables for name, ratios in t.curves.items()}
    if curves:
        draw_curves(curves, title, path)
    elif bars:
        draw_bars(bars, title, path)
