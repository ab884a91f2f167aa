"""Entry of ``python -m benchmarks``."""

from __future__ import annotations

import importlib
import sys

from benchmarks.options import parse, restart_with_limits


def main() -> None:
    """Run the benchmark named on the command line; show the result and save it."""
    options = parse(sys.argv[1:])
    restart_with_limits(options)
    from benchmarks import machine, report

    described = machine.describe(options)
    print(described.line(), flush=True)
    tables = importlib.import_module(f"benchmarks.{options.command}").run(options, described)
    report.finish(options, described, tables)


if __name__ == "__main__":
    main()
