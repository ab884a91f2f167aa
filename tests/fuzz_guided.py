"""Damage files, guided by the coverage of the readers: ``fuzz_guided.py --seconds 60 [KIND ...]``.

Atheris (libFuzzer for Python) changes the files of `fuzz_files.py` and of `corpus/`, keeps what
reaches new lines of the package, and continues from there; each kind of file has its own process.
An undocumented result of a reader, or one that takes longer than ten seconds, ends the program with
a code other than 0 and is stored as ``crash-...`` in the working folder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pocketcnn"]):
    from fuzz_files import kinds, read

CORPUS = Path(__file__).parent / "corpus"


def guide(name: str, seconds: int, keep: Path | None) -> None:
    """Fuzz one kind; does not return."""
    kind = kinds()[name]()
    folder = Path(tempfile.mkdtemp())
    path, found = folder / kind.name, keep or folder / "found"
    found.mkdir(parents=True, exist_ok=True)
    for number, original in enumerate(kind.originals):
        (found / f"original-{number}").write_bytes(original)

    def one(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.redirect_stderr(io.StringIO()):
            read(kind, path)

    corpora = [str(found), *([str(CORPUS / name)] if (CORPUS / name).is_dir() else [])]
    options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=4096", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", *corpora], one)
    atheris.Fuzz()


def main() -> int:
    """Fuzz every kind in turn; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for each kind")
    parser.add_argument("--keep", type=Path, help="a folder for what reaches new lines")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("kinds", nargs="*")
    given = parser.parse_args()
    if given.alone:
        guide(given.kinds[0], int(given.seconds), given.keep)
    failed = []
    for name in given.kinds or kinds():
        command = [sys.executable, __file__, "--alone", "--seconds", str(given.seconds), name]
        if given.keep is not None:
            command += ["--keep", str(given.keep / name)]
        print(f"{name}:", flush=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "nothing undocumented")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
