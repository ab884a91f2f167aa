"""Training steps beside other libraries, from a table in `benchmarks/results`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from . import paper

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "epyc-zen5.md"
PEERS = {"Keras": paper.ORANGE, "PyTorch": paper.BLUE}


class Row(NamedTuple):
    """A network with its batch, and how often our training step fits into each peer's."""

    network: str
    ratios: dict[str, float]


def read(path: Path = RESULTS) -> list[Row]:
    """Read the table of training steps in float32."""
    lines = path.read_text(encoding="utf-8").splitlines()
    below = lines[lines.index("### training steps") :]
    head = next(i for i, line in enumerate(below) if line.startswith("|"))
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in below[head:]]
    # The ratio stands two columns right of the peer's time.
    places = {peer: table[0].index(f"{peer} ms") + 2 for peer in PEERS}
    rows = []
    for cells in table[2:]:
        if not cells:
            break
        ratios = {peer: float(cells[place]) for peer, place in places.items()}
        rows.append(Row(cells[0].replace(" (", ", batch ").rstrip(")"), ratios))
    return rows


def draw() -> Figure:
    """Draw the time of each step as a multiple of ours."""
    rows = read()
    figure, (axes,) = paper.new_figure(8, 0.9 + 0.42 * len(rows))
    for offset, (peer, colour) in zip((0.2, -0.2), PEERS.items(), strict=True):
        ratios = [row.ratios[peer] for row in rows]
        places = [place + offset for place in range(len(rows))]
        axes.barh(places, ratios, 0.36, color=colour, label=peer)
        for place, ratio in zip(places, ratios, strict=True):
            axes.text(ratio + 0.05, place, f"{ratio:.1f}", va="center", fontsize=8)
    axes.axvline(1, color=paper.INK, linewidth=1.2)
    axes.text(1, -0.75, "pocketcnn = 1", ha="center", fontsize=9, color=paper.INK)
    axes.set_yticks(range(len(rows)), [row.network for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.set_xlabel("time of a training step, as a multiple of pocketcnn's")
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, loc="lower right")
    return figure
