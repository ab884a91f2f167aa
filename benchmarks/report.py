"""Tables of the measurements: on the terminal, in Markdown, as JSON and as a bar chart."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import Machine
from benchmarks.options import Options
from benchmarks.timing import Timing

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
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    ratios: list[tuple[str, float]] = field(default_factory=list)
    data: list[dict[str, object]] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Race:
    """Ours and its peers, timed in turn on one task.

    Attributes
    ----------
    group, name, step : str
        Table, task and pass.
    ours : Timing
    peers : dict of str to Timing
        By "family/variant"; the fastest variant of a family counts.
    flop : float
        Operations of the task as the textbook counts them; 0 if it does not.
    """

    group: str
    name: str
    step: str
    ours: Timing
    peers: dict[str, Timing]
    flop: float = 0.0

    def best(self, family: str) -> tuple[str, Timing]:
        """Variant and time of the family's fastest member."""
        mine = {key: t for key, t in self.peers.items() if key.split("/")[0] == family}
        key = min(mine, key=lambda name: mine[name].minimum)
        return key.partition("/")[2], mine[key]

    def families(self) -> list[str]:
        """The peers without their variants, in order."""
        return list(dict.fromkeys(key.split("/")[0] for key in self.peers))

    def headline(self) -> str:
        """The ratios only, to be shown while others are still running."""
        ratios = (
            (name, self.best(name)[1].minimum / self.ours.minimum) for name in self.families()
        )
        return ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios)


def race_tables(races: Iterable[Race], peak: float | None) -> list[Table]:
    """One table per group of races, each reported when it ends; `peak` in GFLOP/s."""
    groups: dict[str, list[Race]] = {}
    for race in races:
        print(f"  {race.group}: {race.name} {race.step}: {race.headline()}", flush=True)
        groups.setdefault(race.group, []).append(race)
    return [_race_table(group, members, peak) for group, members in groups.items()]


def _race_table(group: str, races: list[Race], peak: float | None) -> Table:
    families = list(dict.fromkeys(name for race in races for name in race.families()))
    with_share = peak is not None and any(race.flop for race in races)
    columns = ["task", "pass", "ours ms", "median"]
    for family in families:
        columns += [f"{family} ms", "median", "ratio", "of medians"]
    if with_share:
        columns += ["our share of peak", "theirs"]
    rows: list[tuple[Cell, ...]] = []
    bars: list[tuple[str, float]] = []
    for race in races:
        cells: list[Cell] = [race.name, race.step]
        cells += [milliseconds(race.ours.minimum), milliseconds(race.ours.median)]
        for family in families:
            if family not in race.families():
                cells += [None] * 4
                continue
            variant, time = race.best(family)
            cells += [f"{milliseconds(time.minimum)} {variant}".strip()]
            cells += [milliseconds(time.median)]
            cells += [time.minimum / race.ours.minimum, time.median / race.ours.median]
            label = f"{race.name} {race.step}" + (f", {family}" if len(families) > 1 else "")
            bars.append((label, time.minimum / race.ours.minimum))
        if with_share:
            theirs = min((time.minimum for time in race.peers.values()), default=math.inf)
            cells += [_share(race.flop, t, peak) for t in (race.ours.minimum, theirs)]
        rows.append(tuple(cells))
    data = [{**dataclasses.asdict(race), "families": race.families()} for race in races]
    return Table(group, tuple(columns), rows, bars, data, _summary(races, families))


def _share(flop: float, seconds: float, peak: float | None) -> str | None:
    return f"{flop * 1e-9 / seconds / peak:.0%}" if flop and peak else None


def _summary(races: list[Race], families: list[str]) -> str:
    """Report lowest and mean ratio of each pass to each family."""
    parts = []
    for family in families:
        for step in dict.fromkeys(race.step for race in races):
            mine = [race for race in races if race.step == step and family in race.families()]
            ratios = [race.best(family)[1].minimum / race.ours.minimum for race in mine]
            if len(ratios) > 1:
                middle = math.exp(sum(map(math.log, ratios)) / len(ratios))
                parts.append(f"{family} {step} mean {middle:.2f}, lowest {min(ratios):.2f}")
    return "; ".join(parts) + "." * bool(parts)


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
    stem = "-".join(filter(None, (options.command, options.dtype, options.isa)))
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
    """Draw every ratio as a bar on a logarithmic axis."""
    from matplotlib.figure import Figure

    bars = [(f"{label}  ({t.title})", ratio) for t in tables for label, ratio in t.ratios]
    if not bars:
        return
    figure = Figure(figsize=(10, 1.5 + 0.2 * len(bars)), layout="constrained")
    axes = figure.subplots()
    labels, ratios = zip(*bars, strict=True)
    colours = ["#2a7f62" if ratio >= 1 else "#b5482a" for ratio in ratios]
    axes.barh(range(len(bars)), [ratio - 1 for ratio in ratios], left=1, color=colours)
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(0.5, *ratios) * 0.8, max(2.0, *ratios) * 1.3)
    axes.xaxis.set_major_formatter("{x:g}")
    for place, ratio in enumerate(ratios):
        side = "left" if ratio >= 1 else "right"
        axes.text(ratio, place, f" {ratio:.2f} ", va="center", ha=side, fontsize=7)
    axes.set_yticks(range(len(bars)), labels, fontsize=7)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("peer / pocketcnn: right of 1 pocketcnn is better")
    axes.set_title(f"{machine.cpu}, {machine.isa}, threads: {machine.threads}", fontsize=9)
    figure.savefig(path, dpi=100)
