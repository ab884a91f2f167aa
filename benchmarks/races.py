"""Races, ours against peers on one task, and their tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.contests import NOT_INSTALLED, Result
from benchmarks.report import Cell, Table, milliseconds
from benchmarks.timing import Timing

# With more families of peers than this a table has no medians; they have one of their own.
_FEW = 4


@dataclass(frozen=True)
class Race:
    """Ours and its peers, timed in turn on one task.

    Attributes
    ----------
    group, name, step : str
        Table, task and pass.
    ours : Timing
        The pass itself.
    peers : dict of str to Timing
        By "family/variant"; the fastest variant of a family counts.
    flop : float
        Operations of the task as the textbook counts them; 0 if it does not.
    others : dict of str to Timing
        Our other ways to the same result; the fastest of all of ours counts.
    void : dict of str to str
        Why a peer has no time.
    """

    group: str
    name: str
    step: str
    ours: Timing
    peers: dict[str, Timing]
    flop: float = 0.0
    others: dict[str, Timing] = field(default_factory=dict)
    void: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, group: str, name: str, result: Result, flop: float) -> Race:
        """Name what was measured; the first of our ways is the pass."""
        (step, ours), *others = result.ours.items()
        return cls(group, name, step, ours, result.peers, flop, dict(others), result.void)

    @property
    def fastest(self) -> Timing:
        """The fastest of our ways."""
        return min((self.ours, *self.others.values()), key=lambda timing: timing.minimum)

    def best(self, family: str) -> tuple[str, Timing] | None:
        """Variant and time of the family's fastest member, if any has a time."""
        mine = {key: t for key, t in self.peers.items() if key.split("/")[0] == family}
        if not mine:
            return None
        key = min(mine, key=lambda name: mine[name].minimum)
        return key.partition("/")[2], mine[key]

    def families(self) -> list[str]:
        """The peers without their variants, in order."""
        return list(dict.fromkeys(key.split("/")[0] for key in (*self.peers, *self.void)))

    def ratios(self) -> dict[str, float]:
        """The best time of each family divided by ours."""
        found = ((family, self.best(family)) for family in self.families())
        return {name: best[1].minimum / self.fastest.minimum for name, best in found if best}

    def reason(self, family: str) -> str | None:
        """Why no member of the family has a time; None if one has or if none took part."""
        if self.best(family) is not None:
            return None
        reasons = (why for key, why in self.void.items() if key.split("/")[0] == family)
        return next(reasons, None)

    def headline(self) -> str:
        """The ratios only, to be shown while others are still running."""
        found = [f"{name} {ratio:.2f}" for name, ratio in self.ratios().items()]
        void = [f"{k} {why}" for k, why in self.void.items() if not why.startswith(NOT_INSTALLED)]
        return ", ".join(found + void)


def race_tables(races: Iterable[Race], peak: float | None) -> list[Table]:
    """One table per group of races, each reported when it ends; `peak` in GFLOP/s."""
    groups: dict[str, list[Race]] = {}
    for race in races:
        print(f"  {race.group}: {race.name} {race.step}: {race.headline()}", flush=True)
        groups.setdefault(race.group, []).append(race)
    return [
        table for group, members in groups.items() for table in _group_tables(group, members, peak)
    ]


def _group_tables(group: str, races: list[Race], peak: float | None) -> list[Table]:
    everyone = list(dict.fromkeys(name for race in races for name in race.families()))
    # A family that was nowhere to be had is in the note, not in the table.
    families = [name for name in everyone if any(race.best(name) for race in races)]
    first = _race_table(group, races, families, peak)
    return [first, _medians(group, races, families)] if len(families) > _FEW else [first]


def _medians(group: str, races: list[Race], families: list[str]) -> Table:
    """The ratios of medians, for which a table of many peers has no place."""
    rows: list[tuple[Cell, ...]] = []
    for race in races:
        best = [race.best(family) for family in families]
        ratios = [b and b[1].median / race.fastest.median for b in best]
        rows.append((race.name, race.step, *ratios))
    return Table(f"{group}, ratios of medians", ("task", "pass", *families), rows)


def _race_table(group: str, races: list[Race], families: list[str], peak: float | None) -> Table:
    ways = list(dict.fromkeys(way for race in races for way in race.others))
    wide = len(families) > _FEW
    with_share = peak is not None and any(race.flop for race in races)
    columns = ["task", "pass", "ours ms", "median", *(f"{way} ms" for way in ways)]
    for family in families:
        columns += [f"{family} ms", "ratio"] if wide else _columns(family)
    columns += ["lowest ratio"] * wide
    columns += ["our share of peak", "theirs"] * with_share
    rows: list[tuple[Cell, ...]] = []
    bars: list[tuple[str, float]] = []
    for race in races:
        cells: list[Cell] = [race.name, race.step]
        cells += [milliseconds(race.ours.minimum), milliseconds(race.ours.median)]
        cells += [milliseconds(race.others[w].minimum) if w in race.others else None for w in ways]
        for family in families:
            cells += _cells(race, family, wide)
        ratios = race.ratios()
        for family, ratio in ratios.items():
            label = f"{race.name} {race.step}" + (f", {family}" if len(families) > 1 else "")
            bars.append((label, ratio))
        if wide:
            lowest = min(ratios, key=lambda name: ratios[name], default=None)
            cells.append(lowest and f"{ratios[lowest]:.2f} {lowest}")
        if with_share:
            theirs = min((time.minimum for time in race.peers.values()), default=math.inf)
            cells += [_share(race.flop, t, peak) for t in (race.fastest.minimum, theirs)]
        rows.append(tuple(cells))
    data = [{**dataclasses.asdict(race), "families": race.families()} for race in races]
    note = " ".join([*_summaries(races, families), *_left_out(races)])
    return Table(group, tuple(columns), rows, bars, data=data, note=note)


def _columns(family: str) -> list[str]:
    return [f"{family} ms", "median", "ratio", "of medians"]


def _cells(race: Race, family: str, wide: bool) -> list[Cell]:
    """The family's times and ratios, or why it has none."""
    best = race.best(family)
    if best is None:
        return [race.reason(family), *[None] * (1 if wide else 3)]
    variant, time = best
    fastest = race.fastest
    shown = f"{milliseconds(time.minimum)} {variant}".strip()
    ratio = time.minimum / fastest.minimum
    if wide:
        return [shown, ratio]
    return [shown, milliseconds(time.median), ratio, time.median / fastest.median]


def _share(flop: float, seconds: float, peak: float | None) -> str | None:
    return f"{flop * 1e-9 / seconds / peak:.0%}" if flop and peak else None


def _summaries(races: list[Race], families: list[str]) -> list[str]:
    """Report lowest and mean ratio of each pass to each family, in one sentence."""
    parts = []
    for family in families:
        for step in dict.fromkeys(race.step for race in races):
            mine = [race.ratios() for race in races if race.step == step]
            ratios = [each[family] for each in mine if family in each]
            if len(ratios) > 1:
                middle = math.exp(sum(map(math.log, ratios)) / len(ratios))
                parts.append(f"{family} {step} mean {middle:.2f}, lowest {min(ratios):.2f}")
    return ["; ".join(parts) + "."] if parts else []


def _left_out(races: list[Race]) -> list[str]:
    """Name the peers without a time, and why, in a sentence or two."""
    found: dict[str, list[str]] = {}
    missing: dict[str, None] = {}
    for race in races:
        for key, why in race.void.items():
            what, _, module = why.partition(NOT_INSTALLED)
            if module:
                missing[module] = None
            else:
                found.setdefault(f"{key.rstrip('/')} {what}", []).append(race.name)
    parts = [
        what if len(names) == len(races) else f"{what}: {', '.join(names)}"
        for what, names in found.items()
    ]
    said = ["Without a time: " + "; ".join(parts) + "."] if parts else []
    return said + (["Left out, not installed: " + ", ".join(missing) + "."] if missing else [])
