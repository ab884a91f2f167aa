"""The command `pocketcnn`, as `python -m pocketcnn` and as the script that pip installs."""

import sys

from pocketcnn import _startup


def main() -> int:
    """Run the command line in this process and return its exit code."""
    with _startup.quiet_interrupts():
        from pocketcnn import cli
        from pocketcnn.commands.console import fill_standard_streams
    fill_standard_streams()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
