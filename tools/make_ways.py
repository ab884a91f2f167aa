"""Write docs/ways.md: the tables of the ways of convolving, as the native module holds them.

    python tools/make_ways.py [OUTPUT]

tests/test_ways.py fails where the file is not what this writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pocketcnn import _core

PAGE = Path(__file__).parent.parent / "docs" / "ways.md"
HEAD = """\
# The ways of convolving

Per pass, the ways in the order in which they are tried: the first that fits and pays computes the
pass, and `pc.functional.conv2d_plan` names it. `algorithm=` takes each of the names, and a
`ValueError` says why a way does not fit. Two names stand for several ways: `im2col` for any matrix
product, `winograd` for any tiles; of these the first that fits and pays is taken, or else the first
that fits.

The numbers come from the measurements that the rules name in `cpp/src/conv/`. This page is written
by `tools/make_ways.py` from the tables in `cpp/src/conv/ways.cpp`.
"""
TITLES = {
    _core.ConvPass.forward: "Forward",
    _core.ConvPass.input_grad: "Gradient of the input",
    _core.ConvPass.weight_grad: "Gradient of the weights and the bias",
}


def page() -> str:
    """The page."""
    parts = [HEAD]
    for conv_pass, title in TITLES.items():
        parts.append(f"\n## {title}\n\n")
        parts.append("| name | also | reason | fits | pays |\n| --- | --- | --- | --- | --- |\n")
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
