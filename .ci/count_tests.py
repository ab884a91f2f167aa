"""Count the tests of a run from the runners' own reports; used by ``.ci/run``.

``count_tests.py REPORTS`` reads every JUnit file in the folder REPORTS (pytest's, ctest's) and
``nox.json``, nox's account of its sessions. It prints one line per report, a line for every session
that failed although none of its tests did (a linter's rule, a broken build: each counts as one
failure, so that a broken run never looks successful), and last the line ``N passed, N failed``. The
exit code is 0 only if something passed and nothing failed.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

# Which session writes which reports; {} are a session's parameters. Others write none.
REPORTS_OF_SESSION = {
    "cpp": ("ctest-{build}",),
    "tests": ("pytest",),
    "live": ("browser",),
    "examples": ("doctest",),
    "docs": ("site",),
}


class Count(NamedTuple):
    """Outcome of the tests of one report."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


def count(report: Path) -> Count:
    """Count the test cases of a JUnit file."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return Count(passed, failed, skipped)


def unexplained_failures(folder: Path, counts: dict[str, Count]) -> list[str]:
    """Name the sessions that failed without a failed test in their reports."""
    account = folder / "nox.json"
    if not account.exists():
        return ["nox itself"]
    sessions = json.loads(account.read_text(encoding="utf-8"))["sessions"]
    names = []
    for session in sessions:
        if session["result"] in ("success", "skipped"):
            continue
        reports = REPORTS_OF_SESSION.get(session["name"], ())
        if not any(counts.get(name.format(**session["args"]), Count()).failed for name in reports):
            names.append(" ".join([session["name"], *session["args"].values()]))
    return names


def main(folder: Path) -> int:
    """Print the counts of a folder of reports; return the exit code."""
    counts = {path.stem: count(path) for path in sorted(folder.glob("*.xml"))}
    for name, one in counts.items():
        print(f"{name}: {one.passed} passed, {one.failed} failed, {one.skipped} skipped")
    broken = unexplained_failures(folder, counts)
    for name in broken:
        print(f"session {name} failed outside its tests; counted as one failure")
    passed = sum(one.passed for one in counts.values())
    failed = sum(one.failed for one in counts.values()) + len(broken)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
