"""Write docs/ways.md: the tables of convolution algorithms in the native module.

    python tools/make_ways.py [OUTPUT]

tests/test_ways.py fails if the file is out of date.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pocketcnn import _core

PAGE = Path(__file__).parent.parent / "docs" / "ways.md"
HEAD = """\
# Convolution algorithms

There is one table per pass. Its rows are tried from top to bottom: the first algorithm that fits
and pays computes the pass, and `pc.functional.conv2d_plan` names it. `algorithm=` takes any of the
names; if the algorithm does not fit, a `ValueError` says why.

Two names also select others: `im2col` any matrix product, and `winograd` any algorithm with tiles.
Such a name selects the first of them that fits and pays, or if none pays, the first that fits.

The measurements behind the numbers are named beside the rules in `cpp/src/conv/`. This page is
written by `tools/make_ways.py` from the tables in `cpp/src/conv/ways.cpp`.
"""
TITLES = {
    _core.ConvPass.forward: "Forward",
    _core.ConvPass.input_grad: "Gradient of the input",
    _core.ConvPass.weight_grad: "Gradient of the weights and the bias",
}


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for conv_pass, title in TITLES.items():
        parts.append(f"\n## {title}\n\n")
        parts.append(
            "| name | also selected by | reason | fits | pays |\n| --- | --- | --- | --- | --- |\n"
        )
        for way in _core.conv2d_ways(conv_pass):
            also = "" if way.family == way.algorithm else f"`{way.family.name}`"
            name = way.algorithm.name
            parts.append(f"| `{name}` | {also} | {way.reason} | {way.takes} | {way.pays} |\n")
    return "".join(parts)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", nargs="?", type=Path, default=PAGE)
    parser.parse_args().output.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
