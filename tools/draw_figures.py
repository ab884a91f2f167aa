"""Draw the figures of the documentation into docs/images.

    python tools/draw_figures.py [NAME...]

Without a name all are drawn. `memory` is measured, the others are the same every time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from figures import fusion, memory, paper, product, speed, threads, tile
from matplotlib.figure import Figure

IMAGES = Path(__file__).parents[1] / "docs" / "images"
FIGURES: dict[str, Callable[[], Figure]] = {
    "how-product": product.draw,
    "how-tile": tile.draw,
    "how-fusion": fusion.draw,
    "how-threads": threads.draw,
    "how-memory": memory.draw,
    "speed": speed.draw,
}


def main() -> None:
    """Draw what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*FIGURES, []], help="figures to draw")
    for name in parser.parse_args().names or FIGURES:
        paper.write(FIGURES[name](), IMAGES / f"{name}.svg")


if __name__ == "__main__":
    main()
