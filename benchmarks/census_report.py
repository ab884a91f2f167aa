"""What the census says: quantiles of the ratios, networks, and the worst rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.report import Cell, Table, milliseconds

_NOT_PEERS = ("group", "name", "step", "batch", "networks", "void", "ours")
_WORST = 20
_COLUMNS = ("shapes", "5 %", "median", "95 %", "below 1", "below 0.85")


def tables(rows: Sequence[Mapping[str, Any]], note: str) -> list[Table]:
    """Make the tables of all measured rows."""
    good = [row for row in rows if "void" not in row]
    void = [row["void"] for row in rows if "void" in row]
    if void:
        note += f" Void, because the results differ: {'; '.join(void)}."
    if not good:
        return []
    made = [_summary(good, note)]
    if any(row["networks"] for row in good):
        made.append(_networks(good))
    return [*made, _worst(good)]


def _peer(row: Mapping[str, Any]) -> tuple[str, float]:
    """Layout and seconds of the peer's best."""
    times = {key: value for key, value in row.items() if key not in _NOT_PEERS}
    name = min(times, key=lambda key: times[key])
    return name, times[name]


def _ratio(row: Mapping[str, Any]) -> float:
    return _peer(row)[1] / float(row["ours"])


def _statistics(rows: Sequence[Mapping[str, Any]]) -> list[Cell]:
    ratios = np.array([_ratio(row) for row in rows])
    low, middle, high = np.quantile(ratios, (0.05, 0.5, 0.95)).tolist()
    below = [f"{np.mean(ratios < bound):.1%}" for bound in (1, 0.85)]
    return [f"{len(ratios)}", low, middle, high, *below]


def _summary(rows: Sequence[Mapping[str, Any]], note: str) -> Table:
    """Of each kind and pass, of all and of each batch size that is common."""
    table = Table("census: PyTorch's time / ours", ("layers", "pass", *_COLUMNS), [], note=note)
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        batches = dict.fromkeys(row["batch"] for row in mine)
        for step in dict.fromkeys(row["step"] for row in mine):
            its = [row for row in mine if row["step"] == step]
            table.rows.append((group, step, *_statistics(its)))
            table.curves[f"{group}, {step}"] = [_ratio(row) for row in its]
        if group == "convolutions":
            for batch in sorted(batches):
                its = [row for row in mine if row["batch"] == batch]
                table.rows.append((f"{group}, batch {batch}", "all", *_statistics(its)))
        table.rows.append((group, "all", *_statistics(mine)))
    table.data.extend({**row, "ratio": _ratio(row)} for row in rows)
    return table


def _networks(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table("census by network", ("network", "pass", *_COLUMNS), [])
    for network in sorted({name for row in rows for name in row["networks"]}):
        its = [row for row in rows if network in row["networks"]]
        table.rows.append((network, "all", *_statistics(its)))
    return table


def _worst(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = ("layer", "pass", "ours ms", "PyTorch ms", "ratio", "networks")
    table = Table(f"census: the worst {_WORST}", columns, [])
    for row in sorted(rows, key=_ratio)[:_WORST]:
        layout, seconds = _peer(row)
        theirs = f"{milliseconds(seconds)} {layout}".strip()
        first, *others = row["networks"] or [""]
        more = f" and {len(others)} more" if others else ""
        cells = (milliseconds(row["ours"]), theirs, _ratio(row), f"{first}{more}")
        table.rows.append((row["name"], row["step"], *cells))
    return table
