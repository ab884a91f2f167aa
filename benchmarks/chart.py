"""Charts of ratios, a peer's time divided by ours: right of 1 pocketcnn is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_AXIS = "peer / pocketcnn: right of 1 pocketcnn is better"


def draw_bars(bars: Sequence[tuple[str, float]], title: str, path: Path) -> None:
    """Draw every ratio as a bar on a logarithmic axis."""
    figure = Figure(figsize=(10, 1.5 + 0.2 * len(bars)), layout="constrained")
    axes = figure.subplots()
    labels, ratios = zip(*bars, strict=True)
    colours = ["#2a7f62" if ratio >= 1 else "#b5482a" for ratio in ratios]
    axes.barh(range(len(bars)), [ratio - 1 for ratio in ratios], left=1, color=colours)
    for place, ratio in enumerate(ratios):
        side = "left" if ratio >= 1 else "right"
        axes.text(ratio, place, f" {ratio:.2f} ", va="center", ha=side, fontsize=7)
    axes.set_yticks(range(len(bars)), labels, fontsize=7)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    _finish(axes, (min(0.5, *ratios) * 0.8, max(2.0, *ratios) * 1.3), title)
    figure.savefig(path, dpi=100)


def draw_curves(curves: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """Draw for each name which share of its ratios is below a ratio."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, ratios in curves.items():
        shares = [100 * place / len(ratios) for place in range(1, len(ratios) + 1)]
        axes.step(sorted(ratios), shares, where="post", label=name)
    every = [ratio for ratios in curves.values() for ratio in ratios]
    axes.set_ylabel("share of the shapes below, %")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend()
    _finish(axes, (min(0.5, *every) * 0.9, min(16.0, max(2.0, *every)) * 1.1), title)
    figure.savefig(path, dpi=100)


def _finish(axes: Axes, limits: tuple[float, float], title: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(limits)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel(_AXIS)
    axes.set_title(title, fontsize=9)
