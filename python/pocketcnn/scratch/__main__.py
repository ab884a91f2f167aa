"""``python -m pocketcnn.scratch script.py``: run a script of the book with this package."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from pathlib import Path

from pocketcnn.scratch.common import install_common


def main() -> None:
    """Run a script as ``python script.py`` does, with `install_common` before its first line."""
    parser = argparse.ArgumentParser(
        prog="python -m pocketcnn.scratch",
        description="Run a script that imports the book's 'common' package, computed by pocketcnn.",
    )
    parser.add_argument("script", help="the file to run; it need not be changed")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="what the script is given")
    arguments = parser.parse_args()
    script = Path(arguments.script)
    if not script.is_file():
        parser.error(f"there is no file {arguments.script!r}")
    sys.argv[:] = [arguments.script, *arguments.args]
    folder = str(script.resolve().parent)
    if getattr(sys.flags, "safe_path", False):  # python -P: the first entry is not ours
        sys.path.insert(0, folder)
    else:
        sys.path[0] = folder
    install_common()
    runpy.run_path(os.path.abspath(script), run_name="__main__")  # noqa: PTH100  (keeps links)


if __name__ == "__main__":
    main()
