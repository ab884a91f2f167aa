"""Fail if an object file of the kernels has a weak symbol.

``check_symbols.py [--nm NM] OBJECT...``

Kernels are compiled once for every instruction set. An inline function, a template or a
vtable in such an object is a weak symbol: the linker keeps any one of the copies for the whole
program, and when it keeps the one compiled for AVX-512, older machines crash in code that had
nothing to do with kernels. Hence kernel objects may define and use strong symbols only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

# nm's letters: weak object (V, v), weak symbol (W, w), unique global (u).
WEAK_KINDS = frozenset("VvWwu")
UNDEFINED_KIND = "U"


def symbols(nm: str, path: Path) -> list[tuple[str, str]]:
    """List the (kind, name) of every symbol of an object file, names as the linker sees them."""
    command = [nm, "--format=posix", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    # A line is "name kind [value [size]]".
    lines = (line.split() for line in answer.stdout.splitlines())
    return [(kind, name) for name, kind, *_ in lines]


def complaints(nm: str, path: Path) -> list[str]:
    """Say what is wrong with one object file; an empty list if nothing is."""
    found = symbols(nm, path)
    # Objects of link-time optimisation hide their symbols: then this check would see nothing.
    if all(kind in (UNDEFINED_KIND, *WEAK_KINDS) for kind, _ in found):
        return [f"{path}: defines no symbol; is it an object file with its code in it?"]
    return [f"{path}: weak symbol ({kind}) {name}" for kind, name in found if kind in WEAK_KINDS]


def main(arguments: list[str] | None = None) -> int:
    """Check the object files named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Fail when an object shows a weak symbol.")
    parser.add_argument("--nm", default="nm", help="the nm to ask (default: %(default)s)")
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT")
    options = parser.parse_args(arguments)
    wrong = [line for path in options.objects for line in complaints(options.nm, path)]
    for line in wrong:
        print(line)
    print(f"{len(options.objects)} objects, {len(wrong)} complaints")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
